//! APR pools: memory that lives as long as a request, a connection or a configuration.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use crate::ffi;
use crate::httpd::boundary::guard;

/// A pool that lives at least for `'p`.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'p> {
    raw: *mut ffi::apr_pool_t,
    life: PhantomData<&'p ()>,
}

/// A NUL-terminated string in a pool, or in httpd's own constant memory.
#[derive(Debug, Clone, Copy)]
pub struct PoolStr<'p> {
    start: *const c_char,
    life: PhantomData<&'p ()>,
}

impl<'p> PoolStr<'p> {
    /// A string constant.
    pub const fn constant(text: &'static CStr) -> Self {
        PoolStr {
            start: text.as_ptr(),
            life: PhantomData,
        }
    }

    /// For C.
    pub fn as_ptr(self) -> *const c_char {
        self.start
    }

    /// The string with its end.
    pub fn as_c_str(self) -> &'p CStr {
        // SAFETY: as in `bytes`; a string of ours is never null.
        unsafe { CStr::from_ptr(self.start) }
    }

    /// The string's bytes.
    pub fn bytes(self) -> &'p [u8] {
        // SAFETY: `start` is a terminated string in a pool that lives for 'p.
        unsafe { super::c_bytes(self.start) }.unwrap_or_default()
    }
}

impl<'p> Pool<'p> {
    /// # Safety
    /// `raw` is a pool that is not cleared before `'p` ends, and no other thread uses it meanwhile.
    pub unsafe fn from_raw(raw: *mut ffi::apr_pool_t) -> Self {
        Pool {
            raw,
            life: PhantomData,
        }
    }

    /// For C.
    pub fn as_ptr(self) -> *mut ffi::apr_pool_t {
        self.raw
    }

    /// Copies `bytes` into the pool; what follows a NUL is invisible to C.
    pub fn string(self, bytes: &[u8]) -> PoolStr<'p> {
        // SAFETY: the pool is alive; apr_pstrmemdup copies `len` bytes and terminates them.
        let start = unsafe { ffi::apr_pstrmemdup(self.raw, bytes.as_ptr().cast(), bytes.len()) };
        PoolStr {
            start,
            life: PhantomData,
        }
    }

    /// Moves `value` into the pool, which drops it when it is cleared.
    pub fn place<T>(self, value: T) -> &'p mut T {
        let boxed = Box::into_raw(Box::new(value));
        self.on_clear(boxed.cast(), drop_boxed::<T>);
        // SAFETY: the box was just made and is freed by the cleanup only, after 'p.
        unsafe { &mut *boxed }
    }

    /// Puts `value`, which must need no drop, into the pool's own memory.
    pub fn place_copy<T>(self, value: T) -> &'p mut T {
        const { assert!(align_of::<T>() <= 8 && !std::mem::needs_drop::<T>()) };
        // SAFETY: the pool is alive; it aligns for every type (APR_ALIGN_DEFAULT, 8 bytes).
        let memory = unsafe { ffi::apr_palloc(self.raw, size_of::<T>()) }.cast::<T>();
        // SAFETY: fresh memory of T's size and alignment.
        unsafe { memory.write(value) };
        // SAFETY: written just now, owned by the pool for 'p, and nobody else knows it.
        unsafe { &mut *memory }
    }

    /// Calls `cleanup(data)` when the pool is cleared or destroyed, in every process that does so.
    pub fn on_clear(self, data: *mut c_void, cleanup: Cleanup) {
        // SAFETY: the pool is alive; what `cleanup` may do with `data` is its own contract.
        unsafe {
            ffi::apr_pool_cleanup_register(
                self.raw,
                data,
                Some(cleanup),
                Some(ffi::apr_pool_cleanup_null),
            )
        }
    }

    /// The value stored under `key` in the pool's user data, or null.
    pub fn userdata(self, key: &'static CStr) -> *mut c_void {
        let mut data = std::ptr::null_mut();
        // SAFETY: the pool is alive and `data` is writable; a missing key leaves null.
        unsafe { ffi::apr_pool_userdata_get(&mut data, key.as_ptr(), self.raw) };
        data
    }

    /// Stores `data` under `key`. The key is copied: it may be part of a module that is unloaded
    /// while the pool lives on.
    pub fn set_userdata(self, key: &'static CStr, data: *mut c_void) {
        // SAFETY: the pool is alive; without a cleanup APR never looks at `data`.
        unsafe { ffi::apr_pool_userdata_set(data, key.as_ptr(), None, self.raw) };
    }
}

/// A function that a pool calls when it is cleared.
pub type Cleanup = unsafe extern "C" fn(*mut c_void) -> ffi::apr_status_t;

unsafe extern "C" fn drop_boxed<T>(data: *mut c_void) -> ffi::apr_status_t {
    guard(0, || {
        // SAFETY: `place` made this pointer from a box of T and registered it once.
        drop(unsafe { Box::from_raw(data.cast::<T>()) });
        0
    })
}
