//! What an interpreter holds for the gateway: the Python half, our types, and the names we use.
//!
//! Made once in every interpreter by the thread that creates it, with the GIL held. Nothing of it is
//! shared between interpreters.

use std::ffi::{CStr, CString};
use std::ptr;

use pyo3::ffi;
use wsgi_wire::launch::{GatewayConfig, InterpreterRule, List};

use crate::enquiry;
use crate::log::{self, level};
use crate::observe;
use crate::python::{
    Arguments, Exception, Methods, Object, Owned, Python, Raised, Stored, keywords_method,
    new_function, python_function,
};
use crate::wsgi::environ::OwnKeys;
use crate::wsgi::{input, start_response};

/// The version that `mod_wsgi.version` tells: the one whose configuration and behaviour we match.
pub const MOD_WSGI_VERSION: [u64; 3] = [6, 1, 1];

/// The files of the Python half, in the order they are executed.
const SOURCES: [&str; 6] = [
    concat!(include_str!("runtime.py"), "\0"),
    concat!(include_str!("events.py"), "\0"),
    concat!(include_str!("modules.py"), "\0"),
    concat!(include_str!("collector.py"), "\0"),
    concat!(include_str!("stacks.py"), "\0"),
    concat!(include_str!("program.py"), "\0"),
];

/// What tracebacks call the files of the Python half.
const RUNTIME_NAME: &CStr = c"<mod_wsgi>";

/// The Python objects that the gateway keeps in an interpreter.
pub struct Objects {
    /// The variables of an environ that never change.
    pub template: Stored,
    /// The variables of the environ of a function that never change.
    pub function_template: Stored,
    /// The names of the gateway's own variables.
    pub own_keys: OwnKeys,
    /// The type of `wsgi.input`.
    pub input: Stored,
    /// The type behind `start_response`.
    pub responder: Stored,
    /// The type behind `mod_ssl.var_lookup`.
    pub enquiry: Stored,
    /// `mod_wsgi.FileWrapper`.
    pub file_wrapper: Stored,
    /// `file_segment` of `runtime.py`.
    pub file_segment: Stored,
    /// `rebase` of `runtime.py`, where the process has a root directory of its own.
    pub rebase: Option<Stored>,
    /// `load` of `runtime.py`.
    pub load: Stored,
    /// `ScriptUnreadable` of `runtime.py`.
    pub unreadable: Stored,
    /// The name `close`.
    pub close: Stored,
    /// `is_refusal` of `runtime.py`.
    pub is_refusal: Stored,
    /// `describe` of `runtime.py`.
    pub describe: Stored,
    /// `name_application_group` of `runtime.py`.
    pub name_application_group: Stored,
    /// `enter` of `runtime.py`.
    pub enter: Stored,
    /// `freeze` of `runtime.py`.
    pub freeze: Stored,
    /// `changed_modules` of `modules.py`.
    pub changed_modules: Stored,
    /// `end` of `runtime.py`.
    pub end: Stored,
    /// `run_program` of `program.py`.
    pub run_program: Stored,
    /// `request_started` of `events.py`.
    pub request_started: Stored,
    /// `process_signal` of `events.py`.
    pub process_signal: Stored,
    /// `process_stopping` of `events.py`.
    pub process_stopping: Stored,
    /// `RequestTimeout` of `events.py`.
    pub request_timeout: Stored,
    /// `watch_stacks` of `stacks.py`.
    pub watch_stacks: Stored,
    /// `dump_stacks` of `stacks.py`.
    pub dump_stacks: Stored,
}

