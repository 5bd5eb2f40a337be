//! The interpreters of a process: one per application group, made when first asked for.
//!
//! Used by any thread. An interpreter lives until the process ends: ending one leaks, and aborts when
//! a thread is still inside, so a process that has to be rid of one is replaced.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use pyo3::ffi;
use thiserror::Error;
use wsgi_wire::launch::GatewayConfig;

use crate::application::Script;
use crate::log::{self, level};
use crate::python::{
    self, Arguments, Attached, InterpreterState, Methods, Object, Owned, Python, Raised, Stored,
    fence_function, keywords_method,
};
use crate::wsgi::environ::{KnownKeys, OwnKeys};
use crate::wsgi::{input, start_response};

/// The version that `mod_wsgi.version` tells: the one whose configuration and behaviour we match.
const MOD_WSGI_VERSION: [u64; 3] = [6, 1, 1];

const RUNTIME: &str = concat!(include_str!("runtime.py"), "\0");

/// What tracebacks call the file of the Python half.
const RUNTIME_NAME: &CStr = c"<mod_wsgi>";

/// Why an application group has no interpreter.
#[derive(Debug, Error)]
pub enum InterpreterError {
    /// Python could not make another one.
    #[error("Python cannot make an interpreter for application group '{group}'")]
    Refused {
        /// The application group.
        group: String,
    },
    /// The Python half could not be set up in it.
    #[error("cannot prepare the interpreter of application group '{group}': {reason}")]
    Prepare {
        /// The application group.
        group: String,
        /// The exception's lines.
        reason: String,
    },
}

/// The Python objects that the gateway keeps in an interpreter.
pub struct Objects {
    /// The variables of an environ that never change.
    pub template: Stored,
    /// The names of the gateway's own variables.
    pub own_keys: OwnKeys,
    /// The type of `wsgi.input`.
    pub input: Stored,
    /// The type behind `start_response`.
    pub responder: Stored,
    /// `mod_wsgi.FileWrapper`.
    pub file_wrapper: Stored,
    /// `file_segment` of `runtime.py`.
    pub file_segment: Stored,
    /// `load` of `runtime.py`.
    pub load: Stored,
    /// `ScriptUnreadable` of `runtime.py`.
    pub unreadable: Stored,
    /// The name `close`.
    pub close: Stored,
    describe: Stored,
    name_application_group: Stored,
    end: Stored,
}

/// One interpreter.
pub struct Interpreter {
    state: InterpreterState,
    /// See [`Objects`].
    pub objects: Objects,
    /// The keys of environs.
    pub known_keys: KnownKeys,
    scripts: Mutex<HashMap<Vec<u8>, Arc<Script>>>,
}

impl Interpreter {
    /// Attaches the calling thread.
    pub fn attach(&self) -> Attached<'_> {
        Attached::new(&self.state)
    }

    /// The script at `path`, loaded or not.
    pub fn script(&self, path: &[u8]) -> Arc<Script> {
        let mut scripts = self.scripts.lock();
        if let Some(script) = scripts.get(path) {
            return Arc::clone(script);
        }
        let script = Arc::new(Script::new(path));
        scripts.insert(path.to_vec(), Arc::clone(&script));
        script
    }

    /// Logs an exception: `first_line`, then the traceback.
    pub fn log_exception(&self, python: Python<'_>, first_line: &str, error: &python::Error<'_>) {
        let mut lines = vec![first_line.as_bytes().to_vec()];
        let describe = self.objects.describe.object(python);
        match describe.call2(python, &error.value, &error.trace) {
            Ok(described) => lines.extend(bytes_of_list(python, &described)),
            Err(raised) => {
                let line = b"(the exception could not be described)".to_vec();
                lines.push(raised.discard(python, line));
            }
        }
        python.detached(|| {
            lines
                .iter()
                .for_each(|line| log::message(level::ERROR, line))
        });
    }

    fn name_application_group(&self, group: &[u8]) {
        let attached = self.attach();
        let python = attached.python();
        let named = Owned::latin1(python, group).and_then(|name| {
            self.objects
                .name_application_group
                .object(python)
                .call1(python, &name)
        });
        if let Err(raised) = named {
            raised.discard(python, ());
        }
    }

    fn end(&self) {
        let attached = self.attach();
        let python = attached.python();
        match self.objects.end.object(python).call0(python) {
            Ok(failures) => {
                let lines = bytes_of_list(python, &failures);
                python.detached(|| {
                    lines
                        .iter()
                        .for_each(|line| log::message(level::ERROR, line))
                });
            }
            Err(raised) => raised.discard(python, ()),
        }
    }
}

