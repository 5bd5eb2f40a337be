//! Loading the scripts that hold applications, once, and again when their files change.
//!
//! Used by request threads. Each script has its own lock for loading, waited for without the GIL, so
//! a slow import holds up nobody but the requests for that script.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::ffi;
use wsgi_wire::Failure;

use crate::exchange::Verdict;
use crate::interpreters::Interpreter;
use crate::log::{self, level};
use crate::policy::Policy;
use crate::python::{self, Object, Owned, Python, Raised, Stored};

/// How long a daemon answers with the failure it knows before it asks to be replaced.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// What nearly all scripts call their application.
const USUAL_NAME: &[u8] = b"application";

/// A file's time of modification in microseconds since 1970, which is as httpd gives it.
type Modified = i64;

/// A script file in one interpreter.
pub struct Script {
    path: Vec<u8>,
    /// Held while the script is loaded; waited for without the GIL.
    loading: Mutex<()>,
    /// Held for moments, never while Python runs.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<Loaded>,
    failed: Option<Failed>,
    /// The change for which a successor of this process was asked for.
    noted: Option<Modified>,
    /// Modules that another load has replaced, some of which requests may still use.
    replaced: Vec<Arc<Module>>,
}

impl State {
    /// Notes a change of the file; whether it is another than the last one that was noted.
    fn note(&mut self, modified: Option<Modified>) -> bool {
        std::mem::replace(&mut self.noted, modified) != modified
    }
}

struct Loaded {
    module: Arc<Module>,
    modified: Option<Modified>,
}

#[derive(Clone, Copy)]
struct Failed {
    failure: Failure,
    modified: Option<Modified>,
    at: Instant,
}

/// A loaded script.
pub struct Module {
    module: Stored,
    names: Stored,
    reload_required: Option<Stored>,
    /// The name `application`.
    usual_name: Stored,
    /// The name `__mtime__`.
    stamp_name: Stored,
    /// What [`load`](Script::load) left under that name.
    stamp: Option<Stored>,
}

impl Module {
    fn of(python: Python<'_>, module: Owned<'_>) -> Result<Module, Raised> {
        // SAFETY: the object lives; one that is no module is answered with an exception.
        let names = unsafe { ffi::PyModule_GetDict(module.as_ptr()) };
        if names.is_null() {
            return Err(Raised::already_set());
        }
        // SAFETY: the module owns its dict.
        let names = unsafe { Object::lend(python, names) }.to_owned(python);
        let hook = names.dict_item(python, &*Owned::interned(python, b"reload_required")?)?;
        let stamp_name = Owned::interned(python, b"__mtime__")?;
        let stamp = names.dict_item(python, &stamp_name)?;
        Ok(Module {
            module: module.store(),
            names: names.store(),
            reload_required: hook.map(Owned::store),
            usual_name: Owned::interned(python, USUAL_NAME)?.store(),
            stamp_name: stamp_name.store(),
            stamp: stamp.map(Owned::store),
        })
    }

    /// Lets go of the script, which is then freed.
    fn release(self, python: Python<'_>) {
        drop(self.names.release(python));
        drop(self.reload_required.map(|hook| hook.release(python)));
        drop(self.usual_name.release(python));
        drop(self.stamp_name.release(python));
        drop(self.stamp.map(|stamp| stamp.release(python)));
        drop(self.module.release(python));
    }

    /// The object with this name in the script, if there is one.
    pub fn callable<'p>(
        &self,
        python: Python<'p>,
        name: &[u8],
    ) -> Result<Option<Owned<'p>>, Raised> {
        let names = self.names.object(python);
        if name == USUAL_NAME {
            return names.dict_item(python, self.usual_name.object(python));
        }
        let name = Owned::text(python, &String::from_utf8_lossy(name))?;
        names.dict_item(python, &name)
    }

    /// Whether the script has taken its `__mtime__` away or replaced it, which asks for another load
    /// as much as a change of its file does.
    pub fn wants_new_stamp(&self, python: Python<'_>) -> bool {
        let name = self.stamp_name.object(python);
        let Ok(found) = self.names.object(python).dict_item(python, name) else {
            return false;
        };
        let stamp = self
            .stamp
            .as_ref()
            .map(|stamp| stamp.object(python).as_ptr());
        found.map(|found| found.as_ptr()) != stamp
    }

    /// What the script's own `reload_required(path)` says; false after an exception, which is logged.
    fn wants_reload(&self, interpreter: &Interpreter, path: &[u8]) -> bool {
        let Some(hook) = &self.reload_required else {
            return false;
        };
        let attached = interpreter.attach();
        let python = attached.python();
        let answer = Owned::path(python, path)
            .and_then(|path| hook.object(python).call1(python, &path))
            .and_then(|answer| answer.is_true(python));
        answer.unwrap_or_else(|raised| {
            let error = raised.take(python);
            let line = format!(
                "reload_required() of '{}' failed",
                String::from_utf8_lossy(path)
            );
            interpreter.log_exception(python, &line, &error);
            false
        })
    }
}

