//! The Python side of a process: its interpreters, its applications and the way to call them.
//!
//! One [`Host`] per process, in a daemon and in an Apache child alike; called from any thread. It
//! does no input or output of its own but the log's: requests reach their client by [`Exchange`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use wsgi_wire::Failure;
use wsgi_wire::head::{RequestHead, flag};
use wsgi_wire::launch::{GatewayConfig, ImportScript, List, path_inside};
use wsgi_wire::supervision::{LoadedScript, LoadedScripts};

use crate::application::{self, Module, Script};
use crate::exchange::{Exchange, Verdict};
use crate::interpreters::{Interpreter, InterpreterError, Interpreters};
use crate::log::{self, ProcessLog, level};
use crate::observe;
use crate::policy::{Policy, Replacement};
use crate::program;
use crate::python::{self, Python};
use crate::wsgi;

mod preload;

pub use preload::Preloaded;

/// Why Python could not be made ready for applications.
#[derive(Debug, Error)]
pub enum StartError {
    /// The main interpreter could not be set up.
    #[error("Python is not ready for applications")]
    Interpreter(#[source] InterpreterError),
}

/// The Python side of a process; lives until the process ends.
pub struct Host {
    config: Arc<GatewayConfig>,
    policy: Policy,
    interpreters: Interpreters,
    loaded_any: AtomicBool,
    description: python::Description,
}

impl Host {
    /// Makes the current interpreter the main interpreter of a new host.
    ///
    /// The calling thread is Python's main thread and holds the GIL; it still does afterwards.
    /// `config.imports` are not loaded yet: see [`Host::load_imports`]. Nothing runs besides until
    /// [`Host::begin`].
    pub fn adopt(config: GatewayConfig, log: ProcessLog) -> Result<Arc<Host>, StartError> {
        log::open(log, config.log_level);
        let embedded = config.process_group.is_empty();
        let config = Arc::new(config);
        observe::begin_process(&config);
        // SAFETY: the caller holds the GIL until after this function.
        let python = unsafe { Python::assume() };
        let interpreters =
            Interpreters::adopt(python, Arc::clone(&config)).map_err(StartError::Interpreter)?;
        let processes = config.processes;
        Ok(Arc::new(Host {
            config,
            policy: if embedded {
                Policy::Embedded
            } else {
                Policy::Daemon(Replacement::among(processes))
            },
            interpreters,
            loaded_any: AtomicBool::new(false),
            description: python::description(python),
        }))
    }

    /// Begins what belongs to the process that serves, and not to one that it is forked from: its
    /// reports, which come from a thread, and the clock of its life.
    pub fn begin(&self) {
        observe::restart_clock();
        observe::telemetry::begin(&self.config, || self.description.clone());
    }

    /// Loads the configured imports in order; a failure is logged and tolerated. Called without the
    /// GIL.
    pub fn load_imports(&self) {
        for import in &self.config.imports.0 {
            if let Err(error) = self.import(import) {
                log::to_process(level::ERROR, chain(&error).as_bytes());
            }
        }
    }

    /// Runs the first configured import as the program of the process. Called without the GIL, on
    /// Python's main thread; returns when the program ends.
    pub fn run_program(&self) -> program::Ended {
        let Some(import) = self.config.imports.0.first() else {
            return program::nothing_to_run();
        };
        let copies = match self.interpreters.of(&import.application_group, None) {
            Ok(copies) => copies,
            Err(error) => {
                log::to_process(level::ERROR, chain(&error).as_bytes());
                return program::nothing_to_run();
            }
        };
        let path = String::from_utf8_lossy(&import.script);
        let line = format!("Running WSGI script '{path}' as the program of this process.");
        log::to_process(level::INFO, line.as_bytes());
        let lease = copies.lease();
        program::run(lease.interpreter, &import.script)
    }

    /// Loads a script into every interpreter of its application group.
    fn import(&self, import: &ImportScript) -> Result<(), InterpreterError> {
        let copies = self.interpreters.of(&import.application_group, None)?;
        for interpreter in copies.all() {
            self.import_into(interpreter, import);
        }
        if self
            .interpreters
            .fall_back(&import.application_group, copies)?
        {
            let copies = self.interpreters.of(&import.application_group, None)?;
            copies
                .all()
                .for_each(|interpreter| self.import_into(interpreter, import));
        }
        Ok(())
    }

