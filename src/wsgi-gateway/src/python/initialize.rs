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
use wsgi_wire::launch::PythonFlags;

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
pub fn initialize(program: &[u8], flags: &PythonFlags) -> Result<(), InitializeError> {
    // SAFETY: may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Err(InitializeError::AlreadyStarted);
    }
    if symbol(c"PyInitConfig_Create").is_some() {
        return initialize_by_config(program, flags);
    }
    set_program_name(program)?;
    set_flags(flags)?;
    // SAFETY: not initialised yet; 0 leaves the process's signal handlers alone.
    unsafe { ffi::Py_InitializeEx(0) };
    Ok(())
}

/// A function or variable of libpython, wherever the process got it from.
pub(super) fn symbol(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: searches what the process has opened globally; the name is a C string.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// Python 3.10 to 3.13.
fn set_program_name(program: &[u8]) -> Result<(), InitializeError> {
    let found = symbol(c"Py_SetProgramName");
    let found = found.ok_or(InitializeError::Missing("Py_SetProgramName"))?;
    // SAFETY: this is the function's type in every version that has it (pylifecycle.h).
    let set: extern "C" fn(*const wchar_t) = unsafe { std::mem::transmute(found.as_ptr()) };
    // Python keeps the pointer for the process's life.
    set(Box::leak(wide(program)).as_ptr());
    Ok(())
}

/// Bytes as Python's own start makes text of them: what is no UTF-8 is escaped (PEP 383).
fn wide(bytes: &[u8]) -> Box<[wchar_t]> {
    let mut wide: Vec<wchar_t> = Vec::with_capacity(bytes.len() + 1);
    for chunk in bytes.utf8_chunks() {
        wide.extend(chunk.valid().chars().map(|c| c as u32 as wchar_t));
        let escaped = |byte: &u8| 0xdc00 + wchar_t::from(*byte);
        wide.extend(chunk.invalid().iter().map(escaped));
    }
    wide.push(0);
    wide.into_boxed_slice()
}

/// Python 3.10 to 3.13: variables and a function that count until Python is initialised.
fn set_flags(flags: &PythonFlags) -> Result<(), InitializeError> {
    if flags.optimize > 0 {
        set_variable(
            c"Py_OptimizeFlag",
            "Py_OptimizeFlag",
            c_int::from(flags.optimize),
        )?;
    }
    if flags.dont_write_bytecode {
        set_variable(c"Py_DontWriteBytecodeFlag", "Py_DontWriteBytecodeFlag", 1)?;
    }
    if flags.warnings.0.is_empty() {
        return Ok(());
    }
    let found = symbol(c"PySys_AddWarnOption");
    let found = found.ok_or(InitializeError::Missing("PySys_AddWarnOption"))?;
    // SAFETY: this is the function's type in every version that has it (sysmodule.h); it may be
    // called before Python is initialised and copies the text.
    let add: extern "C" fn(*const wchar_t) = unsafe { std::mem::transmute(found.as_ptr()) };
    for filter in &flags.warnings.0 {
        add(wide(filter).as_ptr());
    }
    Ok(())
}

fn set_variable(name: &CStr, shown: &'static str, value: c_int) -> Result<(), InitializeError> {
    let found = symbol(name).ok_or(InitializeError::Missing(shown))?;
    // SAFETY: a variable of this type (pydebug.h), which Python reads when it is initialised, and
    // only this thread does that.
    unsafe { found.cast::<c_int>().write(value) };
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
    set_list: "PyInitConfig_SetStrList",
        fn(*mut c_void, *const c_char, usize, *const *mut c_char) -> c_int;
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
fn initialize_by_config(program: &[u8], flags: &PythonFlags) -> Result<(), InitializeError> {
    let functions = InitConfigFunctions::find()?;
    let path = std::str::from_utf8(program)
        .ok()
        .and_then(|path| CString::new(path).ok());
    let path = path.ok_or_else(|| InitializeError::Program(program.to_vec()))?;
    let filters: Vec<CString> = flags
        .warnings
        .0
        .iter()
        .map(|filter| c_string(filter))
        .collect();
    let config = (functions.create)();
    if config.is_null() {
        return Err(InitializeError::Refused(String::from("no memory")));
    }
    let set = OPTIONS
        .iter()
        .all(|(name, value)| (functions.set_int)(config, name.as_ptr(), *value) == 0);
    let set = set && set_config_flags(&functions, config, flags, &filters);
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

/// What a C string can hold of these bytes; PEP 741 wants UTF-8.
fn c_string(bytes: &[u8]) -> CString {
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    CString::new(text).unwrap_or_default()
}

fn set_config_flags(
    functions: &InitConfigFunctions,
    config: *mut c_void,
    flags: &PythonFlags,
    filters: &[CString],
) -> bool {
    let set = |name: &CStr, value| (functions.set_int)(config, name.as_ptr(), value) == 0;
    let pointers: Vec<*mut c_char> = filters
        .iter()
        .map(|text| text.as_ptr().cast_mut())
        .collect();
    let set_filters = || {
        let name = c"warnoptions".as_ptr();
        (functions.set_list)(config, name, pointers.len(), pointers.as_ptr()) == 0
    };
    (flags.optimize == 0 || set(c"optimization_level", i64::from(flags.optimize)))
        && (!flags.dont_write_bytecode || set(c"write_bytecode", 0))
        && (filters.is_empty() || set_filters())
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