impl Script {
    /// A script that is not loaded yet.
    pub fn new(path: &[u8]) -> Self {
        Script {
            path: path.to_vec(),
            loading: Mutex::new(()),
            state: Mutex::default(),
        }
    }

    /// The path for messages.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    /// The script, loaded; or how a request that needs it ends. With `reloading` changes of its file
    /// count, whose time of modification may have been `seen` just now. Called without the GIL.
    pub fn ready(
        &self,
        interpreter: &Interpreter,
        policy: &Policy,
        reloading: bool,
        seen: Option<Modified>,
    ) -> Result<Arc<Module>, Verdict> {
        let modified = if reloading {
            seen.or_else(|| self.modified())
        } else {
            None
        };
        if let Some(module) = self.known(interpreter, policy, modified)? {
            return Ok(module);
        }
        let _loading = self.loading.lock();
        let modified = self.modified();
        if let Some(module) = self.known(interpreter, policy, modified.filter(|_| reloading))? {
            return Ok(module);
        }
        let module = self.load(interpreter, modified)?;
        if let Policy::Daemon(replacement) = policy {
            replacement.note_loaded();
        }
        Ok(module)
    }

    /// What is known without loading: the module, or that the request ends, or nothing.
    fn known(
        &self,
        interpreter: &Interpreter,
        policy: &Policy,
        modified: Option<Modified>,
    ) -> Result<Option<Arc<Module>>, Verdict> {
        let mut state = self.state.lock();
        if let (Policy::Daemon(replacement), Some(failed)) = (policy, state.failed) {
            let changed = modified.is_some() && modified != failed.modified;
            let stale = changed || failed.at.elapsed() >= FAILURE_KEPT;
            let anew = changed && state.note(modified);
            return Err(if stale && replacement.takes_failed(anew) {
                Verdict::Replace
            } else {
                Verdict::Failed(failed.failure)
            });
        }
        let Some(loaded) = &state.loaded else {
            return Ok(None);
        };
        let module = Arc::clone(&loaded.module);
        let changed = modified.is_some() && modified != loaded.modified;
        drop(state);
        // Without a time the caller does not want reloading, or the file is gone: keep what works.
        if modified.is_none() || !(changed || module.wants_reload(interpreter, &self.path)) {
            return Ok(Some(module));
        }
        match policy {
            Policy::Daemon(replacement) => {
                let anew = self.state.lock().note(modified);
                if anew {
                    let shown = self.shown();
                    let text = format!("script '{shown}' changed, so its process is replaced");
                    log::to_process(level::INFO, text.as_bytes());
                }
                match replacement.takes_changed(anew) {
                    true => Err(Verdict::Replace),
                    false => Ok(Some(module)),
                }
            }
            Policy::Embedded => Ok(None),
        }
    }

    /// Whether a module is loaded from it.
    pub fn is_loaded(&self) -> bool {
        self.state.lock().loaded.is_some()
    }

    /// Whether it was executed and failed.
    pub fn has_failed(&self) -> bool {
        self.state.lock().failed.is_some()
    }

    /// Forgets when the file of this load was modified, so that the next request loads it again.
    pub fn expire(&self, module: &Module) {
        let mut state = self.state.lock();
        if let Some(loaded) = &mut state.loaded
            && std::ptr::eq(Arc::as_ptr(&loaded.module), module)
        {
            loaded.modified = None;
        }
    }

    fn load(
        &self,
        interpreter: &Interpreter,
        modified: Option<Modified>,
    ) -> Result<Arc<Module>, Verdict> {
        let old = self.state.lock().loaded.take();
        let verb = if old.is_some() {
            "Reloading"
        } else {
            "Loading"
        };
        let line = format!("{verb} WSGI script '{}'.", self.shown());
        log::to_process(level::INFO, line.as_bytes());
        let attached = interpreter.attach();
        let python = attached.python();
        let result = self.execute(python, interpreter);
        self.release_replaced(python, old);
        match result {
            Ok(module) => {
                let module = Arc::new(module);
                let loaded = Loaded {
                    module: Arc::clone(&module),
                    modified,
                };
                let mut state = self.state.lock();
                (state.loaded, state.failed) = (Some(loaded), None);
                Ok(module)
            }
            Err(raised) => {
                let failure = self.log_failure(python, interpreter, raised);
                // A file that could not be read has left no traces: try again.
                let unread = [Failure::ScriptMissing, Failure::ScriptForbidden];
                let executed = !unread.contains(&failure);
                let at = Instant::now();
                let failed = executed.then_some(Failed {
                    failure,
                    modified,
                    at,
                });
                let mut state = self.state.lock();
                (state.loaded, state.failed) = (None, failed);
                Err(Verdict::Failed(failure))
            }
        }
    }