fn bytes_of_list(python: Python<'_>, list: &Object) -> Vec<Vec<u8>> {
    (0..list.sequence_length())
        .filter_map(|index| list.item(python, index))
        .filter_map(|line| line.as_bytes().map(<[u8]>::to_vec))
        .collect()
}

/// Which application group has which interpreter.
pub struct Interpreters {
    config: Arc<GatewayConfig>,
    groups: RwLock<HashMap<Vec<u8>, &'static Interpreter>>,
    making: Mutex<Made>,
    main: &'static Interpreter,
}

struct Made {
    count: usize,
    all: Vec<&'static Interpreter>,
    main_is_free: bool,
}

impl Interpreters {
    /// Takes the attached interpreter as the main one.
    pub fn adopt(
        python: Python<'_>,
        config: Arc<GatewayConfig>,
    ) -> Result<Interpreters, InterpreterError> {
        let state = python::adopt_current(python, 0);
        let main = prepare(python, state, &config, b"")?;
        Ok(Interpreters {
            config,
            groups: RwLock::new(HashMap::from([(Vec::new(), main)])),
            making: Mutex::new(Made {
                count: 1,
                all: vec![main],
                main_is_free: true,
            }),
            main,
        })
    }

    /// The interpreter of an application group; made now if need be. Called without the GIL.
    pub fn of(&self, group: &[u8]) -> Result<&'static Interpreter, InterpreterError> {
        if let Some(interpreter) = self.groups.read().get(group) {
            return Ok(interpreter);
        }
        let mut made = self.making.lock();
        if let Some(interpreter) = self.groups.read().get(group) {
            return Ok(interpreter);
        }
        let interpreter = if self.gives_main(&made) {
            made.main_is_free = false;
            self.main.name_application_group(group);
            self.main
        } else {
            let interpreter = self.make(made.count, group)?;
            made.count += 1;
            made.all.push(interpreter);
            interpreter
        };
        self.groups.write().insert(group.to_vec(), interpreter);
        Ok(interpreter)
    }

    /// Extension modules break in second interpreters, so in a daemon the first application group
    /// gets the main one, unless the configuration wants that for `%{GLOBAL}`.
    fn gives_main(&self, made: &Made) -> bool {
        let daemon = !self.config.process_group.is_empty();
        daemon && made.main_is_free && !self.config.reserve_main
    }

    fn make(&self, index: usize, group: &[u8]) -> Result<&'static Interpreter, InterpreterError> {
        let shown = String::from_utf8_lossy(group);
        log::to_process(
            level::INFO,
            format!("creating sub-interpreter for application group '{shown}'").as_bytes(),
        );
        let attached = self.main.attach();
        match attached.into_new_interpreter(index) {
            Some((guard, state)) => prepare(guard.python(), state, &self.config, group),
            None => Err(InterpreterError::Refused {
                group: shown.into_owned(),
            }),
        }
    }

    /// Runs what applications registered for the end, the main interpreter last. Called without the
    /// GIL.
    pub fn end(&self) {
        let all = self.making.lock().all.clone();
        all.iter().rev().for_each(|interpreter| interpreter.end());
    }
}

