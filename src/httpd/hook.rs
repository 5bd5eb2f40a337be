//! Registration of our functions with httpd's hooks, each with its place in the order.
//!
//! Called from the module record's `register_hooks` only: in the parent's main thread, each time
//! the module is loaded.

use std::ffi::{CStr, c_char, c_int};

use crate::ffi;

/// A place among the functions of one hook.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Modules (by their name string) whose functions run before ours.
    pub after: &'static [&'static CStr],
    /// Modules whose functions run after ours.
    pub before: &'static [&'static CStr],
    /// `APR_HOOK_*`.
    pub when: c_int,
}

/// Anywhere in the middle.
pub const MIDDLE: Order = Order {
    after: &[],
    before: &[],
    when: ffi::APR_HOOK_MIDDLE,
};

/// Before all others.
pub const FIRST_OF_ALL: Order = Order {
    when: ffi::APR_HOOK_REALLY_FIRST,
    ..MIDDLE
};

/// A hook of httpd and our function for it.
#[derive(Debug, Clone, Copy)]
pub enum Hook {
    /// The configuration was read; also under `configtest`.
    CheckConfig(CheckConfig),
    /// The configuration was read and checked, in the parent, before children.
    PostConfig(PostConfig),
    /// A child starts; its main thread, as the unprivileged user.
    ChildInit(ChildInit),
    /// A request's URL is mapped to a file.
    TranslateName(OnRequest),
    /// A host may come in or not; asked again for each internal request, whose path may decide.
    CheckAccess(OnRequest),
    /// A request is answered.
    Handler(OnRequest),
}

/// Type of a check_config function (`http_config.h`).
pub type CheckConfig = unsafe extern "C" fn(
    *mut ffi::apr_pool_t,
    *mut ffi::apr_pool_t,
    *mut ffi::apr_pool_t,
    *mut ffi::server_rec,
) -> c_int;
/// Type of a post_config function.
pub type PostConfig = CheckConfig;
/// Type of a child_init function.
pub type ChildInit = unsafe extern "C" fn(*mut ffi::apr_pool_t, *mut ffi::server_rec);
/// Type of a function for one request.
pub type OnRequest = unsafe extern "C" fn(*mut ffi::request_rec) -> c_int;

/// Registers one function. httpd keeps the name lists until the module is unloaded.
pub fn register(hook: Hook, order: Order) {
    let after = names(order.after);
    let before = names(order.before);
    let when = order.when;
    match hook {
        // SAFETY: function and name lists live as long as the module is loaded.
        Hook::CheckConfig(f) => unsafe { ffi::ap_hook_check_config(Some(f), after, before, when) },
        // SAFETY: as above.
        Hook::PostConfig(f) => unsafe { ffi::ap_hook_post_config(Some(f), after, before, when) },
        // SAFETY: as above.
        Hook::ChildInit(f) => unsafe { ffi::ap_hook_child_init(Some(f), after, before, when) },
        // SAFETY: as above.
        Hook::TranslateName(f) => unsafe {
            ffi::ap_hook_translate_name(Some(f), after, before, when)
        },
        // SAFETY: as above.
        Hook::CheckAccess(f) => unsafe {
            let kind = ffi::AP_AUTH_INTERNAL_PER_URI;
            ffi::ap_hook_check_access(Some(f), after, before, when, kind)
        },
        // SAFETY: as above.
        Hook::Handler(f) => unsafe { ffi::ap_hook_handler(Some(f), after, before, when) },
    }
}

/// A null-terminated array of the names. It is never freed: httpd sorts hooks at every start and
/// reads it then; a few words for each load of the module.
fn names(list: &'static [&'static CStr]) -> *const *const c_char {
    if list.is_empty() {
        return std::ptr::null();
    }
    let mut names: Vec<*const c_char> = list.iter().map(|name| name.as_ptr()).collect();
    names.push(std::ptr::null());
    Box::leak(names.into_boxed_slice()).as_ptr()
}
