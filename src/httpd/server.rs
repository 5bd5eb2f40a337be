//! A server: the main one or a virtual host, and what the whole of httpd is doing.

use std::ffi::{c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use wsgi_wire::launch::ServerFacts;

use crate::ffi;
use crate::httpd::pool::Pool;
use crate::httpd::{c_bytes, field};

/// A server record of a configuration that lives for `'s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server<'s> {
    raw: *mut ffi::server_rec,
    life: PhantomData<&'s ()>,
}

impl<'s> Server<'s> {
    /// # Safety
    /// `raw` is a server record that lives for `'s`.
    pub unsafe fn from_raw(raw: *mut ffi::server_rec) -> Self {
        Server {
            raw,
            life: PhantomData,
        }
    }

    /// The main server of the running configuration.
    pub fn main() -> Option<Server<'static>> {
        // SAFETY: the variable is set by httpd's main thread before any hook of ours that asks.
        let raw = unsafe { ffi::ap_server_conf };
        // SAFETY: the record lives as long as the configuration in whose hooks we run.
        (!raw.is_null()).then(|| unsafe { Server::from_raw(raw) })
    }

    /// For C.
    pub fn as_ptr(self) -> *mut ffi::server_rec {
        self.raw
    }

    /// Whether this is a virtual host.
    pub fn is_virtual(self) -> bool {
        field!(self.raw, is_virtual) != 0
    }

    /// ServerName without port.
    pub fn hostname(self) -> &'s [u8] {
        let value = field!(self.raw, server_hostname);
        // SAFETY: a string of the configuration's pool.
        unsafe { c_bytes(value) }.unwrap_or_default()
    }

    /// Whether requests of this server may use what was defined in `owners`: what a virtual host
    /// defines is for hosts of its name, for instance the same host with and without TLS.
    pub fn may_use_what_is_of(self, owners: &[Server<'_>]) -> bool {
        // Names are compared only if need be: cloned hosts that share a group may be many.
        let at_once = |owner: &Server<'_>| !owner.is_virtual() || owner.raw == self.raw;
        owners.iter().any(at_once) || {
            let name = self.hostname();
            owners.iter().any(|owner| owner.hostname() == name)
        }
    }

    /// ServerAdmin.
    pub fn admin(self) -> &'s [u8] {
        let value = field!(self.raw, server_admin);
        // SAFETY: a string of the configuration's pool.
        unsafe { c_bytes(value) }.unwrap_or_default()
    }

    /// Timeout.
    pub fn timeout(self) -> Duration {
        Duration::from_micros(u64::try_from(field!(self.raw, timeout)).unwrap_or(0))
    }

    /// The least severe level that is logged for this module's lines (LogLevel).
    pub fn log_level(self) -> u8 {
        // SAFETY: the server is alive; the index is this module's.
        let level = unsafe { ffi::ap_get_server_module_loglevel(self.raw, crate::module_index()) };
        u8::try_from(level).unwrap_or(4)
    }

    /// A descriptor of its ErrorLog, file or pipe; `None` when that is neither, or is the main
    /// server's, which every process has as its standard error.
    pub fn own_error_log(self) -> io::Result<Option<OwnedFd>> {
        let log = field!(self.raw, error_log);
        let of_main = Server::main().map(|main| field!(main.raw, error_log));
        if log.is_null() || of_main == Some(log) {
            return Ok(None);
        }
        let mut number: ffi::apr_os_file_t = -1;
        // SAFETY: httpd has opened the log, and room for its descriptor.
        let status = unsafe { ffi::apr_os_file_get(&raw mut number, log) };
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status));
        }
        // SAFETY: httpd keeps the log open for as long as its configuration lives.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        descriptor.try_clone_to_owned().map(Some)
    }

    /// The pool of the process, which survives restarts and module unloading.
    pub fn process_pool(self) -> Pool<'static> {
        let process = field!(self.raw, process);
        let value = field!(process, pool);
        // SAFETY: the process pool lives until httpd ends.
        unsafe { Pool::from_raw(value) }
    }

    /// `path` made absolute against ServerRoot, or `None` when it cannot be.
    pub fn root_relative(self, pool: Pool<'s>, path: &[u8]) -> Option<&'s [u8]> {
        let path = pool.string(path);
        // SAFETY: pool and path are alive; null for a path that cannot be made one.
        let absolute = unsafe { ffi::ap_server_root_relative(pool.as_ptr(), path.as_ptr()) };
        // SAFETY: a terminated string of the pool.
        unsafe { c_bytes(absolute) }
    }

    /// `name` in httpd's runtime directory (DefaultRuntimeDir).
    pub fn runtime_relative(self, pool: Pool<'s>, name: &[u8]) -> Option<&'s [u8]> {
        let name = pool.string(name);
        // SAFETY: as above.
        let absolute = unsafe { ffi::ap_runtime_dir_relative(pool.as_ptr(), name.as_ptr()) };
        // SAFETY: as above.
        unsafe { c_bytes(absolute) }
    }

    /// This module's configuration for the server, as `create` made it.
    pub fn module_config(self) -> *mut c_void {
        crate::module_config(field!(self.raw, module_config))
    }
}

/// The version of the httpd that runs: major, minor, patch.
pub fn version() -> (u32, u32, u32) {
    let mut version = ffi::ap_version_t {
        major: 0,
        minor: 0,
        patch: 0,
        add_string: std::ptr::null(),
    };
    // SAFETY: `version` is writable.
    unsafe { ffi::ap_get_server_revision(&mut version) };
    let number = |value: c_int| u32::try_from(value).unwrap_or(0);
    (
        number(version.major),
        number(version.minor),
        number(version.patch),
    )
}

/// What applications can learn of the httpd that runs; asked by its parent.
pub fn facts() -> ServerFacts {
    // SAFETY: gives httpd's own description, which it has put together by now.
    let description = unsafe { ffi::ap_get_server_description() };
    // SAFETY: gives a constant.
    let built = unsafe { ffi::ap_get_server_built() };
    // SAFETY: gives the name in the MPM's record.
    let mpm = unsafe { ffi::ap_show_mpm() };
    let bytes = |text| {
        // SAFETY: each is null or a terminated string that lives as long as the configuration.
        unsafe { c_bytes(text) }.unwrap_or_default().to_vec()
    };
    let (children, threads) = children();
    ServerFacts {
        children,
        threads,
        description: bytes(description),
        build_date: bytes(built),
        mpm_name: bytes(mpm),
        pid: std::process::id(),
    }
}

/// Whether httpd reads its configuration only to see whether it is right; the first of the two
/// passes of a start counts as that.
pub fn is_trial_run() -> bool {
    // SAFETY: a pure query.
    let state = unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE) };
    // SAFETY: as above.
    let mode = unsafe { ffi::ap_state_query(ffi::AP_SQ_RUN_MODE) };
    state == ffi::AP_SQ_MS_CREATE_PRE_CONFIG || mode != ffi::AP_SQ_RM_NORMAL
}