/// Sets the attached interpreter up: the Python half, our types, and the names we use.
fn prepare(
    python: Python<'_>,
    state: InterpreterState,
    config: &GatewayConfig,
    group: &[u8],
) -> Result<&'static Interpreter, InterpreterError> {
    match objects(python, config, group) {
        Ok(objects) => Ok(Box::leak(Box::new(Interpreter {
            state,
            objects,
            known_keys: KnownKeys::default(),
            scripts: Mutex::default(),
        }))),
        Err(raised) => {
            let error = raised.take(python);
            let class = error.value.type_name(python);
            Err(InterpreterError::Prepare {
                group: String::from_utf8_lossy(group).into_owned(),
                reason: format!("{class}: {}", error.value.text_of(python)),
            })
        }
    }
}

fn objects(python: Python<'_>, config: &GatewayConfig, group: &[u8]) -> Result<Objects, Raised> {
    let globals = Owned::dict(python)?;
    let set = |name: &[u8], value: &Object| {
        globals.set_dict_item(&*Owned::interned(python, name)?, value)
    };
    set(b"SETTINGS", &*settings(python, config, group)?)?;
    set(
        b"write_log",
        &*python::new_function(python, &LOG_FUNCTIONS.0[0], None)?,
    )?;
    set(
        b"log_message",
        &*python::new_function(python, &LOG_FUNCTIONS.0[1], None)?,
    )?;
    set(b"__name__", &*Owned::latin1(python, b"mod_wsgi")?)?;
    set(
        b"__file__",
        &*Owned::latin1(python, RUNTIME_NAME.to_bytes())?,
    )?;
    execute(python, &globals)?;
    let stored = |name: &[u8]| -> Result<Stored, Raised> {
        match globals.dict_item(python, &*Owned::interned(python, name)?)? {
            Some(found) => Ok(found.store()),
            None => Err(python::Exception::Runtime.raise(python, "the Python half is incomplete")),
        }
    };
    Ok(Objects {
        template: template(python, config, &stored)?.store(),
        own_keys: OwnKeys::new(python)?,
        input: input::make_type(python)?.store(),
        responder: start_response::make_type(python)?.store(),
        file_wrapper: stored(b"FileWrapper")?,
        file_segment: stored(b"file_segment")?,
        load: stored(b"load")?,
        unreadable: stored(b"ScriptUnreadable")?,
        close: Owned::interned(python, b"close")?.store(),
        describe: stored(b"describe")?,
        name_application_group: stored(b"name_application_group")?,
        end: stored(b"end")?,
    })
}

fn execute(python: Python<'_>, globals: &Owned<'_>) -> Result<(), Raised> {
    // SAFETY: needs the GIL only; the answer is lent.
    let builtins = unsafe { ffi::PyEval_GetBuiltins() };
    // SAFETY: the interpreter owns its builtins.
    let builtins = unsafe { Object::lend(python, builtins) };
    globals.set_dict_item(&*Owned::interned(python, b"__builtins__")?, builtins)?;
    // SAFETY: both strings end with NUL.
    let code = unsafe {
        ffi::Py_CompileString(
            RUNTIME.as_ptr().cast(),
            RUNTIME_NAME.as_ptr(),
            ffi::Py_file_input,
        )
    };
    let code = Owned::new(python, code)?;
    // SAFETY: a code object and a dict, twice.
    let done = unsafe { ffi::PyEval_EvalCode(code.as_ptr(), globals.as_ptr(), globals.as_ptr()) };
    Owned::new(python, done).map(drop)
}

fn version<'p>(python: Python<'p>, parts: &[u64]) -> Result<Owned<'p>, Raised> {
    let parts: Result<Vec<_>, _> = parts.iter().map(|part| Owned::int(python, *part)).collect();
    Owned::tuple(python, parts?)
}

fn apache_version<'p>(python: Python<'p>, config: &GatewayConfig) -> Result<Owned<'p>, Raised> {
    let parts = [
        config.apache_major,
        config.apache_minor,
        config.apache_patch,
    ];
    version(python, &parts.map(u64::from))
}

