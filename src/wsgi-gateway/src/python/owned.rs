//! References to Python objects that are ours: for a while, or for the process's life.
//!
//! Used by attached threads only. An [`Owned`] cannot outlive the attachment; a [`Stored`] does, and
//! lies in the structure of its interpreter.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

use super::{Object, Python, Raised};

/// A reference that is ours until it is dropped; cannot outlive the attachment.
pub struct Owned<'p>(NonNull<ffi::PyObject>, PhantomData<(Python<'p>, *mut ())>);

impl<'p> Owned<'p> {
    /// Takes over a reference.
    pub(super) fn from_raw(pointer: NonNull<ffi::PyObject>) -> Self {
        Owned(pointer, PhantomData)
    }

    /// Takes over the new reference that a C function gave, or the exception it has set.
    pub fn new(_: Python<'p>, pointer: *mut ffi::PyObject) -> Result<Self, Raised> {
        NonNull::new(pointer)
            .map(|pointer| Owned(pointer, PhantomData))
            .ok_or(Raised::already_set())
    }

    /// Gives the reference to the caller, who has to release it.
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// Keeps the reference beyond the attachment.
    pub fn store(self) -> Stored {
        Stored(NonNull::from(&*self).cast::<ffi::PyObject>()).keep(self)
    }

    /// A str whose code points are these bytes (PEP 3333, "Unicode Issues").
    pub fn latin1(python: Python<'p>, bytes: &[u8]) -> Result<Self, Raised> {
        let length = bytes.len() as ffi::Py_ssize_t;
        // SAFETY: the bytes are readable for the length; the error handler may be null.
        let text =
            unsafe { ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, ptr::null()) };
        Owned::new(python, text)
    }

    /// A str from a path's bytes, decoded as Python decodes names of files.
    pub fn path(python: Python<'p>, bytes: &[u8]) -> Result<Self, Raised> {
        let length = bytes.len() as ffi::Py_ssize_t;
        // SAFETY: the bytes are readable for the length.
        let text = unsafe { ffi::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), length) };
        Owned::new(python, text)
    }

    /// A str from UTF-8; what is no UTF-8 is replaced.
    pub fn text(python: Python<'p>, text: &str) -> Result<Self, Raised> {
        let length = text.len() as ffi::Py_ssize_t;
        // SAFETY: the bytes are readable for the length.
        let text = unsafe { ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), length) };
        Owned::new(python, text)
    }

    /// The one str of its value, so that dicts compare it by address.
    pub fn interned(python: Python<'p>, bytes: &[u8]) -> Result<Self, Raised> {
        let mut pointer = Owned::latin1(python, bytes)?.into_ptr();
        // SAFETY: the pointer is an owned str, which the function may exchange for another.
        unsafe { ffi::PyUnicode_InternInPlace(&mut pointer) };
        Owned::new(python, pointer)
    }

    /// A bytes object with a copy of `bytes`.
    pub fn bytes(python: Python<'p>, bytes: &[u8]) -> Result<Self, Raised> {
        let length = bytes.len() as ffi::Py_ssize_t;
        // SAFETY: the bytes are readable for the length.
        let made = unsafe { ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length) };
        Owned::new(python, made)
    }

    /// A bytes object of `length` bytes that nobody else has yet, and its memory: `fill` writes all
    /// of it with the GIL released and tells how much is of use; a shorter result is copied.
    pub fn bytes_filled<E: Send>(
        python: Python<'p>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E> + Send,
    ) -> Result<Result<Self, E>, Raised> {
        let size = length as ffi::Py_ssize_t;
        // SAFETY: null asks for memory to be written by us.
        let made = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), size) };
        let made = Owned::new(python, made)?;
        // SAFETY: a bytes object.
        let data = unsafe { ffi::PyBytes_AsString(made.as_ptr()) };
        // SAFETY: the memory is zeroed by us first, is ours alone, and `length` bytes long.
        unsafe { ptr::write_bytes(data, 0, length) };
        // SAFETY: as above; initialised since.
        let memory = unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), length) };
        match python.detached(|| fill(memory)) {
            Ok(used) if used == length => Ok(Ok(made)),
            Ok(used) => {
                let used = made
                    .as_bytes()
                    .and_then(|bytes| bytes.get(..used))
                    .unwrap_or(&[]);
                Owned::bytes(python, used).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// A capsule without a name around a pointer that is not ours to free.
    pub fn capsule(python: Python<'p>, pointer: NonNull<c_void>) -> Result<Self, Raised> {
        // SAFETY: without a name and a destructor nothing is called or read later.
        Owned::new(python, unsafe {
            ffi::PyCapsule_New(pointer.as_ptr(), ptr::null(), None)
        })
    }

    /// A float.
    pub fn float(python: Python<'p>, value: f64) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        Owned::new(python, unsafe { ffi::PyFloat_FromDouble(value) })
    }

    /// An int.
    pub fn int(python: Python<'p>, value: u64) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        Owned::new(python, unsafe { ffi::PyLong_FromUnsignedLongLong(value) })
    }

    /// True or False.
    pub fn bool(python: Python<'p>, value: bool) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        Owned::new(python, unsafe { ffi::PyBool_FromLong(value.into()) })
    }

    /// None.
    pub fn none(python: Python<'p>) -> Self {
        // SAFETY: gives the address of a static object.
        let none = unsafe { ffi::Py_None() };
        // SAFETY: None lives for ever.
        unsafe { Object::lend(python, none) }.to_owned(python)
    }

    /// An empty dict.
    pub fn dict(python: Python<'p>) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        Owned::new(python, unsafe { ffi::PyDict_New() })
    }

    /// An empty list.
    pub fn list(python: Python<'p>) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        Owned::new(python, unsafe { ffi::PyList_New(0) })
    }

    /// Puts an item at a list's end.
    pub fn append(&self, item: &Object) -> Result<(), Raised> {
        // SAFETY: both objects live; an object that is no list is answered with an exception.
        let failed = unsafe { ffi::PyList_Append(self.as_ptr(), item.as_ptr()) } != 0;
        if failed {
            Err(Raised::already_set())
        } else {
            Ok(())
        }
    }

    /// A tuple of the items.
    pub fn tuple(python: Python<'p>, items: Vec<Owned<'p>>) -> Result<Self, Raised> {
        // SAFETY: needs the GIL only, which the token proves.
        let tuple = unsafe { ffi::PyTuple_New(items.len() as ffi::Py_ssize_t) };
        let tuple = Owned::new(python, tuple)?;
        for (index, item) in items.into_iter().enumerate() {
            let index = index as ffi::Py_ssize_t;
            // SAFETY: a new tuple with room at the index; the reference becomes the tuple's.
            unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), index, item.into_ptr()) };
        }
        Ok(tuple)
    }

    /// A copy of a dict.
    pub fn dict_copy(python: Python<'p>, dict: &Object) -> Result<Self, Raised> {
        // SAFETY: the object lives; one that is no dict is answered with an exception.
        Owned::new(python, unsafe { ffi::PyDict_Copy(dict.as_ptr()) })
    }
}

