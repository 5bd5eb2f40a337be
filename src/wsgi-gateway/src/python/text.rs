//! Reading str objects as bytes without a Python object in between.
//!
//! Used by attached threads, on the way of every status line and header.

use std::borrow::Cow;

use pyo3::ffi;

use super::{Object, Raised};

/// The text of a str as Latin-1 bytes: what HTTP carries (PEP 3333, "Unicode Issues").
#[derive(Debug)]
pub struct Latin1<'o>(Cow<'o, [u8]>);

impl<'o> Latin1<'o> {
    /// Reads `object`, which must be a str; a character beyond U+00FF raises UnicodeEncodeError, as
    /// encoding it would.
    pub(super) fn of(object: &'o Object) -> Result<Self, Raised> {
        let mut length = 0;
        // SAFETY: the object lives; one that is no str is answered with an exception.
        let data = unsafe { ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &mut length) };
        if data.is_null() {
            return Err(Raised::already_set());
        }
        // SAFETY: the str keeps its UTF-8 form for as long as it lives, and `length` bytes of it.
        let utf8 = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length as usize) };
        if utf8.is_ascii() {
            return Ok(Latin1(Cow::Borrowed(utf8)));
        }
        // Rare, and the exception's wording is Python's: let the codec do it.
        // SAFETY: a str.
        let encoded = unsafe { ffi::PyUnicode_AsLatin1String(object.as_ptr()) };
        if encoded.is_null() {
            return Err(Raised::already_set());
        }
        let narrow = String::from_utf8_lossy(utf8)
            .chars()
            .map(|c| c as u32 as u8)
            .collect();
        // SAFETY: the new reference is ours, and its check was all we wanted of it.
        unsafe { ffi::Py_DecRef(encoded) };
        Ok(Latin1(Cow::Owned(narrow)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
