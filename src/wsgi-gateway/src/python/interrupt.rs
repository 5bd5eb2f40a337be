//! Exceptions for other threads.
//!
//! Python raises them when the thread next runs Python code: a thread that waits in C gets them
//! when its wait is over.

use std::ffi::{CStr, c_long};
use std::ptr;

use pyo3::ffi;

use super::{Object, Owned, Python, Raised};

/// What Python calls the calling thread (`threading.get_ident()`).
pub fn thread_ident() -> u64 {
    // What PyThread_get_thread_ident gives on POSIX systems; it is not declared by pyo3.
    // SAFETY: no preconditions.
    unsafe { libc::pthread_self() }
}

/// Has an exception of `class` raised in another thread of the attached interpreter; without a class
/// takes back one that was not raised yet. Whether the thread was found.
pub fn send_exception(_: Python<'_>, thread: u64, class: Option<&Object>) -> bool {
    let class = class.map_or(ptr::null_mut(), Object::as_ptr);
    // SAFETY: attached; the class lives, and Python takes a reference of its own.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as c_long, class) > 0 }
}

/// Raises the exception class of a module that is loaded, on the calling thread.
pub fn raise_named(python: Python<'_>, (module, class): (&CStr, &CStr), message: &CStr) -> Raised {
    // SAFETY: attached; a C string.
    let module = Owned::new(python, unsafe {
        ffi::PyImport_ImportModule(module.as_ptr())
    });
    match module.and_then(|module| module.attribute(python, class)) {
        Ok(class) => {
            // SAFETY: attached; a class of the interpreter and a C string.
            unsafe { ffi::PyErr_SetString(class.as_ptr(), message.as_ptr()) };
            Raised::already_set()
        }
        Err(raised) => raised,
    }
}
