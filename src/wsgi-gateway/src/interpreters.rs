//! The interpreters of a process: one per application group, made when first asked for.
//!
//! Used by any thread. An interpreter lives until the process ends: ending one leaks, and aborts when
//! a thread is still inside, so a process that has to be rid of one is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use wsgi_wire::launch::GatewayConfig;

use crate::application::Script;
use crate::log::{self, level};
use crate::objects::{self, Objects};
use crate::python::{self, Attached, InterpreterState, Owned, Python};
use crate::wsgi::environ::KnownKeys;

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
            Ok(described) => lines.extend(described.bytes_of_items(python)),
            Err(raised) => {
                let line = b"(the exception could not be described)".to_vec();
                lines.push(raised.discard(python, line));
            }
        }
        python.detached(|| log::block(level::ERROR, &lines));
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

    fn signalled(&self, name: &str, number: i32) {
        let attached = self.attach();
        let python = attached.python();
        let number = u64::try_from(number).unwrap_or(0);
        let arguments =
            Owned::text(python, name).and_then(|name| Ok((name, Owned::int(python, number)?)));
        let told = arguments.and_then(|(name, number)| {
            let signal = self.objects.process_signal.object(python);
            signal.call2(python, &name, &number)
        });
        if let Err(raised) = told {
            raised.discard(python, ());
        }
    }

    fn end(&self, reason: &str) {
        let attached = self.attach();
        let python = attached.python();
        let stopping = self.objects.process_stopping.object(python);
        let told = Owned::text(python, reason).and_then(|reason| stopping.call1(python, &reason));
        if let Err(raised) = told {
            raised.discard(python, ());
        }
        match self.objects.end.object(python).call0(python) {
            Ok(failures) => {
                let lines = failures.bytes_of_items(python);
                python.detached(|| log::block(level::ERROR, &lines));
            }
            Err(raised) => raised.discard(python, ()),
        }
    }
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

    /// Tells the subscribers of every interpreter that the process got a signal. Called without the
    /// GIL.
    pub fn signalled(&self, name: &str, number: i32) {
        for interpreter in self.all() {
            interpreter.signalled(name, number);
        }
    }

    /// Runs what applications registered for the end, the main interpreter last; `reason` is what
    /// their subscribers are told. Called without the GIL.
    pub fn end(&self, reason: &str) {
        for interpreter in self.all().iter().rev() {
            interpreter.end(reason);
        }
    }

    fn all(&self) -> Vec<&'static Interpreter> {
        self.making.lock().all.clone()
    }
}

/// Sets the attached interpreter up: the Python half, our types, and the names we use.
fn prepare(
    python: Python<'_>,
    state: InterpreterState,
    config: &GatewayConfig,
    group: &[u8],
) -> Result<&'static Interpreter, InterpreterError> {
    match objects::make(python, config, group) {
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
