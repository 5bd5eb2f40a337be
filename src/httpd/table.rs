//! APR tables: ordered, case-insensitive name and value lists, e.g. the headers of a request.

use std::ffi::CStr;
use std::marker::PhantomData;

use crate::ffi;
use crate::httpd::pool::PoolStr;
use crate::httpd::{c_bytes, field};

/// A table that lives at least for `'p`.
#[derive(Debug, Clone, Copy)]
pub struct Table<'p> {
    raw: *mut ffi::apr_table_t,
    life: PhantomData<&'p ()>,
}

impl<'p> Table<'p> {
    /// # Safety
    /// `raw` is a table that lives for `'p` and is used by this thread only.
    pub unsafe fn from_raw(raw: *mut ffi::apr_table_t) -> Self {
        Table {
            raw,
            life: PhantomData,
        }
    }

    /// The first value of `name`.
    pub fn value(self, name: &CStr) -> Option<&'p [u8]> {
        // SAFETY: table and name are alive.
        let value = unsafe { ffi::apr_table_get(self.raw, name.as_ptr()) };
        // SAFETY: values of a table are terminated strings of its pool.
        unsafe { c_bytes(value) }
    }

    /// Sets the only value of `name`; both must live as long as the table.
    pub fn set(self, name: PoolStr<'p>, value: PoolStr<'p>) {
        // SAFETY: table and strings live for 'p.
        unsafe { ffi::apr_table_setn(self.raw, name.as_ptr(), value.as_ptr()) }
    }

    /// Adds a value to `name`, after those it has.
    pub fn add(self, name: PoolStr<'p>, value: PoolStr<'p>) {
        // SAFETY: table and strings live for 'p.
        unsafe { ffi::apr_table_addn(self.raw, name.as_ptr(), value.as_ptr()) }
    }

    /// Removes every value of `name`.
    pub fn remove(self, name: &CStr) {
        // SAFETY: table and name are alive.
        unsafe { ffi::apr_table_unset(self.raw, name.as_ptr()) }
    }

    /// Name and value of each entry in order; a value can be missing (`PassEnv` without value).
    pub fn entries(self) -> impl Iterator<Item = (&'p [u8], Option<&'p [u8]>)> {
        // apr_table_elts: a table begins with its array header (apr_tables.h).
        let array = self.raw.cast::<ffi::apr_array_header_t>();
        let start = field!(array, elts).cast::<ffi::apr_table_entry_t>();
        let count = usize::try_from(field!(array, nelts)).unwrap_or(0);
        (0..count).filter_map(move |index| {
            // SAFETY: `index` is below the element count.
            let entry = unsafe { start.add(index) };
            let value = field!(entry, key);
            // SAFETY: keys are terminated strings of the table's pool.
            let key = unsafe { c_bytes(value) }?;
            let value = field!(entry, val);
            // SAFETY: so are values, when there is one.
            let value = unsafe { c_bytes(value) };
            Some((key, value))
        })
    }
}
