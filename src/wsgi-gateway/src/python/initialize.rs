//! Starting Python inside a process that is none: an Apache child in embedded mode.
//!
//! Runs once, on the child's main thread, after libpython was opened globally. The functions that
//! name the executable are not in the stable ABI, or not in every version of it, so they are looked
//! up by name and the library itself loads everywhere.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use libc::wchar_t;
use pyo3::ffi;
use thiserror::Error;

/// Why Python did not start.
#[derive(Debug, Error)]
pub enum InitializeError {
    /// Something else in this process has started it.
    #[error("another module has already started Python in this process")]
    AlreadyStarted,
    /// The executable's path cannot be passed on.
    #[error("the interpreter's path {0:?} holds a NUL or is not UTF-8")]
    Program(Vec<u8>),
    /// This Python lacks both ways of naming the executable.
    #[error("this Python has no function {0}")]
    Missing(&'static str),
    /// Python said why.
    #[error("Python refused its configuration: {0}")]
    Refused(String),
}

/// Starts Python as the executable `program` would, without its signal handlers. The calling thread
/// becomes Python's main thread and holds the GIL.
pub fn initialize(program: &[u8]) -> Result<(), InitializeError> {
    // SAFETY: may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Err(InitializeError::AlreadyStarted);
    }
    if symbol(c"PyInitConfig_Create").is_some() {
        return initialize_by_config(program);
    }
    set_program_name(program)?;
    // SAFETY: not initialised yet; 0 leaves the process's signal handlers alone.
    unsafe { ffi::Py_InitializeEx(0) };
    Ok(())
}

fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: searches what the process has opened globally; the name is a C string.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// Python 3.10 to 3.13.
fn set_program_name(program: &[u8]) -> Result<(), InitializeError> {
    let found = symbol(c"Py_SetProgramName");
    let found = found.ok_or(InitializeError::Missing("Py_SetProgramName"))?;
    // Bytes that are no UTF-8 become what Python itself would make of them (PEP 383).
    let mut wide: Vec<wchar_t> = Vec::with_capacity(program.len() + 1);
    for chunk in program.utf8_chunks() {
        wide.extend(chunk.valid().chars().map(|c| c as u32 as wchar_t));
        wide.extend(
            chunk
                .invalid()
                .iter()
                .map(|byte| 0xdc00 + wchar_t::from(*byte)),
        );
    }
    wide.push(0);
    // SAFETY: this is the function's type in every version that has it (pylifecycle.h).
    let set: extern "C" fn(*const wchar_t) = unsafe { std::mem::transmute(found.as_ptr()) };
    // Python keeps the pointer for the process's life.
    set(Box::leak(wide.into_boxed_slice()).as_ptr());
    Ok(())
}

macro_rules! init_config_functions {
    ($($field:ident: $name:literal, fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of PEP 741.
        struct InitConfigFunctions {
            $($field: extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl InitConfigFunctions {
            fn find() -> Result<Self, InitializeError> {
                Ok(InitConfigFunctions {
                    $($field: {
                        let name = CString::new($name).unwrap_or_default();
                        let found = symbol(&name).ok_or(InitializeError::Missing($name))?;
                        // SAFETY: this is the function's type (PEP 741).
                        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn($($argument),*) $(-> $result)?>(found.as_ptr()) }
                    },)*
                })
            }
        }
    };
}

init_config_functions! {
    create: "PyInitConfig_Create", fn() -> *mut c_void;
    free: "PyInitConfig_Free", fn(*mut c_void);
    set_int: "PyInitConfig_SetInt", fn(*mut c_void, *const c_char, i64) -> c_int;
    set_str: "PyInitConfig_SetStr", fn(*mut c_void, *const c_char, *const c_char) -> c_int;
    error: "PyInitConfig_GetError", fn(*mut c_void, *mut *const c_char) -> c_int;
    start: "Py_InitializeFromInitConfig", fn(*mut c_void) -> c_int;
}

/// What differs from the isolated configuration that PEP 741 starts with. Without the last two the
/// file system's encoding would be ASCII.
const OPTIONS: [(&CStr, i64); 8] = [
    (c"isolated", 0),
    (c"use_environment", 1),
    (c"user_site_directory", 1),
    (c"safe_path", 0),
    (c"parse_argv", 0),
    (c"install_signal_handlers", 0),
    (c"configure_locale", 1),
    (c"utf8_mode", 1),
];

/// Python 3.14 and later.
fn initialize_by_config(program: &[u8]) -> Result<(), InitializeError> {
    let functions = InitConfigFunctions::find()?;
    let path = std::str::from_utf8(program)
        .ok()
        .and_then(|path| CString::new(path).ok());
    let path = path.ok_or_else(|| InitializeError::Program(program.to_vec()))?;
    let config = (functions.create)();
    if config.is_null() {
        return Err(InitializeError::Refused(String::from("no memory")));
    }
    let set = OPTIONS
        .iter()
        .all(|(name, value)| (functions.set_int)(config, name.as_ptr(), *value) == 0);
    let started = set
        && (functions.set_str)(config, c"program_name".as_ptr(), path.as_ptr()) == 0
        && (functions.start)(config) == 0;
    let result = if started {
        Ok(())
    } else {
        Err(refusal(&functions, config))
    };
    (functions.free)(config);
    result
}

fn refusal(functions: &InitConfigFunctions, config: *mut c_void) -> InitializeError {
    let mut text = ptr::null();
    (functions.error)(config, &mut text);
    if text.is_null() {
        return InitializeError::Refused(String::from("no reason given"));
    }
    // SAFETY: the text is a C string that lives until the configuration is freed.
    let text = unsafe { CStr::from_ptr(text) };
    InitializeError::Refused(text.to_string_lossy().into_owned())
}