/// Sets the attached interpreter up for the application group `group`: executes the Python half and
/// makes our types.
pub fn make(python: Python<'_>, config: &GatewayConfig, group: &[u8]) -> Result<Objects, Raised> {
    let globals = Owned::dict(python)?;
    let set = |name: &[u8], value: &Object| {
        globals.set_dict_item(&*Owned::interned(python, name)?, value)
    };
    set(b"SETTINGS", &*settings(python, config, group)?)?;
    for function in LOG_FUNCTIONS.0.iter().chain(observe::functions()) {
        // SAFETY: the tables' names are C strings that live for ever.
        let name = unsafe { CStr::from_ptr(function.ml_name) };
        set(name.to_bytes(), &*new_function(python, function, None)?)?;
    }
    set(b"__name__", &*Owned::latin1(python, b"mod_wsgi")?)?;
    set(
        b"__file__",
        &*Owned::latin1(python, RUNTIME_NAME.to_bytes())?,
    )?;
    for source in SOURCES {
        execute(python, source, &globals)?;
    }
    let stored = |name: &[u8]| -> Result<Stored, Raised> {
        match globals.dict_item(python, &*Owned::interned(python, name)?)? {
            Some(found) => Ok(found.store()),
            None => Err(Exception::Runtime.raise(python, "the Python half is incomplete")),
        }
    };
    Ok(Objects {
        template: template(python, config, &stored)?.store(),
        function_template: function_template(python, config, &stored)?.store(),
        own_keys: OwnKeys::new(python)?,
        input: input::make_type(python)?.store(),
        responder: start_response::make_type(python)?.store(),
        enquiry: enquiry::make_type(python)?.store(),
        file_wrapper: stored(b"FileWrapper")?,
        file_segment: stored(b"file_segment")?,
        rebase: match &config.root {
            Some(_) => Some(stored(b"rebase")?),
            None => None,
        },
        load: stored(b"load")?,
        unreadable: stored(b"ScriptUnreadable")?,
        close: Owned::interned(python, b"close")?.store(),
        is_refusal: stored(b"is_refusal")?,
        describe: stored(b"describe")?,
        name_application_group: stored(b"name_application_group")?,
        enter: stored(b"enter")?,
        freeze: stored(b"freeze")?,
        changed_modules: stored(b"changed_modules")?,
        end: stored(b"end")?,
        run_program: stored(b"run_program")?,
        request_started: stored(b"request_started")?,
        process_signal: stored(b"process_signal")?,
        process_stopping: stored(b"process_stopping")?,
        request_timeout: stored(b"RequestTimeout")?,
        watch_stacks: stored(b"watch_stacks")?,
        dump_stacks: stored(b"dump_stacks")?,
    })
}

/// `source` ends with NUL.
fn execute(python: Python<'_>, source: &str, globals: &Owned<'_>) -> Result<(), Raised> {
    // SAFETY: needs the GIL only; the answer is lent.
    let builtins = unsafe { ffi::PyEval_GetBuiltins() };
    // SAFETY: the interpreter owns its builtins.
    let builtins = unsafe { Object::lend(python, builtins) };
    globals.set_dict_item(&*Owned::interned(python, b"__builtins__")?, builtins)?;
    // SAFETY: both strings end with NUL.
    let code = unsafe {
        ffi::Py_CompileString(
            source.as_ptr().cast(),
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
    let server = &config.server;
    set(b"description", Owned::latin1(python, &server.description)?)?;
    set(b"build_date", Owned::latin1(python, &server.build_date)?)?;
    set(
        b"apache_processes",
        Owned::int(python, server.children.into())?,
    )?;
    set(
        b"apache_threads",
        Owned::int(python, server.threads.into())?,
    )?;
    set(b"mpm_name", Owned::latin1(python, &server.mpm_name)?)?;
    set(b"directory", Owned::path(python, &library_directory())?)?;
    let home = match &config.home {
        Some(home) => Owned::path(python, home)?,
        None => Owned::none(python),
    };
    set(b"home", home)?;
    let interval = match &config.telemetry {
        Some(telemetry) => Owned::float(python, telemetry.interval.as_secs_f64())?,
        None => Owned::none(python),
    };
    set(b"telemetry_interval", interval)?;
    set(b"script_owner", script_owner(python, config)?)?;
    let root = match &config.root {
        Some(root) => Owned::path(python, root)?,
        None => Owned::none(python),
    };
    set(b"root", root)?;
    set(b"python_path", paths(python, &config.python_path)?)?;
    Ok(settings)
}

/// `(is a group, id)`, or None.
fn script_owner<'p>(python: Python<'p>, config: &GatewayConfig) -> Result<Owned<'p>, Raised> {
    let Some(owner) = &config.script_owner else {
        return Ok(Owned::none(python));
    };
    let pair = Owned::list(python)?;
    pair.append(&*Owned::bool(python, owner.group)?)?;
    pair.append(&*Owned::int(python, owner.id.into())?)?;
    Ok(pair)
}

