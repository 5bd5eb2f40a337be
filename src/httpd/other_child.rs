//! Processes the parent started besides its children: httpd reaps them and tells us.
//!
//! Parent process, main thread only.

use std::ffi::{c_int, c_void};

use crate::ffi;
use crate::httpd::pool::Pool;

/// Why httpd calls the function (`apr_thread_proc.h`, `APR_OC_REASON_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The process has ended and was reaped.
    Death,
    /// It cannot be found any more.
    Lost,
    /// httpd restarts or stops.
    Restart,
    /// The registration ends.
    Unregister,
    /// Something that needs no answer.
    Other,
}

impl From<c_int> for Reason {
    fn from(code: c_int) -> Self {
        match code {
            ffi::APR_OC_REASON_DEATH => Reason::Death,
            ffi::APR_OC_REASON_LOST => Reason::Lost,
            ffi::APR_OC_REASON_RESTART => Reason::Restart,
            ffi::APR_OC_REASON_UNREGISTER => Reason::Unregister,
            _ => Reason::Other,
        }
    }
}

/// The function httpd calls: reason, our data, wait status.
pub type Maintenance = unsafe extern "C" fn(c_int, *mut c_void, c_int);

/// Asks httpd to reap `pid` and to call `maintenance` with `data`; the registration lives in
/// `pool`, and `data` must live until [`unregister`].
pub fn register(pool: Pool<'_>, pid: i32, maintenance: Maintenance, data: *mut c_void) {
    let null = std::ptr::null_mut();
    let process = ffi::apr_proc_t {
        pid,
        in_: null,
        out: null,
        err: null,
    };
    // APR keeps the pointer, so the record has to live in the pool too.
    let process = pool.place_copy(process);
    // SAFETY: record and pool outlive the registration; there is no descriptor to watch.
    unsafe {
        ffi::apr_proc_other_child_register(process, Some(maintenance), data, null, pool.as_ptr())
    }
}

/// Ends the registration with this data; httpd then calls the function once more.
///
/// # Safety
/// `data` is registered: APR follows a null pointer otherwise.
pub unsafe fn unregister(data: *mut c_void) {
    // SAFETY: the caller vouches that it is registered.
    unsafe { ffi::apr_proc_other_child_unregister(data) }
}
