//! The hooks: which phase of httpd's life or of a request calls what, and in which order.
//!
//! The only file that registers with httpd. Every function httpd calls is one call to the panic
//! boundary.

use std::ffi::{c_int, c_void};

use crate::config::Configuration;
use crate::dispatch;
use crate::ffi;
use crate::functions::{access, providers};
use crate::httpd::boundary::guard;
use crate::httpd::hook::{FIRST_OF_ALL, Hook, MIDDLE, Order, register};
use crate::httpd::log::{self, Level};
use crate::httpd::pool::Pool;
use crate::httpd::request::Request;
use crate::httpd::server::{self, Server};
use crate::httpd::status::Status;
use crate::mapping;
use crate::site::Site;
use crate::supervise::{self, plan};

/// Registers the hooks.
///
/// # Safety
/// Called by httpd each time the module is loaded.
pub unsafe extern "C" fn on_register_hooks(pool: *mut ffi::apr_pool_t) {
    guard((), || {
        // SAFETY: httpd's configuration pool, which lives until the module is unloaded.
        providers::register(unsafe { Pool::from_raw(pool) });
        // Configuration errors that take more than one directive stop `configtest` as well.
        register(Hook::CheckConfig(on_check_config), MIDDLE);
        // Anywhere: the monitor needs nothing of other modules.
        register(Hook::PostConfig(on_post_config), MIDDLE);
        register(Hook::ChildInit(on_child_begin), FIRST_OF_ALL);
        register(Hook::ChildInit(on_child_init), MIDDLE);
        // After mod_alias, so that `Alias /static` wins over `WSGIScriptAlias /`, and before the
        // modules that claim every URL of a server.
        let translate = Order {
            after: &[c"mod_alias.c"],
            before: &[c"mod_userdir.c", c"mod_vhost_alias.c"],
            ..MIDDLE
        };
        register(Hook::TranslateName(on_translate_name), translate);
        // After the TLS client's certificate was checked, before hosts are judged by address.
        let access = Order {
            after: &[c"mod_ssl.c"],
            before: &[c"mod_authz_host.c"],
            ..MIDDLE
        };
        register(Hook::CheckAccess(on_check_access), access);
        register(Hook::Handler(on_handler), MIDDLE);
    });
}

unsafe extern "C" fn on_check_config(
    pconf: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    guard(Status::INTERNAL_SERVER_ERROR.code(), || {
        // SAFETY: httpd's configuration pool, alive as long as the configuration.
        let pool = unsafe { Pool::from_raw(pconf) };
        // SAFETY: the main server of that configuration.
        let server = unsafe { Server::from_raw(server) };
        match plan::check(pool) {
            Ok(()) => {
                tell_what_has_no_effect(pool, server);
                tell_what_is_one_group(pool, server);
                Status::OK.code()
            }
            Err(error) => {
                log::server(server, Level::Critical, error);
                Status::INTERNAL_SERVER_ERROR.code()
            }
        }
    })
}

/// One warning for each directive that the configuration could do without.
fn tell_what_has_no_effect(pool: Pool<'static>, server: Server<'static>) {
    if server::is_telling_pass() {
        for (directive, reason) in &Configuration::of(pool).borrow().without_effect {
            let line = format!("{directive} is accepted and has no effect: {reason}");
            log::server(server, Level::Warning, line);
        }
        for header in &Configuration::of(pool).borrow().unknown_headers {
            let line = format!(
                "WSGITrustedProxyHeaders: the header {header} is not known and has no effect"
            );
            log::server(server, Level::Warning, line);
        }
    }
}

/// One line for each process group that several servers define.
fn tell_what_is_one_group(pool: Pool<'static>, server: Server<'static>) {
    if !server::is_telling_pass() {
        return;
    }
    for group in &Configuration::of(pool).borrow().groups {
        if !group.repeated_at.is_empty() {
            let definition = group.options.definition();
            let line = format!(
                "{definition}: what {} says again is the process group of {}",
                group.repeated_at.join(" and "),
                group.written_at
            );
            log::server(server, Level::Info, line);
        }
    }
}

unsafe extern "C" fn on_post_config(
    pconf: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    _: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    guard(Status::INTERNAL_SERVER_ERROR.code(), || {
        if server::is_trial_run() {
            return Status::OK.code();
        }
        // SAFETY: as in `on_check_config`.
        let pool = unsafe { Pool::from_raw(pconf) };
        // SAFETY: as in `on_check_config`.
        let server = unsafe { Server::from_raw(server) };
        match supervise::start(pool, server) {
            Ok(()) => Status::OK.code(),
            Err(error) => {
                log::server(server, Level::Critical, error);
                Status::INTERNAL_SERVER_ERROR.code()
            }
        }
    })
}

/// Other modules start threads in their functions for the same hook, which come later.
unsafe extern "C" fn on_child_begin(_: *mut ffi::apr_pool_t, _: *mut ffi::server_rec) {
    guard((), || {
        if let Some(site) = Site::current() {
            // SAFETY: the process was just forked and this is its only thread (SAFETY.md, "Which hook
            // runs where").
            unsafe { site.embedded.set_environment() }
        }
    });
}

unsafe extern "C" fn on_child_init(pool: *mut ffi::apr_pool_t, server: *mut ffi::server_rec) {
    guard((), || {
        // SAFETY: the main server of the running configuration.
        let server = unsafe { Server::from_raw(server) };
        supervise::enter_child();
        // SAFETY: the child's pool, which lives until the child ends.
        let pool = unsafe { Pool::from_raw(pool) };
        pool.on_clear(std::ptr::null_mut(), on_child_exit);
        let Some(site) = Site::current() else {
            return;
        };
        if let Err(error) = site.embedded.preload(server) {
            log::server(server, Level::Error, error);
        }
    });
}

/// The child ends in order: Python gets to know.
unsafe extern "C" fn on_child_exit(_: *mut c_void) -> ffi::apr_status_t {
    guard(0, || {
        if let Some(site) = Site::current() {
            site.embedded.stop();
        }
        0
    })
}

unsafe extern "C" fn on_translate_name(request: *mut ffi::request_rec) -> c_int {
    guard(Status::INTERNAL_SERVER_ERROR.code(), || {
        // SAFETY: httpd lends the request whose hook runs.
        mapping::translate(unsafe { Request::from_raw(request) }).code()
    })
}

unsafe extern "C" fn on_check_access(request: *mut ffi::request_rec) -> c_int {
    guard(Status::INTERNAL_SERVER_ERROR.code(), || {
        // SAFETY: httpd lends the request whose hook runs.
        access::check(unsafe { Request::from_raw(request) }).code()
    })
}

unsafe extern "C" fn on_handler(request: *mut ffi::request_rec) -> c_int {
    guard(Status::INTERNAL_SERVER_ERROR.code(), || {
        // SAFETY: httpd lends the request whose handler is asked for.
        dispatch::handle(unsafe { Request::from_raw(request) }).code()
    })
}