fn paths<'p>(python: Python<'p>, directories: &List<Vec<u8>>) -> Result<Owned<'p>, Raised> {
    let list = Owned::list(python)?;
    for directory in &directories.0 {
        list.append(&*Owned::path(python, directory)?)?;
    }
    Ok(list)
}

/// What `enter` of `runtime.py` is told about an application group.
pub fn options<'p>(python: Python<'p>, rule: &InterpreterRule) -> Result<Owned<'p>, Raised> {
    let options = Owned::dict(python)?;
    let set = |name: &[u8], value: Owned<'_>| {
        options.set_dict_item(&*Owned::interned(python, name)?, &value)
    };
    set(b"python_path", paths(python, &rule.python_path)?)?;
    let interval = match rule.switch_interval {
        Some(microseconds) => Owned::float(python, microseconds as f64 / 1e6)?,
        None => Owned::none(python),
    };
    set(b"switch_interval", interval)?;
    let flag = |value: Option<bool>, default| Owned::bool(python, value.unwrap_or(default));
    set(b"own_gil", flag(rule.own_gil, false)?)?;
    set(b"restrict_stdin", flag(rule.restrict_stdin, false)?)?;
    set(b"restrict_stdout", flag(rule.restrict_stdout, false)?)?;
    set(b"restrict_signal", flag(rule.restrict_signal, true)?)?;
    Ok(options)
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
    set(b"wsgi.run_once", Owned::bool(python, config.run_once)?)?;
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

fn function_template<'p>(
    python: Python<'p>,
    config: &GatewayConfig,
    stored: &dyn Fn(&[u8]) -> Result<Stored, Raised>,
) -> Result<Owned<'p>, Raised> {
    let template = Owned::dict(python)?;
    let set = |name: &[u8], value: Owned<'_>| {
        template.set_dict_item(&*Owned::interned(python, name)?, &value)
    };
    set(b"wsgi.errors", stored(b"errors")?.release(python))?;
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

static LOG_FUNCTIONS: Methods<3> = Methods([
    keywords_method(c"write_log", write_log, c"Takes bytes for the error log."),
    keywords_method(c"log_message", log_message, c"Logs a str with a level."),
    keywords_method(
        c"log_lines",
        log_lines,
        c"Logs a list of bytes with a level, together.",
    ),
]);

python_function!(write_log, written);
python_function!(log_message, logged);
python_function!(log_lines, logged_lines);

fn written<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    let [data] = arguments.bind("write_log", ["data"])?;
    if let Some(bytes) = data.and_then(Object::as_bytes) {
        log::write(python, bytes);
    }
    Ok(Owned::none(python))
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

fn logged_lines<'p>(python: Python<'p>, arguments: Arguments<'p>) -> Result<Owned<'p>, Raised> {
    if let [Some(level), Some(lines)] = arguments.bind("log_lines", ["level", "lines"])? {
        let level = level
            .as_u64(python)
            .and_then(|level| u8::try_from(level).ok());
        let lines = lines.bytes_of_items(python);
        python.detached(|| log::block(level.unwrap_or(level::INFO), &lines));
    }
    Ok(Owned::none(python))
}
