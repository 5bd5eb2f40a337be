//! The Apache module record and the list of the module's parts; see `ARCHITECTURE.md`.
//!
//! httpd's parent loads this library at every start and restart, reads its configuration twice,
//! and forks children that inherit it. No static of ours survives a restart.

mod body;
mod config;
mod daemon;
mod directives;
mod dispatch;
mod embedded;
mod environ;
mod ffi;
mod functions;
mod httpd;
mod keyed;
mod lifecycle;
mod mapping;
mod proxy;
mod response;
mod selection;
mod site;
mod supervise;

use std::ffi::{c_int, c_ulong, c_void};
use std::ptr::null_mut;

/// What `LoadModule wsgi_module` looks up. Its name answers `<IfModule mod_wsgi.c>`, the symbol
/// `<IfModule wsgi_module>`, and `wsgi:` in LogLevel comes from the name as well.
#[unsafe(no_mangle)]
pub static mut wsgi_module: ffi::module = ffi::module {
    version: ffi::MODULE_MAGIC_NUMBER_MAJOR,
    minor_version: ffi::MODULE_MAGIC_NUMBER_MINOR,
    module_index: -1,
    name: c"mod_wsgi.c".as_ptr(),
    dynamic_load_handle: null_mut(),
    next: null_mut(),
    magic: ffi::MODULE_MAGIC_COOKIE as c_ulong,
    rewrite_args: None,
    create_dir_config: Some(config::on_create_directory),
    merge_dir_config: Some(config::on_merge_directory),
    create_server_config: Some(config::on_create_server),
    merge_server_config: Some(config::on_merge_server),
    cmds: directives::COMMANDS.start(),
    register_hooks: Some(lifecycle::on_register_hooks),
    flags: 0 as c_int,
};

/// This module's entry in a configuration vector of httpd, or null.
fn module_config(vector: *const ffi::ap_conf_vector_t) -> *mut c_void {
    let module = &raw const wsgi_module;
    // SAFETY: vector and record are httpd's; the record is written while the module is loaded only.
    unsafe { ffi::ap_get_module_config(vector, module) }
}

/// Sets this module's entry in a configuration vector of httpd.
fn set_module_config(vector: *mut ffi::ap_conf_vector_t, value: *mut c_void) {
    let module = &raw const wsgi_module;
    // SAFETY: the vector is httpd's, with room for every loaded module.
    unsafe { ffi::ap_set_module_config(vector, module, value) }
}

/// This module's index in httpd's configuration vectors, set when it was loaded.
fn module_index() -> c_int {
    // SAFETY: httpd writes the index before it calls anything of ours.
    unsafe { wsgi_module.module_index }
}
