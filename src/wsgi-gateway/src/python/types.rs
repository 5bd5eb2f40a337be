//! Types and functions of our own, made anew for every interpreter.
//!
//! Used by attached threads while an interpreter is set up, and whenever an instance is made. A type
//! is a heap type, so interpreters share none; its instances hold one Rust value each and no Python
//! object, hence they take no part in garbage collection.

use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr;

use pyo3::ffi;

use super::{Object, Owned, Python, Raised};

/// A table of methods that ends with an empty entry.
#[repr(transparent)]
pub struct Methods<const N: usize>(pub [ffi::PyMethodDef; N]);

// SAFETY: the table is only read; Python never writes to method definitions.
unsafe impl<const N: usize> Sync for Methods<N> {}

const fn method(
    name: &'static CStr,
    call: ffi::PyMethodDefPointer,
    flags: c_int,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: call,
        ml_flags: flags,
        ml_doc: doc.as_ptr(),
    }
}

/// A method without arguments but its object (METH_NOARGS).
pub const fn no_arguments_method(
    name: &'static CStr,
    call: ffi::PyCFunction,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    method(
        name,
        ffi::PyMethodDefPointer { PyCFunction: call },
        ffi::METH_NOARGS,
        doc,
    )
}

/// A method with any arguments (METH_FASTCALL | METH_KEYWORDS).
pub const fn keywords_method(
    name: &'static CStr,
    call: ffi::PyCFunctionFastWithKeywords,
    doc: &'static CStr,
) -> ffi::PyMethodDef {
    let call = ffi::PyMethodDefPointer {
        PyCFunctionFastWithKeywords: call,
    };
    method(name, call, ffi::METH_FASTCALL | ffi::METH_KEYWORDS, doc)
}

/// The parts of a type that differ from a plain one.
#[derive(Default)]
pub struct Slots {
    /// The methods, if any: a static table.
    pub methods: Option<*const ffi::PyMethodDef>,
    /// `__iter__`.
    pub iter: Option<ffi::getiterfunc>,
    /// `__next__`.
    pub next: Option<ffi::iternextfunc>,
}

#[repr(C)]
struct Instance<T> {
    base: ffi::PyObject,
    value: ManuallyDrop<T>,
}

/// Makes a type whose instances hold a `T` and which Python code cannot instantiate.
pub fn new_type<'p, T>(
    python: Python<'p>,
    name: &'static CStr,
    doc: &'static CStr,
    parts: Slots,
) -> Result<Owned<'p>, Raised> {
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = vec![
        slot(ffi::Py_tp_dealloc, dealloc::<T> as *mut c_void),
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
    ];
    if let Some(methods) = parts.methods {
        slots.push(slot(ffi::Py_tp_methods, methods.cast_mut().cast()));
    }
    if let Some(iter) = parts.iter {
        slots.push(slot(ffi::Py_tp_iter, iter as *mut c_void));
    }
    if let Some(next) = parts.next {
        slots.push(slot(ffi::Py_tp_iternext, next as *mut c_void));
    }
    slots.push(slot(0, ptr::null_mut()));
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: size_of::<Instance<T>>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: spec and slots are complete and live through the call; name, doc and methods for ever.
    Owned::new(python, unsafe { ffi::PyType_FromSpec(&mut spec) })
}

/// Makes an instance of a type that [`new_type`] made for the same `T`.
pub fn new_instance<'p, T>(
    python: Python<'p>,
    class: &Object,
    value: T,
) -> Result<Owned<'p>, Raised> {
    // SAFETY: the class is one of ours, so its instances have room for an Instance<T>.
    let made = unsafe { ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0) };
    let made = Owned::new(python, made)?;
    let instance = made.as_ptr().cast::<Instance<T>>();
    // SAFETY: the instance is new and nobody else has it; the address is inside its memory.
    let place = unsafe { &raw mut (*instance).value };
    // SAFETY: the place is writable, aligned, and holds no value yet.
    unsafe { place.write(ManuallyDrop::new(value)) };
    Ok(made)
}

/// The value inside an instance.
///
/// # Safety
/// `instance` is an instance of a type that [`new_type`] made for the same `T`; it lives for `'p`, and
/// the thread stays attached as long.
pub(super) unsafe fn payload<'p, T>(instance: *mut ffi::PyObject) -> &'p T {
    // SAFETY: the caller vouches for the type, and its frame keeps the instance alive.
    let instance = unsafe { &*instance.cast::<Instance<T>>() };
    &instance.value
}

unsafe extern "C" fn dealloc<T>(instance: *mut ffi::PyObject) {
    // SAFETY: Python calls this once, for an instance of the type that names this function.
    unsafe { drop_instance::<T>(instance) }
}

/// Ends an instance: its value, its memory, and its reference to its type.
///
/// # Safety
/// `instance` is an instance with a `T` that nobody refers to any more.
unsafe fn drop_instance<T>(instance: *mut ffi::PyObject) {
    let with_value = instance.cast::<Instance<T>>();
    // SAFETY: the instance is complete and ours alone.
    let value = unsafe { &mut (*with_value).value };
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: the value is dropped once, here.
        unsafe { ManuallyDrop::drop(value) }
    }));
    debug_assert!(dropped.is_ok(), "our own values do not panic when dropped");
    // SAFETY: the instance still has its header.
    let class = unsafe { ffi::Py_TYPE(instance) };
    // SAFETY: PyType_GenericAlloc took the memory of a type without GC from this allocator.
    unsafe { ffi::PyObject_Free(instance.cast()) };
    // SAFETY: every instance of a heap type owns a reference to it.
    unsafe { ffi::Py_DecRef(class.cast()) };
}

/// A built-in function, bound to `bound` if there is one.
pub fn new_function<'p>(
    python: Python<'p>,
    definition: &'static ffi::PyMethodDef,
    bound: Option<&Object>,
) -> Result<Owned<'p>, Raised> {
    let bound = bound.map_or(ptr::null_mut(), Object::as_ptr);
    // SAFETY: the definition lives for ever and is never written to; the function takes a reference
    // of its own to the bound object.
    let made = unsafe {
        ffi::PyCFunction_NewEx(ptr::from_ref(definition).cast_mut(), bound, ptr::null_mut())
    };
    Owned::new(python, made)
}
