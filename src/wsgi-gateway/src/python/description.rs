//! What Python says about itself.
//!
//! Asked once by an attached thread.

use std::ffi::CStr;

use pyo3::ffi;

use super::{Object, Python};

/// Facts about the interpreter.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its version: `3.11.2`.
    pub version: String,
    /// `sys.getswitchinterval()`, seconds; 0 when it does not say.
    pub switch_interval: f64,
}

/// Describes the attached interpreter.
pub fn description(python: Python<'_>) -> Description {
    // SAFETY: gives a constant.
    let version = unsafe { ffi::Py_GetVersion() };
    // SAFETY: a C string that lives for ever.
    let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    // SAFETY: needs the GIL only; the answer is lent, or null.
    let function = unsafe { ffi::PySys_GetObject(c"getswitchinterval".as_ptr()) };
    let switch_interval = if function.is_null() {
        0.0
    } else {
        // SAFETY: `sys` owns the function.
        let function = unsafe { Object::lend(python, function) };
        match function.call0(python) {
            Ok(interval) => interval.text_of(python).parse().unwrap_or(0.0),
            Err(raised) => raised.discard(python, 0.0),
        }
    };
    Description {
        version,
        switch_interval,
    }
}