fn settings<'p>(
    python: Python<'p>,
    config: &GatewayConfig,
    group: &[u8],
) -> Result<Owned<'p>, Raised> {
    let settings = Owned::dict(python)?;
    let set = |name: &[u8], value: Owned<'_>| {
        settings.set_dict_item(&*Owned::interned(python, name)?, &value)
    };
    set(b"version", version(python, &MOD_WSGI_VERSION)?)?;
    set(b"apache_version", apache_version(python, config)?)?;
    set(
        b"process_group",
        Owned::latin1(python, &config.process_group)?,
    )?;
    set(b"application_group", Owned::latin1(python, group)?)?;
    set(b"processes", Owned::int(python, config.processes.into())?)?;
    set(b"threads", Owned::int(python, config.threads.into())?)?;
    set(b"directory", Owned::path(python, &library_directory())?)?;
    let home = match &config.home {
        Some(home) => Owned::path(python, home)?,
        None => Owned::none(python),
    };
    set(b"home", home)?;
    let directories = Owned::list(python)?;
    for directory in &config.python_path.0 {
        directories.append(&*Owned::path(python, directory)?)?;
    }
    set(b"python_path", directories)?;
    Ok(settings)
}

fn template<'p>(
    python: Python<'p>,
    config: &GatewayConfig,
    stored: &dyn Fn(&[u8]) -> Result<Stored, Raised>,
) -> Result<Owned<'p>, Raised> {
    let template = Owned::dict(python)?;
    let set = |name: &[u8], value: Owned<'_>| {
        template.set_dict_item(&*Owned::interned(python, name)?, &value)
    };
    set(b"wsgi.version", version(python, &[1, 0])?)?;
    set(
        b"wsgi.multithread",
        Owned::bool(python, config.threads > 1)?,
    )?;
    set(
        b"wsgi.multiprocess",
        Owned::bool(python, config.multiprocess)?,
    )?;
    set(b"wsgi.run_once", Owned::bool(python, false)?)?;
    set(b"wsgi.input_terminated", Owned::bool(python, true)?)?;
    set(b"wsgi.errors", stored(b"errors")?.release(python))?;
    set(
        b"wsgi.file_wrapper",
        stored(b"FileWrapper")?.release(python),
    )?;
    set(b"apache.version", apache_version(python, config)?)?;
    set(b"mod_wsgi.version", version(python, &MOD_WSGI_VERSION)?)?;
    Ok(template)
}

/// The directory of this library's file: what belongs together is installed together.
fn library_directory() -> Vec<u8> {
    // SAFETY: all bytes zero are a valid Dl_info.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let own_address: *const libc::c_void = ptr::from_ref(&LOG_FUNCTIONS).cast();
    // SAFETY: any address may be asked for; info is writable.
    if unsafe { libc::dladdr(own_address, &mut info) } == 0 || info.dli_fname.is_null() {
        return Vec::new();
    }
    // SAFETY: dladdr gave the name as a C string that lives while the library is mapped.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_owned();
    directory_of(&file)
}

fn directory_of(file: &CString) -> Vec<u8> {
    let bytes = file.as_bytes();
    bytes
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(Vec::new(), |end| bytes[..end].to_vec())
}

static LOG_FUNCTIONS: Methods<2> = Methods([
    keywords_method(c"write_log", write_log, c"Takes bytes for the error log."),
    keywords_method(c"log_message", log_message, c"Logs a str with a level."),
]);

unsafe extern "C" fn write_log(
    _: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python called us with these arguments.
    unsafe { fence_function((values, count, names), written) }
}

fn written<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [data] = arguments.bind("write_log", ["data"])?;
    if let Some(bytes) = data.and_then(Object::as_bytes) {
        log::write(python, bytes);
    }
    Ok(Owned::none(python))
}

unsafe extern "C" fn log_message(
    _: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python called us with these arguments.
    unsafe { fence_function((values, count, names), logged) }
}

fn logged<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    if let [Some(level), Some(text)] = arguments.bind("log_message", ["level", "text"])? {
        let level = level
            .as_u64(python)
            .and_then(|level| u8::try_from(level).ok());
        let text = text.utf8_lossy(python);
        python.detached(|| log::message(level.unwrap_or(level::INFO), text.as_bytes()));
    }
    Ok(Owned::none(python))
}
