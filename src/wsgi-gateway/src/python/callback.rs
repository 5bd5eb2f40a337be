//! The boundary that every function called by Python runs inside.
//!
//! Used on any thread that runs Python code, with the GIL held. Nothing may unwind into C.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;

use super::types::payload;
use super::{Exception, Object, Owned, Python, Raised};

/// Runs the body of a function called by Python: its result becomes a new reference, nothing becomes
/// null (an iterator's end), an exception null with the exception set, and a panic RuntimeError.
///
/// # Safety
/// Only for the body of a function that Python called on this thread: it makes the token.
unsafe fn fence<'p>(
    body: impl FnOnce(Python<'p>) -> Result<Option<Owned<'p>>, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: Python called us, so this thread is attached until we return.
    let python = unsafe { Python::assume() };
    match catch_unwind(AssertUnwindSafe(|| body(python))) {
        Ok(Ok(object)) => object.map_or(ptr::null_mut(), Owned::into_ptr),
        Ok(Err(Raised { .. })) => ptr::null_mut(),
        Err(_) => {
            let _ = Exception::Runtime.raise(python, "the WSGI gateway failed; see the error log");
            ptr::null_mut()
        }
    }
}

/// The arguments of a call as Python passes them: the values, the count of those without a name, and
/// the names of the others or null.
pub type RawArguments = (
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
);

/// The arguments of a slot or of a METH_NOARGS function.
pub const NO_ARGUMENTS: RawArguments = (ptr::null(), 0, ptr::null_mut());

/// The object that a method was called on.
pub struct Receiver<'p, T> {
    /// As Python knows it.
    pub object: &'p Object,
    /// The value inside.
    pub value: &'p T,
}

/// As [`fence`], for a function with METH_FASTCALL | METH_KEYWORDS.
///
/// # Safety
/// As for [`fence`]; the arguments are those of the call.
pub unsafe fn fence_function<'p>(
    raw: RawArguments,
    body: impl FnOnce(Python<'p>, Arguments<'p>) -> Result<Owned<'p>, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: the caller vouches that Python called us.
    unsafe { fence(|python| body(python, Arguments { python, raw }).map(Some)) }
}

/// Defines a function of C's calling convention that Python calls with METH_FASTCALL | METH_KEYWORDS:
/// its name, and the function behind the fence.
macro_rules! python_function {
    ($name:ident, $body:path) => {
        unsafe extern "C" fn $name(
            _: *mut pyo3::ffi::PyObject,
            values: *const *mut pyo3::ffi::PyObject,
            count: pyo3::ffi::Py_ssize_t,
            names: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: Python called us with these arguments.
            unsafe { $crate::python::fence_function((values, count, names), $body) }
        }
    };
}

pub(crate) use python_function;

/// As [`fence_function`], for a method or slot of a type whose instances hold a `T`.
///
/// # Safety
/// As for [`fence_function`]; `instance` is of a type that `new_type` made for the same `T`.
pub unsafe fn fence_method<'p, T: 'p>(
    instance: *mut ffi::PyObject,
    raw: RawArguments,
    body: impl FnOnce(Python<'p>, Receiver<'p, T>, Arguments<'p>) -> Result<Owned<'p>, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: Python's frame keeps the instance alive for the call, and the caller vouches for T.
    let value = unsafe { payload::<T>(instance) };
    let with_receiver = |python, arguments| {
        // SAFETY: as above.
        let object = unsafe { Object::lend(python, instance) };
        body(python, Receiver { object, value }, arguments)
    };
    // SAFETY: the caller vouches for the rest.
    unsafe { fence_function(raw, with_receiver) }
}

/// As [`python_function`], for a method of a type whose instances hold a `$held`.
macro_rules! python_method {
    ($name:ident, $held:ty, $body:path) => {
        unsafe extern "C" fn $name(
            instance: *mut pyo3::ffi::PyObject,
            values: *const *mut pyo3::ffi::PyObject,
            count: pyo3::ffi::Py_ssize_t,
            names: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: Python runs this function on an object that holds it, with these arguments.
            unsafe {
                $crate::python::fence_method::<$held>(instance, (values, count, names), $body)
            }
        }
    };
}

pub(crate) use python_method;

/// As [`fence_method`], for the slot `tp_iternext`: nothing is the iterator's end.
///
/// # Safety
/// As for [`fence_method`].
pub unsafe fn fence_next<'p, T: 'p>(
    instance: *mut ffi::PyObject,
    body: impl FnOnce(Python<'p>, &'p T) -> Result<Option<Owned<'p>>, Raised>,
) -> *mut ffi::PyObject {
    // SAFETY: Python's frame keeps the instance alive for the call, and the caller vouches for T.
    let value = unsafe { payload::<T>(instance) };
    // SAFETY: the caller vouches for the rest.
    unsafe { fence(|python| body(python, value)) }
}

/// The arguments of a call.
#[derive(Clone, Copy)]
pub struct Arguments<'p> {
    python: Python<'p>,
    raw: RawArguments,
}

impl<'p> Arguments<'p> {
    fn value(&self, index: usize) -> &'p Object {
        // SAFETY: the callers below check the index against the counts that Python gave.
        let place = unsafe { self.raw.0.add(index) };
        // SAFETY: as above.
        let pointer = unsafe { *place };
        // SAFETY: the caller's frame owns every argument for the length of the call.
        unsafe { Object::lend(self.python, pointer) }
    }

    /// Sorts the arguments into the places named in `parameters`.
    pub fn bind<const N: usize>(
        &self,
        function: &str,
        parameters: [&str; N],
    ) -> Result<[Option<&'p Object>; N], Raised> {
        let (_, positional, names) = self.raw;
        let positional = usize::try_from(positional).unwrap_or(0);
        let mut places = [None; N];
        if positional > N {
            let message = format!(
                "{function}() takes at most {N} arguments ({} given)",
                positional
            );
            return Err(Exception::Type.raise(self.python, &message));
        }
        for (index, place) in places.iter_mut().enumerate().take(positional) {
            *place = Some(self.value(index));
        }
        if names.is_null() {
            return Ok(places);
        }
        // SAFETY: the names are a tuple that the caller's frame owns.
        let names = unsafe { Object::lend(self.python, names) };
        for index in 0..names.sequence_length() {
            let Some(name) = names.item(self.python, index) else {
                break;
            };
            let text = name.latin1()?;
            let found = parameters
                .iter()
                .position(|parameter| parameter.as_bytes() == text.bytes());
            match found {
                Some(at) if places[at].is_none() => {
                    places[at] = Some(self.value(positional + index));
                }
                _ => {
                    let name = String::from_utf8_lossy(text.bytes());
                    let message = format!("{function}() got an unexpected argument '{name}'");
                    return Err(Exception::Type.raise(self.python, &message));
                }
            }
        }
        Ok(places)
    }
}
