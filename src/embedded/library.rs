//! Finds the interpreter's executable and its library, and opens that and the gateway.
//!
//! Runs once in a child, on the thread that first needs Python. The executable runs as the child's
//! own user: a virtual environment is never touched by root.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;
use wsgi_abi::{ABI_VERSION, GatewayTable, TABLE_SYMBOL, TableFunction};
use wsgi_config::python_home::{OLDEST, library_of};

/// Why Python could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// No executable where the configuration points.
    #[error("there is no Python at {}", .0.display())]
    NoProgram(PathBuf),
    /// No python3 on PATH.
    #[error("no python3 was found on PATH; WSGIPythonHome names one")]
    NoPython3,
    /// The executable did not run.
    #[error("{} cannot be run: {source}", program.display())]
    Run {
        /// The executable.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The executable did not answer.
    #[error("{} does not work as a Python interpreter: {output}", program.display())]
    Answer {
        /// The executable.
        program: PathBuf,
        /// What it wrote.
        output: String,
    },
    /// A free-threaded build.
    #[error("{} is a free-threaded build of Python, which this module cannot load", .0.display())]
    FreeThreaded(PathBuf),
    /// Too old.
    #[error("{} is Python {version}; {}.{} is the oldest that works", program.display(), OLDEST.0, OLDEST.1)]
    TooOld {
        /// The executable.
        program: PathBuf,
        /// Its version.
        version: String,
    },
    /// No shared library.
    #[error(
        "the shared library of {} cannot be opened ({reason}): install it (Debian: libpython3) \
         or run the application in a daemon process, which needs none",
        program.display()
    )]
    NoLibrary {
        /// The executable.
        program: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The gateway cannot be opened.
    #[error("the gateway {} cannot be opened: {reason}", path.display())]
    NoGateway {
        /// The gateway.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The gateway is of another build.
    #[error("the gateway {} is of another version than the module", .0.display())]
    GatewayVersion(PathBuf),
}

/// What an interpreter says about itself.
#[derive(Debug)]
struct Python {
    libraries: Vec<PathBuf>,
}

/// Prints version, free-threading and the places of the shared library, a line each.
const PROBE: &str = "\
import sys, sysconfig as s
v = s.get_config_var
print('%d.%d' % sys.version_info[:2])
print(int(bool(v('Py_GIL_DISABLED'))))
for d in (v('LIBDIR') or '', sys.base_prefix + '/lib'):
    for n in (v('INSTSONAME') or '', v('LDLIBRARY') or ''):
        if '.so' in n: print(d + '/' + n)
n = v('INSTSONAME') or ''
if '.so' in n: print(n)
print('libpython%d.%d.so.1.0' % sys.version_info[:2])
";

/// The executable of a virtual environment or prefix, or `python3` on PATH.
pub fn find_program(home: Option<&[u8]>) -> Result<PathBuf, LoadError> {
    let Some(home) = home else {
        let path =
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let mut candidates = std::env::split_paths(&path).map(|dir| dir.join("python3"));
        return candidates
            .find(|path| path.is_file())
            .ok_or(LoadError::NoPython3);
    };
    let home = Path::new(OsStr::from_bytes(home));
    // A link may lead to another environment tomorrow, from which this process must not import.
    let resolved = home.canonicalize();
    let bin = resolved.as_deref().unwrap_or(home).join("bin");
    let candidates = [bin.join("python"), bin.join("python3")];
    let missing = || LoadError::NoProgram(candidates[0].clone());
    candidates
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(missing)
}

/// Asks the executable where its library is. A wrong home would end the whole process if Python
/// were started with it.
fn probe(program: &Path) -> Result<Python, LoadError> {
    let output = Command::new(program)
        .args(["-I", "-c", PROBE])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LoadError::Run {
            program: program.into(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let (Some(version), Some(free_threaded)) = (lines.next(), lines.next()) else {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(LoadError::Answer {
            program: program.into(),
            output,
        });
    };
    if free_threaded != "0" {
        return Err(LoadError::FreeThreaded(program.into()));
    }
    let minor = version
        .strip_prefix("3.")
        .and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_none_or(|minor| (3, minor) < OLDEST) {
        let version = version.to_string();
        return Err(LoadError::TooOld {
            program: program.into(),
            version,
        });
    }
    Ok(Python {
        libraries: lines.map(PathBuf::from).collect(),
    })
}

/// Opens the executable's libpython, its symbols visible to extension modules.
pub fn open_python(program: &Path) -> Result<(), LoadError> {
    let known = library_of(program);
    if known.is_some_and(|library| open(&library, libc::RTLD_NOW | libc::RTLD_GLOBAL).is_ok()) {
        return Ok(());
    }
    let python = probe(program)?;
    let mut reason = String::from("it has none");
    for library in &python.libraries {
        match open(library, libc::RTLD_NOW | libc::RTLD_GLOBAL) {
            Ok(_) => return Ok(()),
            Err(error) => reason = error,
        }
    }
    Err(LoadError::NoLibrary {
        program: program.into(),
        reason,
    })
}

/// Opens the gateway and checks that it is of our build.
pub fn open_gateway(path: &Path) -> Result<&'static GatewayTable, LoadError> {
    let failed = |reason| LoadError::NoGateway {
        path: path.into(),
        reason,
    };
    let handle = open(path, libc::RTLD_NOW | libc::RTLD_LOCAL).map_err(failed)?;
    // SAFETY: the handle was just opened; the name is terminated.
    let symbol = unsafe { libc::dlsym(handle, TABLE_SYMBOL.as_ptr()) };
    if symbol.is_null() {
        return Err(LoadError::GatewayVersion(path.into()));
    }
    // SAFETY: a gateway defines this symbol as such a function (wsgi-abi).
    let function = unsafe { std::mem::transmute::<*mut c_void, TableFunction>(symbol) };
    // SAFETY: the function takes nothing and may be called at any time.
    let table = unsafe { function() };
    // SAFETY: never null and valid until the process ends (wsgi-abi); the handle is never closed.
    let table = unsafe { &*table };
    if table.version != ABI_VERSION || table.size as usize != size_of::<GatewayTable>() {
        return Err(LoadError::GatewayVersion(path.into()));
    }
    Ok(table)
}

fn open(path: &Path, flags: i32) -> Result<*mut c_void, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name is terminated. Libraries run their initialisers here: libpython's and the
    // gateway's do nothing that needs more.
    let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: reports this thread's last failure.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return Err(format!("{} cannot be opened", path.display()));
    }
    // SAFETY: a terminated string that stays until the thread's next dl call.
    let text = unsafe { CStr::from_ptr(text) };
    Err(text.to_string_lossy().into_owned())
}
