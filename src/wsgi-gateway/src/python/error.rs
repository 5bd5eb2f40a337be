//! Python exceptions: raising them, taking them, and the classes we raise.
//!
//! Used by attached threads. A [`Raised`] says that an exception is set in the thread state, where
//! Python looks for it when one of our functions returns null; an [`Error`] was taken from there.

use std::ffi::CString;
use std::ptr;

use pyo3::ffi;

use super::{Object, Owned, Python};

/// The classes of exceptions that the gateway raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// An argument has the wrong type.
    Type,
    /// An argument has the right type and a wrong value.
    Value,
    /// A call at the wrong time.
    Runtime,
    /// The client or its connection failed.
    Os,
}

impl Exception {
    fn class(self) -> *mut ffi::PyObject {
        match self {
            // SAFETY: a static of Python, set before any code of ours runs.
            Exception::Type => unsafe { ffi::PyExc_TypeError },
            // SAFETY: as above.
            Exception::Value => unsafe { ffi::PyExc_ValueError },
            // SAFETY: as above.
            Exception::Runtime => unsafe { ffi::PyExc_RuntimeError },
            // SAFETY: as above.
            Exception::Os => unsafe { ffi::PyExc_OSError },
        }
    }

    /// Raises an exception of this class.
    pub fn raise(self, _: Python<'_>, message: &str) -> Raised {
        // A NUL would end the message early; it can come from the application's own strings.
        let text = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        // SAFETY: the class lives and the text is a C string.
        unsafe { ffi::PyErr_SetString(self.class(), text.as_ptr()) };
        Raised(())
    }
}

/// An exception is set in the current thread state.
#[derive(Debug)]
#[must_use = "an exception is set: pass it on, take it or discard it"]
pub struct Raised(());

impl Raised {
    /// For the caller that knows that an exception is set.
    pub fn already_set() -> Self {
        Raised(())
    }

    /// Whether an exception is set.
    pub fn pending(_: Python<'_>) -> bool {
        // SAFETY: the token proves that we are attached.
        unsafe { !ffi::PyErr_Occurred().is_null() }
    }

    /// Forgets the exception and gives `value` instead.
    pub fn discard<T>(self, _: Python<'_>, value: T) -> T {
        // SAFETY: the token proves that we are attached.
        unsafe { ffi::PyErr_Clear() };
        value
    }

    /// Takes the exception out of the thread state.
    pub fn take(self, python: Python<'_>) -> Error<'_> {
        let (mut class, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: three places to write owned references to, each of which may become null.
        unsafe { ffi::PyErr_Fetch(&mut class, &mut value, &mut trace) };
        // SAFETY: the three that were fetched.
        unsafe { ffi::PyErr_NormalizeException(&mut class, &mut value, &mut trace) };
        let or_none = |pointer| match Owned::new(python, pointer) {
            Ok(owned) => owned,
            Err(raised) => raised.discard(python, Owned::none(python)),
        };
        Error {
            class: or_none(class),
            value: or_none(value),
            trace: or_none(trace),
        }
    }
}

/// A taken exception.
pub struct Error<'p> {
    /// Its class.
    pub class: Owned<'p>,
    /// The exception itself.
    pub value: Owned<'p>,
    /// Its traceback, or None.
    pub trace: Owned<'p>,
}

impl Error<'_> {
    /// Whether the exception is of this class or a subclass of it.
    pub fn is_of(&self, exception: Exception) -> bool {
        self.matches_pointer(exception.class())
    }

    /// Whether the exception is of the class `class` or a subclass of it.
    pub fn matches(&self, class: &Object) -> bool {
        self.matches_pointer(class.as_ptr())
    }

    /// Whether this is SystemExit.
    pub fn is_system_exit(&self) -> bool {
        // SAFETY: a static of Python, set before any code of ours runs.
        self.matches_pointer(unsafe { ffi::PyExc_SystemExit })
    }

    fn matches_pointer(&self, class: *mut ffi::PyObject) -> bool {
        // SAFETY: both objects live.
        unsafe { ffi::PyErr_GivenExceptionMatches(self.class.as_ptr(), class) != 0 }
    }
}

/// Raises again what the application passed as `exc_info`: a class, an instance and a traceback.
pub fn restore(class: Owned<'_>, value: Owned<'_>, trace: Owned<'_>) -> Raised {
    let trace = if trace.is_none() {
        ptr::null_mut()
    } else {
        trace.into_ptr()
    };
    // SAFETY: takes over three owned references; the last may be null.
    unsafe { ffi::PyErr_Restore(class.into_ptr(), value.into_ptr(), trace) };
    Raised(())
}
