//! Python objects as they are lent: what can be asked of them and done with them.
//!
//! Used by attached threads only: a loan is not `Send`, so it cannot be carried into code that runs
//! with the GIL released.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use pyo3::ffi;

use super::{Latin1, Owned, Python, Raised};

/// A Python object, always met behind a reference; the reference's life is the loan.
#[repr(transparent)]
pub struct Object {
    _opaque: PhantomData<(std::cell::UnsafeCell<()>, *mut ())>,
    _byte: [u8; 0],
}

impl Object {
    /// Lends the object behind `pointer`.
    ///
    /// # Safety
    /// `pointer` is a live object of the interpreter the thread is attached to, and somebody owns a
    /// reference to it for all of `'p`.
    pub unsafe fn lend<'p>(_: Python<'p>, pointer: *mut ffi::PyObject) -> &'p Object {
        // SAFETY: the caller vouches that the pointer is live; Object has no bytes of its own.
        unsafe { &*pointer.cast::<Object>() }
    }

    /// The pointer for the C API; still lent.
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// A reference of our own.
    pub fn to_owned<'p>(&self, _: Python<'p>) -> Owned<'p> {
        // SAFETY: the object lives and the token proves that we are attached.
        unsafe { ffi::Py_IncRef(self.as_ptr()) };
        Owned::from_raw(NonNull::from(self).cast())
    }

    /// Whether this is None.
    pub fn is_none(&self) -> bool {
        // SAFETY: gives the address of a static object.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    /// The object's type, as a pointer to compare with.
    pub fn type_ptr(&self) -> *mut ffi::PyTypeObject {
        // SAFETY: the object lives.
        unsafe { ffi::Py_TYPE(self.as_ptr()) }
    }

    /// Whether the type is exactly list.
    pub fn is_exact_list(&self) -> bool {
        // SAFETY: the object lives.
        unsafe { ffi::PyList_CheckExact(self.as_ptr()) != 0 }
    }

    /// Whether the type is exactly tuple.
    pub fn is_exact_tuple(&self) -> bool {
        // SAFETY: the object lives.
        unsafe { ffi::PyTuple_CheckExact(self.as_ptr()) != 0 }
    }

    /// How many items an object holds for which [`Object::is_exact_list`] or
    /// [`Object::is_exact_tuple`] is true; 0 for others.
    pub fn sequence_length(&self) -> usize {
        let length = if self.is_exact_list() {
            // SAFETY: a list.
            unsafe { ffi::PyList_Size(self.as_ptr()) }
        } else if self.is_exact_tuple() {
            // SAFETY: a tuple.
            unsafe { ffi::PyTuple_Size(self.as_ptr()) }
        } else {
            0
        };
        usize::try_from(length).unwrap_or(0)
    }

    /// The item at `index` of an exact list or tuple, `None` past its end: the list may have shrunk.
    pub fn item<'p>(&self, python: Python<'p>, index: usize) -> Option<Owned<'p>> {
        if index >= self.sequence_length() {
            return None;
        }
        let index = index as ffi::Py_ssize_t;
        let item = if self.is_exact_list() {
            // SAFETY: a list, and the index was checked with the GIL held.
            unsafe { ffi::PyList_GetItem(self.as_ptr(), index) }
        } else {
            // SAFETY: a tuple, and the index was checked.
            unsafe { ffi::PyTuple_GetItem(self.as_ptr(), index) }
        };
        // SAFETY: the sequence owns the item, and no Python code runs before we own it as well.
        Some(unsafe { Object::lend(python, item) }.to_owned(python))
    }

    /// The items of an exact list or tuple that are bytes.
    pub fn bytes_of_items(&self, python: Python<'_>) -> Vec<Vec<u8>> {
        (0..self.sequence_length())
            .filter_map(|index| self.item(python, index))
            .filter_map(|item| item.as_bytes().map(<[u8]>::to_vec))
            .collect()
    }

    /// The bytes of a `bytes` object (or of a subclass), else `None`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        // SAFETY: the object lives.
        if unsafe { ffi::PyBytes_Check(self.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: a bytes object.
        let data = unsafe { ffi::PyBytes_AsString(self.as_ptr()) };
        // SAFETY: as above.
        let length = unsafe { ffi::PyBytes_Size(self.as_ptr()) };
        let length = usize::try_from(length).unwrap_or(0);
        // SAFETY: a bytes object never changes, and lives as long as the loan.
        Some(unsafe { std::slice::from_raw_parts(data.cast(), length) })
    }

    /// Whether this is a `str` (or of a subclass).
    pub fn is_str(&self) -> bool {
        // SAFETY: the object lives.
        unsafe { ffi::PyUnicode_Check(self.as_ptr()) != 0 }
    }

    /// The text of a str as Latin-1, or the exception that it cannot be.
    pub fn latin1(&self) -> Result<Latin1<'_>, Raised> {
        Latin1::of(self)
    }

    /// The name of the object's type, for messages.
    pub fn type_name(&self, python: Python<'_>) -> String {
        // SAFETY: the type of a live object lives.
        let kind = unsafe { Object::lend(python, self.type_ptr().cast()) };
        match kind.attribute(python, c"__name__") {
            Ok(name) => match name.latin1() {
                Ok(text) => String::from_utf8_lossy(text.bytes()).into_owned(),
                Err(raised) => raised.discard(python, String::from("object")),
            },
            Err(raised) => raised.discard(python, String::from("object")),
        }
    }

    /// Python's `getattr`.
    pub fn attribute<'p>(&self, python: Python<'p>, name: &CStr) -> Result<Owned<'p>, Raised> {
        // SAFETY: the object lives and the name is a C string.
        let found = unsafe { ffi::PyObject_GetAttrString(self.as_ptr(), name.as_ptr()) };
        Owned::new(python, found)
    }

    /// `getattr` with a default: `None` when there is no such attribute.
    pub fn optional_attribute<'p>(
        &self,
        python: Python<'p>,
        name: &Object,
    ) -> Result<Option<Owned<'p>>, Raised> {
        // SAFETY: both objects live.
        let found = unsafe { ffi::PyObject_GetAttr(self.as_ptr(), name.as_ptr()) };
        match Owned::new(python, found) {
            Ok(found) => Ok(Some(found)),
            Err(raised) => {
                // SAFETY: a static of Python, set before any code of ours runs.
                let class = unsafe { ffi::PyExc_AttributeError };
                // SAFETY: an exception is set, and the class lives for ever.
                let missing = unsafe { ffi::PyErr_ExceptionMatches(class) };
                if missing == 0 {
                    Err(raised)
                } else {
                    Ok(raised.discard(python, None))
                }
            }
        }
    }

    /// Calls without arguments.
    pub fn call0<'p>(&self, python: Python<'p>) -> Result<Owned<'p>, Raised> {
        // SAFETY: the object lives; the list of arguments ends with null.
        let result = unsafe {
            ffi::PyObject_CallFunctionObjArgs(self.as_ptr(), ptr::null_mut::<ffi::PyObject>())
        };
        Owned::new(python, result)
    }

    /// Calls with one positional argument.
    pub fn call1<'p>(&self, python: Python<'p>, first: &Object) -> Result<Owned<'p>, Raised> {
        // SAFETY: the objects live; the list of arguments ends with null.
        let result = unsafe {
            ffi::PyObject_CallFunctionObjArgs(
                self.as_ptr(),
                first.as_ptr(),
                ptr::null_mut::<ffi::PyObject>(),
            )
        };
        Owned::new(python, result)
    }

    /// Calls with two positional arguments.
    pub fn call2<'p>(
        &self,
        python: Python<'p>,
        first: &Object,
        second: &Object,
    ) -> Result<Owned<'p>, Raised> {
        // SAFETY: the objects live; the list of arguments ends with null.
        let result = unsafe {
            ffi::PyObject_CallFunctionObjArgs(
                self.as_ptr(),
                first.as_ptr(),
                second.as_ptr(),
                ptr::null_mut::<ffi::PyObject>(),
            )
        };
        Owned::new(python, result)
    }

    /// Calls with these positional arguments.
    pub fn call<'p>(
        &self,
        python: Python<'p>,
        arguments: Vec<Owned<'p>>,
    ) -> Result<Owned<'p>, Raised> {
        let arguments = Owned::tuple(python, arguments)?;
        // SAFETY: the object lives; the arguments are a tuple.
        let result = unsafe { ffi::PyObject_CallObject(self.as_ptr(), arguments.as_ptr()) };
        Owned::new(python, result)
    }

    /// Whether this is True or False, and which.
    pub fn as_bool(&self) -> Option<bool> {
        // SAFETY: gives the address of a static object.
        if self.as_ptr() == unsafe { ffi::Py_True() } {
            return Some(true);
        }
        // SAFETY: as above.
        (self.as_ptr() == unsafe { ffi::Py_False() }).then_some(false)
    }

    /// Python's `iter`.
    pub fn iterate<'p>(&self, python: Python<'p>) -> Result<Owned<'p>, Raised> {
        // SAFETY: the object lives.
        Owned::new(python, unsafe { ffi::PyObject_GetIter(self.as_ptr()) })
    }

    /// The next item of an iterator, or `None` at its end.
    pub fn next_item<'p>(&self, python: Python<'p>) -> Result<Option<Owned<'p>>, Raised> {
        // SAFETY: the object is an iterator: it came from `iterate`.
        let item = unsafe { ffi::PyIter_Next(self.as_ptr()) };
        match NonNull::new(item) {
            Some(item) => Ok(Some(Owned::from_raw(item))),
            None if Raised::pending(python) => Err(Raised::already_set()),
            None => Ok(None),
        }
    }

    /// The value of a dict, or `None` when it has no such key.
    pub fn dict_item<'p>(
        &self,
        python: Python<'p>,
        key: &Object,
    ) -> Result<Option<Owned<'p>>, Raised> {
        // SAFETY: both objects live; an object that is no dict is answered with an exception.
        let found = unsafe { ffi::PyDict_GetItemWithError(self.as_ptr(), key.as_ptr()) };
        if found.is_null() {
            return if Raised::pending(python) {
                Err(Raised::already_set())
            } else {
                Ok(None)
            };
        }
        // SAFETY: the dict owns the value, and no Python code runs before we own it as well.
        Ok(Some(
            unsafe { Object::lend(python, found) }.to_owned(python),
        ))
    }

    /// Puts a pair into a dict.
    pub fn set_dict_item(&self, key: &Object, value: &Object) -> Result<(), Raised> {
        // SAFETY: the three objects live; the dict takes references of its own.
        let failed =
            unsafe { ffi::PyDict_SetItem(self.as_ptr(), key.as_ptr(), value.as_ptr()) } != 0;
        if failed {
            Err(Raised::already_set())
        } else {
            Ok(())
        }
    }

    /// How many pairs a dict has; 0 for others.
    pub fn dict_length(&self) -> usize {
        // SAFETY: the object lives.
        if unsafe { ffi::PyDict_Check(self.as_ptr()) } != 0 {
            // SAFETY: a dict.
            usize::try_from(unsafe { ffi::PyDict_Size(self.as_ptr()) }).unwrap_or(0)
        } else {
            0
        }
    }

    /// Takes a pair out of a dict; KeyError when it has no such key.
    pub fn delete_dict_item(&self, key: &Object) -> Result<(), Raised> {
        // SAFETY: both objects live; an object that is no dict is answered with an exception.
        if unsafe { ffi::PyDict_DelItem(self.as_ptr(), key.as_ptr()) } == 0 {
            Ok(())
        } else {
            Err(Raised::already_set())
        }
    }

    /// An int as a signed number; TypeError or OverflowError when it is none or does not fit.
    pub fn as_i64(&self, python: Python<'_>) -> Result<i64, Raised> {
        // SAFETY: the object lives; another type is answered with an exception.
        let value = unsafe { ffi::PyLong_AsLongLong(self.as_ptr()) };
        if value == -1 && Raised::pending(python) {
            return Err(Raised::already_set());
        }
        Ok(value)
    }

    /// Python's `bool`.
    pub fn is_true(&self, _: Python<'_>) -> Result<bool, Raised> {
        // SAFETY: the object lives.
        match unsafe { ffi::PyObject_IsTrue(self.as_ptr()) } {
            -1 => Err(Raised::already_set()),
            truth => Ok(truth != 0),
        }
    }

    /// Python's `str`, for messages: empty when it fails.
    pub fn text_of(&self, python: Python<'_>) -> String {
        // SAFETY: the object lives.
        match Owned::new(python, unsafe { ffi::PyObject_Str(self.as_ptr()) }) {
            Ok(text) => text.utf8_lossy(python),
            Err(raised) => raised.discard(python, String::new()),
        }
    }

    /// The text of a str as UTF-8, or the exception that it cannot be.
    pub fn utf8(&self, python: Python<'_>) -> Result<Vec<u8>, Raised> {
        // SAFETY: the object lives; one that is no str is answered with an exception.
        let encoded = unsafe { ffi::PyUnicode_AsUTF8String(self.as_ptr()) };
        let encoded = Owned::new(python, encoded)?;
        Ok(encoded.as_bytes().unwrap_or(&[]).to_vec())
    }

    /// The text of a str, with what UTF-8 cannot hold (lone surrogates) escaped.
    pub fn utf8_lossy(&self, python: Python<'_>) -> String {
        // SAFETY: the object lives; one that is no str is answered with an exception.
        let encoded = unsafe {
            ffi::PyUnicode_AsEncodedString(
                self.as_ptr(),
                c"utf-8".as_ptr(),
                c"backslashreplace".as_ptr(),
            )
        };
        match Owned::new(python, encoded) {
            Ok(bytes) => String::from_utf8_lossy(bytes.as_bytes().unwrap_or(&[])).into_owned(),
            Err(raised) => raised.discard(python, String::new()),
        }
    }

    /// A non-negative int that fits, else `None`.
    pub fn as_u64(&self, python: Python<'_>) -> Option<u64> {
        match self.as_i64(python) {
            Ok(value) => u64::try_from(value).ok(),
            Err(raised) => raised.discard(python, None),
        }
    }
}
