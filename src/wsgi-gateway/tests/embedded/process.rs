//! The process side of embedded mode: opening libpython and the gateway, and the Pythons to try.

use std::env;
use std::ffi::{CString, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::OnceLock;

use wsgi_abi::{
    ABI_VERSION, Bytes, GatewayTable, ProcessCalls, RequestCalls, TABLE_SYMBOL, TableFunction,
    TakeBytes,
};
use wsgi_wire::launch::{EmbeddedConfig, GatewayConfig, List, Message};

/// Names the libpython for `in_one_process`.
pub const LIBRARY: &str = "WSGI_TEST_LIBRARY";

/// Names the interpreter's executable for `in_one_process`.
pub const PROGRAM: &str = "WSGI_TEST_PROGRAM";

/// A Python with a shared library.
pub struct Python {
    /// Its executable.
    pub program: PathBuf,
    /// Its libpython.
    pub library: PathBuf,
}

impl Python {
    /// A new virtual environment of this Python.
    pub fn virtual_environment(&self) -> PathBuf {
        let name = format!("venv{}", self.program.to_string_lossy().replace('/', "-"));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let status = Command::new(&self.program)
            .args(["-m", "venv", "--without-pip", "--clear"])
            .arg(&directory)
            .status()
            .expect("python runs");
        assert!(
            status.success(),
            "a virtual environment of {}",
            self.program.display()
        );
        directory
    }
}

/// The supported Pythons of this machine, one of each version.
pub fn pythons() -> Vec<Python> {
    let mut programs = vec![PathBuf::from("/usr/bin/python3")];
    let root = env::var_os("PYENV_ROOT").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv"),
        PathBuf::from,
    );
    let versions = fs::read_dir(root.join("versions"))
        .into_iter()
        .flatten()
        .flatten();
    programs.extend(versions.map(|version| version.path().join("bin/python3")));
    let found: Vec<Python> = programs.into_iter().filter_map(probe).collect();
    assert!(
        !found.is_empty(),
        "no supported Python with a shared library found"
    );
    found
}

fn probe(program: PathBuf) -> Option<Python> {
    let code = "import sys, os, sysconfig as s; assert sys.version_info >= (3, 10)\n\
                print(os.path.join(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME')))";
    let output = Command::new(&program)
        .args(["-I", "-c", code])
        .output()
        .ok()?;
    let library = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let shared = output.status.success() && library.to_string_lossy().contains(".so");
    let installed = [
        library.clone(),
        Path::new("/usr/lib/x86_64-linux-gnu").join(library.file_name()?),
    ];
    let library = installed
        .into_iter()
        .find(|path| path.exists())
        .filter(|_| shared);
    if library.is_none() {
        eprintln!("skipped: {} has no shared library", program.display());
    }
    Some(Python {
        program,
        library: library?,
    })
}

/// The gateway as cargo builds it; built now, because cargo does not for tests. The variable
/// `WSGI_GATEWAY_LIBRARY` names another build to test, e.g. a release.
pub fn gateway_library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(library) = env::var_os("WSGI_GATEWAY_LIBRARY") {
            return PathBuf::from(library);
        }
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "wsgi-gateway", "--lib"])
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the gateway builds");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("a target directory");
        target.join("debug/lib_wsgi_gateway.so")
    })
}

/// Sets a file's time of modification, seconds since 1970.
pub fn set_modified(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let file = fs::File::options()
        .append(true)
        .open(path)
        .expect("the file opens");
    file.set_modified(time).expect("the time is set");
}

fn open(path: &Path, flags: i32) -> *mut c_void {
    let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
    // SAFETY: a C string.
    let opened = unsafe { libc::dlopen(name.as_ptr(), flags) };
    assert!(!opened.is_null(), "{} opens", path.display());
    opened
}

/// The gateway, started.
#[derive(Clone, Copy)]
pub struct Gateway(&'static GatewayTable);

impl Gateway {
    /// Opens libpython and the gateway, as Apache's module does, and starts Python.
    pub fn start() -> Self {
        let library = env::var_os(LIBRARY).expect("set by the test");
        open(Path::new(&library), libc::RTLD_NOW | libc::RTLD_GLOBAL);
        let gateway = open(gateway_library(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        // SAFETY: an open library and a C string.
        let symbol = unsafe { libc::dlsym(gateway, TABLE_SYMBOL.as_ptr()) };
        assert!(!symbol.is_null(), "the gateway offers its table");
        // SAFETY: the symbol has this type.
        let table = unsafe { std::mem::transmute::<*mut c_void, TableFunction>(symbol) };
        // SAFETY: may be called at any time.
        let table = unsafe { table() };
        // SAFETY: never null, and valid until the process ends.
        let table = unsafe { &*table };
        assert_eq!(
            (table.version, table.size as usize),
            (ABI_VERSION, size_of::<GatewayTable>())
        );
        let gateway = Gateway(table);
        assert_eq!(gateway.start_again(), 0);
        gateway
    }

    /// Calls `start`.
    pub fn start_again(&self) -> i32 {
        let program = env::var_os(PROGRAM).expect("set by the test");
        let config = EmbeddedConfig {
            gateway: config(),
            program: program.as_bytes().to_vec(),
            ..EmbeddedConfig::default()
        };
        let process = ProcessCalls {
            context: ptr::null_mut(),
            log,
            scoreboard: no_scoreboard,
        };
        // SAFETY: the bytes are lent, and the calls need nothing that could end.
        unsafe { (self.0.start)(Bytes::lend(&config.to_bytes()), &process) }
    }

    /// Calls `serve`.
    pub fn serve(&self, head: &[u8], calls: &RequestCalls) -> u8 {
        // SAFETY: both are lent for the call.
        unsafe { (self.0.serve)(Bytes::lend(head), calls) }
    }

    /// Calls `stop`.
    pub fn stop(&self) {
        // SAFETY: no request runs.
        unsafe { (self.0.stop)() }
    }
}

fn config() -> GatewayConfig {
    GatewayConfig {
        process_group: Vec::new(),
        processes: 1,
        threads: 8,
        multiprocess: true,
        reserve_main: false,
        python_path: List(Vec::new()),
        home: None,
        imports: List(Vec::new()),
        apache_major: 2,
        apache_minor: 4,
        apache_patch: 62,
        log_level: 6,
        ..GatewayConfig::default()
    }
}

unsafe extern "C" fn log(_: *mut c_void, level: u8, text: Bytes) {
    // SAFETY: lent for this call.
    let text = unsafe { text.as_slice() };
    eprintln!("[{level}] {}", String::from_utf8_lossy(text));
}

unsafe extern "C" fn no_scoreboard(_: *mut c_void, _: *mut c_void, _: TakeBytes) {}