/// Whether httpd only checks its configuration.
pub fn is_configtest() -> bool {
    // SAFETY: a pure query.
    let mode = unsafe { ffi::ap_state_query(ffi::AP_SQ_RUN_MODE) };
    mode == ffi::AP_SQ_RM_CONFIG_TEST
}

/// Whether what the configuration deserves to be told is to be told now: under `configtest`, or in
/// the second of the two passes of a start.
pub fn is_telling_pass() -> bool {
    // SAFETY: a pure query.
    let state = unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE) };
    // SAFETY: as above.
    let mode = unsafe { ffi::ap_state_query(ffi::AP_SQ_RUN_MODE) };
    mode == ffi::AP_SQ_RM_CONFIG_TEST || state != ffi::AP_SQ_MS_CREATE_PRE_CONFIG
}

/// One number about the MPM, or `None` when it does not say.
fn mpm(query: c_int) -> Option<u32> {
    let mut value = 0;
    // SAFETY: `value` is writable.
    let status = unsafe { ffi::ap_mpm_query(query, &mut value) };
    if status == 0 {
        u32::try_from(value).ok()
    } else {
        None
    }
}

/// Whether the server is going down, so that nothing may be started any more.
pub fn is_stopping() -> bool {
    mpm(ffi::AP_MPMQ_MPM_STATE) == Some(ffi::AP_MPMQ_STOPPING as u32)
}

/// How many children at most, and how many requests each runs at once.
pub fn children() -> (u32, u32) {
    let processes = mpm(ffi::AP_MPMQ_MAX_DAEMONS).unwrap_or(1).max(1);
    let threads = mpm(ffi::AP_MPMQ_MAX_THREADS).unwrap_or(1).max(1);
    (processes, threads)
}

/// The calling child's process id, without a system call for each request. For requests only: they run
/// after the last fork.
pub fn child_pid() -> u32 {
    static PID: OnceLock<u32> = OnceLock::new();
    *PID.get_or_init(std::process::id)
}

/// The account that children run as: User and Group.
pub fn child_identity() -> (u32, u32) {
    // SAFETY: mod_unixd's record is a plain global that changes only while the configuration is
    // read, on the thread that reads it.
    let uid = unsafe { ffi::ap_unixd_config.user_id };
    // SAFETY: as above.
    let gid = unsafe { ffi::ap_unixd_config.group_id };
    (uid, gid)
}

/// Adds a product to what httpd says about itself where ServerTokens allows it.
pub fn add_product(pool: Pool<'_>, product: &str) {
    let product = pool.string(product.as_bytes());
    // SAFETY: pool and text are alive; httpd copies the text.
    unsafe { ffi::ap_add_version_component(pool.as_ptr(), product.as_ptr()) }
}
