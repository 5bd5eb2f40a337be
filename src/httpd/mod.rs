//! Safe views of httpd's and APR's types: the only place that touches them.
//!
//! Nothing here knows WSGI. Every view borrows a C structure for as long as the pool it lives in
//! (`SAFETY.md`, "A pool outlives its request"); none may be kept beyond that, and none is `Send`.

pub mod boundary;
pub mod brigade;
pub mod client;
pub mod date;
pub mod expression;
pub mod hook;
pub mod log;
pub mod login_cache;
pub mod other_child;
pub mod pool;
pub mod provider;
pub mod regex;
pub mod request;
pub mod scoreboard;
pub mod server;
pub mod status;
pub mod table;

use std::ffi::{CStr, c_char};

/// The bytes of a C string without its NUL, or `None` for a null pointer.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that lives and stays unchanged for `'a`.
pub(crate) unsafe fn c_bytes<'a>(pointer: *const c_char) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for a terminated string that lives for 'a.
    Some(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// Reads one field of a C structure that httpd may change meanwhile: a copy, never a reference.
macro_rules! field {
    ($pointer:expr, $($name:ident).+) => {{
        let pointer = $pointer;
        // SAFETY: the view was made from a structure that lives as long as the view (SAFETY.md,
        // "A pool outlives its request"); the field is copied, no reference is made.
        unsafe { (*pointer).$($name).+ }
    }};
}

/// Writes one field of a C structure.
macro_rules! set_field {
    ($pointer:expr, $($name:ident).+ = $value:expr) => {{
        let pointer = $pointer;
        let value = $value;
        // SAFETY: as for reading; a hook's thread is the only one that writes to its request
        // (SAFETY.md, "One thread at a time").
        unsafe { (*pointer).$($name).+ = value }
    }};
}

pub(crate) use {field, set_field};
