//! Making interpreters: ones that share the GIL, and ones with a GIL of their own (PEP 684).
//!
//! Runs on any thread that is attached to the main interpreter. The function for own GILs is not in
//! the stable ABI, nor in every Python, so it is looked up by name.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use pyo3::ffi;

use super::initialize::symbol;

/// The first Python whose interpreters with own GILs hold: 3.12 dies of refused imports.
pub const OWN_GIL_SINCE: (u32, u32) = (3, 13);

/// The version of the Python in this process: major and minor.
pub fn version() -> (u32, u32) {
    // SAFETY: may be called at any time.
    let text = unsafe { ffi::Py_GetVersion() };
    // SAFETY: a C string that lives as long as the process.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut numbers = text.split(['.', ' ']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(3), numbers.next().unwrap_or(0))
}

/// `PyInterpreterConfig`, the same in every version that has it (cpython/initconfig.h, 3.12).
#[repr(C)]
struct Config {
    use_main_obmalloc: c_int,
    allow_fork: c_int,
    allow_exec: c_int,
    allow_threads: c_int,
    allow_daemon_threads: c_int,
    check_multi_interp_extensions: c_int,
    gil: c_int,
}

/// `PyInterpreterConfig_OWN_GIL`.
const OWN_GIL: c_int = 2;

/// Applications may start programs and threads as everywhere else; only what Python demands of an
/// own GIL differs: an allocator of its own, and extension modules that are made for this.
const OWN: Config = Config {
    use_main_obmalloc: 0,
    allow_fork: 1,
    allow_exec: 1,
    allow_threads: 1,
    allow_daemon_threads: 1,
    check_multi_interp_extensions: 1,
    gil: OWN_GIL,
};

/// `PyStatus`, which a failure fills (cpython/initconfig.h).
#[repr(C)]
struct Status {
    kind: c_int,
    function: *const c_char,
    message: *const c_char,
    exit_code: c_int,
}

type NewFromConfig = unsafe extern "C" fn(*mut *mut ffi::PyThreadState, *const Config) -> Status;

/// Makes an interpreter, to whose new thread state the calling thread is then attached; null after a
/// failure.
///
/// # Safety
/// The calling thread is attached to the main interpreter.
pub unsafe fn create(own_gil: bool) -> *mut ffi::PyThreadState {
    let found = own_gil
        .then(|| symbol(c"Py_NewInterpreterFromConfig"))
        .flatten();
    let Some(found) = found else {
        // SAFETY: the caller is attached.
        return unsafe { ffi::Py_NewInterpreter() };
    };
    // SAFETY: this is the function's type in every version that has it.
    let create: NewFromConfig = unsafe { std::mem::transmute(found.as_ptr()) };
    let mut state = ptr::null_mut();
    // SAFETY: the caller is attached; both pointers are valid for the call. What the status says
    // is also said by a state that stays null.
    let Status { kind, .. } = unsafe { create(&mut state, &OWN) };
    if kind == 0 { state } else { ptr::null_mut() }
}