    fn execute(&self, python: Python<'_>, interpreter: &Interpreter) -> Result<Module, Raised> {
        let path = Owned::path(python, &self.path)?;
        let load = interpreter.objects.load.object(python);
        Module::of(python, load.call1(python, &path)?)
    }

    /// Frees the modules of earlier loads that no request uses any more.
    fn release_replaced(&self, python: Python<'_>, old: Option<Loaded>) {
        let mut replaced = std::mem::take(&mut self.state.lock().replaced);
        replaced.extend(old.map(|old| old.module));
        let in_use = replaced
            .into_iter()
            .filter_map(|module| match Arc::try_unwrap(module) {
                Ok(module) => {
                    module.release(python);
                    None
                }
                Err(module) => Some(module),
            })
            .collect();
        self.state.lock().replaced = in_use;
    }

    fn log_failure(
        &self,
        python: Python<'_>,
        interpreter: &Interpreter,
        raised: Raised,
    ) -> Failure {
        let error = raised.take(python);
        let path = self.shown();
        if error.matches(interpreter.objects.unreadable.object(python)) {
            let reason = error.value.text_of(python);
            // SAFETY: geteuid(2) has no arguments and cannot fail.
            let user = unsafe { libc::geteuid() };
            let line = match is_marked(python, &error.value, b"refused") {
                true => format!("WSGI script '{path}' is refused: {reason}"),
                false => format!("user {user} cannot read WSGI script '{path}': {reason}"),
            };
            python.detached(|| log::message(level::ERROR, line.as_bytes()));
            return if is_marked(python, &error.value, b"forbidden") {
                Failure::ScriptForbidden
            } else {
                Failure::ScriptMissing
            };
        }
        let line = if error.is_system_exit() {
            format!("SystemExit raised while loading WSGI script '{path}'; the process goes on.")
        } else {
            format!("Failed to load WSGI script '{path}'.")
        };
        interpreter.log_exception(python, &line, &error);
        Failure::ScriptLoad
    }

    fn modified(&self) -> Option<Modified> {
        let path = CString::new(self.path.as_slice()).ok()?;
        let mut status = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: a C string and room for the answer.
        if unsafe { libc::stat(path.as_ptr(), status.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: stat succeeded, so it filled the structure.
        let status = unsafe { status.assume_init() };
        // As APR counts, also where that overflows.
        let seconds = status.st_mtime.wrapping_mul(1_000_000);
        Some(seconds.wrapping_add(status.st_mtime_nsec / 1000))
    }
}

/// A flag of `ScriptUnreadable` of `runtime.py`.
fn is_marked(python: Python<'_>, unreadable: &Object, name: &[u8]) -> bool {
    let flag = Owned::interned(python, name)
        .and_then(|name| unreadable.optional_attribute(python, &name))
        .and_then(|flag| flag.map_or(Ok(false), |flag| flag.is_true(python)));
    flag.unwrap_or_else(|raised| raised.discard(python, false))
}

/// Logs that a script does not define the callable it was asked for. Called without the GIL.
pub fn log_callable_missing(script: &Script, callable: &[u8]) {
    let callable = String::from_utf8_lossy(callable);
    let line = format!(
        "WSGI script '{}' does not define '{callable}'",
        script.shown()
    );
    log::message(level::ERROR, line.as_bytes());
}

/// Whether this exception is the one by which a request is interrupted, which is then logged as over.
pub fn is_interruption(
    python: Python<'_>,
    interpreter: &Interpreter,
    error: &python::Error<'_>,
) -> bool {
    let timeout = interpreter.objects.request_timeout.object(python);
    let interrupted = error.matches(timeout);
    if interrupted {
        let line = b"Request interrupted by RequestTimeout; thread recovered.";
        python.detached(|| log::message(level::INFO, line));
    }
    interrupted
}

/// Logs that an application raised an exception.
pub fn log_application_error(
    python: Python<'_>,
    interpreter: &Interpreter,
    script: &Script,
    error: &python::Error<'_>,
) {
    let path = script.shown();
    let line = if error.is_system_exit() {
        format!("SystemExit exception raised by WSGI script '{path}'; the process goes on.")
    } else {
        let class = error.value.type_name(python);
        format!("{class} exception raised processing WSGI script '{path}'.")
    };
    interpreter.log_exception(python, &line, error);
}