    fn import_into(&self, interpreter: &Interpreter, import: &ImportScript) {
        if interpreter.was_refused() {
            return;
        }
        let script = interpreter.script(&import.script);
        if let (Ok(module), Some(callable)) = (
            self.ready(interpreter, &script, false, None),
            &import.callable,
        ) {
            let attached = interpreter.attach();
            let python = attached.python();
            let found = match module.callable(python, callable) {
                Ok(found) => found.is_some(),
                Err(raised) => raised.discard(python, false),
            };
            drop(attached);
            if !found {
                application::log_callable_missing(&script, callable);
            }
        }
    }

    fn ready(
        &self,
        interpreter: &Interpreter,
        script: &Script,
        reloading: bool,
        seen: Option<i64>,
    ) -> Result<Arc<Module>, Verdict> {
        let module = script.ready(interpreter, &self.policy, reloading, seen)?;
        if !self.loaded_any.load(Ordering::Relaxed) {
            self.loaded_any.store(true, Ordering::Release);
        }
        Ok(module)
    }

    /// Runs one request to its end. Called without the GIL, from any thread.
    pub fn serve(&self, head: &RequestHead<'_>, exchange: &Arc<dyn Exchange>) -> Verdict {
        let daemon_start = if self.replacement().is_some() {
            wsgi::now()
        } else {
            0
        };
        let inside;
        let head = match &self.config.root {
            None => head,
            Some(root) => match below(root, head) {
                Ok(found) => {
                    inside = found;
                    &inside
                }
                Err(line) => {
                    exchange.log(level::ERROR, line.as_bytes());
                    return Verdict::Failed(Failure::ScriptForbidden);
                }
            },
        };
        let mut session = wsgi::Session::begin(exchange);
        loop {
            match self.attempt(head, &mut session, daemon_start) {
                Ok(Some(verdict)) => return verdict,
                Ok(None) => {}
                Err(error) => {
                    exchange.log(error.level(), chain(&error).as_bytes());
                    return Verdict::Failed(error.failure());
                }
            }
        }
    }

    /// Runs the request in an interpreter of its application group. `None` when that interpreter
    /// could not load the script and the group has got another one: nothing was used of the request.
    fn attempt(
        &self,
        head: &RequestHead<'_>,
        session: &mut wsgi::Session<'_>,
        daemon_start: u64,
    ) -> Result<Option<Verdict>, InterpreterError> {
        let group = head.application_group;
        let computed = head.flags & flag::COMPUTED_GROUP != 0;
        let copies = self
            .interpreters
            .of(group, computed.then_some(head.script))?;
        let lease = copies.lease();
        let interpreter = lease.interpreter;
        session.goes_to(interpreter);
        let script = interpreter.script(head.script);
        let reloading = head.flags & flag::RELOADING != 0;
        let seen = session.script_modified();
        let module = match self.ready(interpreter, &script, reloading, seen) {
            Ok(module) => module,
            Err(verdict) => {
                let again = self.interpreters.fall_back(group, copies)?;
                return Ok((!again).then_some(verdict));
            }
        };
        if head.flags & flag::MODULES != 0 && self.modules_changed(interpreter) {
            return Ok(Some(Verdict::Replace));
        }
        let request = wsgi::Request {
            interpreter,
            script: &script,
            module: &module,
            head,
            daemon_start,
        };
        let verdict = match &head.functions {
            None => session.run(&request),
            Some(functions) => session.ask(&request, functions),
        };
        // An import may come as late as in a request, which then has failed; the next will not.
        self.interpreters.fall_back(group, copies)?;
        Ok(Some(verdict))
    }

    /// Whether the process has to be replaced because modules changed on disk. Apache's own
    /// processes cannot be: what they imported stays, and the log says so.
    fn modules_changed(&self, interpreter: &Interpreter) -> bool {
        let changed = interpreter.changed_modules();
        if changed.is_empty() {
            return false;
        }
        let (level, fate) = match self.policy {
            Policy::Daemon(_) => (level::INFO, "its process is replaced"),
            Policy::Embedded => (
                level::WARNING,
                "Apache has to be restarted to load it again",
            ),
        };
        for name in changed {
            let name = String::from_utf8_lossy(&name);
            log::to_process(
                level,
                format!("module {name} changed, so {fate}").as_bytes(),
            );
        }
        let replacement = self.replacement();
        replacement.is_some_and(|replacement| replacement.takes_changed(true))
    }

