//! The extension module that a daemon's interpreter imports: one function, `run_daemon`.
//!
//! Runs once, on the main thread of an exec'ed interpreter, with the GIL held.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;

use pyo3::ffi;

use crate::daemon;
use crate::python::{Methods, no_arguments_method};

static METHODS: Methods<2> = Methods([
    no_arguments_method(
        c"run_daemon",
        run_daemon,
        c"Serves the process group that descriptor 3 describes; never returns.",
    ),
    ffi::PyMethodDef::zeroed(),
]);

/// Python writes to a module's definition, so it must not lie in read-only memory.
struct Definition(*mut ffi::PyModuleDef);

// SAFETY: written by Python only, which holds its import lock and the GIL.
unsafe impl Send for Definition {}
// SAFETY: as for Send.
unsafe impl Sync for Definition {}

static DEFINITION: OnceLock<Definition> = OnceLock::new();

/// What Python calls to import the module (PEP 489).
///
/// # Safety
/// For Python's import only: the GIL is held.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the name is Python's")]
pub unsafe extern "C" fn PyInit__wsgi_gateway() -> *mut ffi::PyObject {
    catch_unwind(definition).unwrap_or(ptr::null_mut())
}

fn definition() -> *mut ffi::PyObject {
    let definition = DEFINITION.get_or_init(|| {
        Definition(Box::leak(Box::new(ffi::PyModuleDef {
            m_base: ffi::PyModuleDef_HEAD_INIT,
            m_name: c"_wsgi_gateway".as_ptr(),
            m_doc: c"Runs Python applications behind Apache.".as_ptr(),
            m_size: 0,
            m_methods: METHODS.0.as_ptr().cast_mut(),
            m_slots: ptr::null_mut(),
            m_traverse: None,
            m_clear: None,
            m_free: None,
        })))
    });
    // SAFETY: the definition is complete, writable and lives for ever.
    unsafe { ffi::PyModuleDef_Init(definition.0) }
}

unsafe extern "C" fn run_daemon(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    run_to_the_end()
}

/// A daemon that panics outside of a request is beyond repair; the monitor starts another.
fn run_to_the_end() -> ! {
    let _ = catch_unwind(AssertUnwindSafe(|| daemon::run()));
    std::process::abort()
}