impl Deref for Owned<'_> {
    type Target = Object;

    fn deref(&self) -> &Object {
        // SAFETY: we own a reference for as long as self is borrowed.
        unsafe { &*self.0.as_ptr().cast::<Object>() }
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and the lifetime keeps us attached.
        unsafe { ffi::Py_DecRef(self.0.as_ptr()) }
    }
}

/// A reference kept in the structure of its interpreter. Dropping it releases nothing, because that
/// needs an attached thread: see [`Stored::release`].
#[derive(Debug)]
pub struct Stored(NonNull<ffi::PyObject>);

// SAFETY: the pointer is only followed with a token, that is by a thread that holds the GIL.
unsafe impl Send for Stored {}
// SAFETY: as for Send.
unsafe impl Sync for Stored {}

impl Stored {
    fn keep(self, owner: Owned<'_>) -> Self {
        std::mem::forget(owner);
        self
    }

    /// Lends the object to a thread that is attached to the interpreter it came from.
    pub fn object<'p>(&'p self, python: Python<'p>) -> &'p Object {
        // SAFETY: we own a reference, and the structure this lies in is its interpreter's.
        unsafe { Object::lend(python, self.0.as_ptr()) }
    }

    /// Gives the reference back to an attached thread, which releases it.
    pub fn release(self, _: Python<'_>) -> Owned<'_> {
        Owned(self.0, PhantomData)
    }
}

/// A place where a function leaves an object it owns for those it calls on the same thread.
#[derive(Debug, Default)]
pub struct Lent(AtomicPtr<ffi::PyObject>);

impl Lent {
    /// Leaves the object here until the result is dropped.
    pub fn put<'l>(&'l self, owner: &'l Owned<'_>) -> Loan<'l> {
        self.0.store(owner.as_ptr(), Ordering::Relaxed);
        Loan(self)
    }

    /// The object, if one is here. For the thread that left it, attached as it was then.
    pub fn object<'p>(&self, python: Python<'p>) -> Option<Owned<'p>> {
        let object = NonNull::new(self.0.load(Ordering::Relaxed))?;
        // SAFETY: the loan ends before its owner does, and both are further down this thread's stack.
        let object = unsafe { Object::lend(python, object.as_ptr()) };
        Some(object.to_owned(python))
    }
}

/// Ends what [`Lent::put`] began.
#[derive(Debug)]
pub struct Loan<'l>(&'l Lent);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.0.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