    /// Tells the applications' subscribers that the process got a signal. Called without the GIL, on
    /// a thread that nothing else waits for.
    pub fn signalled(&self, name: &str, number: i32) {
        self.interpreters.signalled(name, number);
    }

    /// Runs what the applications registered for the process's end, in every interpreter; `reason`
    /// is the `shutdown_reason` of their event. Called without the GIL, when no request runs any more
    /// or none is waited for; may take as long as the applications' functions do, so the caller sets
    /// a deadline.
    pub fn shutdown(&self, reason: &str) {
        observe::telemetry::stopping(reason);
        self.interpreters.end(reason);
        observe::telemetry::stopped(reason);
        python::leave_threads();
    }

    /// Every interpreter of the process, the main one first. Waits while one is being made.
    pub fn interpreters(&self) -> Vec<&'static Interpreter> {
        self.interpreters.all()
    }

    /// Notes that the GIL of this interpreter, or of the main one, cannot be had any more: nothing of
    /// the process's end waits for it.
    pub fn mark_stuck(&self, interpreter: Option<&Interpreter>) {
        self.interpreters.mark_stuck(interpreter);
    }

    /// Whether a request that runs there, or waits for a place, waits for a GIL that cannot be had.
    pub fn is_stuck(&self, interpreter: Option<&Interpreter>) -> bool {
        match interpreter {
            Some(interpreter) => self.interpreters.is_stuck(interpreter),
            None => self.interpreters.is_main_stuck(),
        }
    }

    /// Frees what Python keeps for the calling thread, which is about to end. Called without the GIL.
    pub fn thread_ended(&self) {
        python::end_thread();
    }

    /// What this process does about changed code; `None` when it cannot be replaced.
    pub fn replacement(&self) -> Option<&Replacement> {
        match &self.policy {
            Policy::Daemon(replacement) => Some(replacement),
            Policy::Embedded => None,
        }
    }

    /// The scripts that are loaded in this process, for others of its group. Waits for no Python.
    pub fn loaded_scripts(&self) -> LoadedScripts {
        LoadedScripts {
            scripts: List(self.interpreters.loaded_scripts()),
        }
    }

    /// Loads a script that another process of the group has loaded; whether it did not fail. One that
    /// is gone meanwhile has not, nor has one for which this process may have no interpreter, as
    /// requests have named too many: others may have named others. Called without the GIL.
    pub fn load_after_others(&self, script: &LoadedScript) -> bool {
        self.inherit(script).unwrap_or_else(|error| {
            log::to_process(error.level(), chain(&error).as_bytes());
            matches!(error, InterpreterError::TooMany { .. })
        })
    }

    fn inherit(&self, script: &LoadedScript) -> Result<bool, InterpreterError> {
        let group = &script.application_group;
        // Counts what requests have made, as its predecessor did.
        let computed_for = script.computed.then_some(script.script.as_slice());
        self.interpreters.of(group, computed_for)?;
        self.import(&ImportScript {
            script: script.script.clone(),
            application_group: group.clone(),
            callable: None,
        })?;
        let mut copies = self.interpreters.of(group, None)?.all();
        Ok(!copies.any(|interpreter| interpreter.script(&script.script).has_failed()))
    }

    /// Whether any application was loaded in this process.
    pub fn loaded_any(&self) -> bool {
        self.loaded_any.load(Ordering::Acquire)
    }
}

/// The head with its script's path as it is below the process's root directory; or the log line for
/// a script that does not lie there.
fn below<'h>(root: &[u8], head: &RequestHead<'h>) -> Result<RequestHead<'h>, String> {
    match path_inside(root, head.script) {
        Some(script) => {
            let mut inside = *head;
            inside.script = script;
            Ok(inside)
        }
        None => Err(format!(
            "WSGI script '{}' does not lie below {}, the chroot of its process group",
            String::from_utf8_lossy(head.script),
            String::from_utf8_lossy(root)
        )),
    }
}

/// An error and its sources in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
