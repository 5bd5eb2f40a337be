//! The interpreters of a process: one per application group, made when first asked for.
//!
//! Used by any thread. An interpreter lives until the process ends: ending one leaks, and aborts when
//! a thread is still inside, so a process that has to be rid of one is replaced.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use wsgi_wire::Failure;
use wsgi_wire::launch::{GatewayConfig, InterpreterRule};
use wsgi_wire::supervision::LoadedScript;

use crate::application::Script;
use crate::choice::Choice;
use crate::copies::Copies;
use crate::log::{self, level};
use crate::objects::{self, Objects};
use crate::python::{self, Attached, InterpreterState, Owned, Python, Raised};
use crate::stacks;
use crate::watch::Watch;
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
    /// The process has as many as clients may make.
    #[error(
        "application group '{group}' is refused: this process has made {limit} interpreters for \
         names that requests gave (WSGIMaximumApplicationGroups)"
    )]
    TooMany {
        /// The application group.
        group: String,
        /// How many there may be.
        limit: u32,
        /// The first refusal of this process.
        first: bool,
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

impl InterpreterError {
    /// How severe it is. What clients can cause at will is told once.
    pub fn level(&self) -> u8 {
        match self {
            InterpreterError::TooMany { first: false, .. } => level::DEBUG,
            _ => level::ERROR,
        }
    }

    /// What the request comes to.
    pub fn failure(&self) -> Failure {
        match self {
            InterpreterError::TooMany { .. } => Failure::TooManyGroups,
            _ => Failure::Internal,
        }
    }
}

/// One interpreter.
pub struct Interpreter {
    state: InterpreterState,
    /// See [`Objects`].
    pub objects: Objects,
    /// The keys of environs.
    pub known_keys: KnownKeys,
    scripts: Mutex<HashMap<Vec<u8>, Arc<Script>>>,
    watch: Watch,
    /// An extension module has refused to work in it.
    refused: AtomicBool,
    own_gil: bool,
    /// Its own GIL cannot be had any more.
    stuck: AtomicBool,
}

impl Interpreter {
    /// Attaches the calling thread.
    pub fn attach(&self) -> Attached<'_> {
        Attached::new(&self.state)
    }

    /// Attaches the calling thread to run a request, in the order in which requests come.
    pub fn attach_in_turn(&self) -> Attached<'_> {
        Attached::in_turn(&self.state)
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

    /// The paths of the scripts that are loaded.
    fn loaded_scripts(&self) -> Vec<Vec<u8>> {
        let scripts = self.scripts.lock();
        let loaded = scripts.iter().filter(|(_, script)| script.is_loaded());
        loaded.map(|(path, _)| path.clone()).collect()
    }

    /// The imported modules whose files have changed, as the log names them; empty most of the time,
    /// as it looks at most once a second. Called without the GIL.
    pub fn changed_modules(&self) -> Vec<Vec<u8>> {
        if !self.watch.is_due() {
            return Vec::new();
        }
        let attached = self.attach();
        let python = attached.python();
        match self.objects.changed_modules.object(python).call0(python) {
            Ok(names) => names.bytes_of_items(python),
            Err(raised) => {
                let error = raised.take(python);
                self.log_exception(python, "Modules cannot be watched.", &error);
                Vec::new()
            }
        }
    }

    /// Logs an exception: `first_line`, then the traceback.
    pub fn log_exception(&self, python: Python<'_>, first_line: &str, error: &python::Error<'_>) {
        let mut lines = vec![first_line.as_bytes().to_vec()];
        let refusal = self.objects.is_refusal.object(python);
        let refused = refusal.call1(python, &error.value);
        if refused
            .and_then(|refused| refused.is_true(python))
            .unwrap_or_else(|raised| raised.discard(python, false))
        {
            self.refused.store(true, Ordering::Relaxed);
        }
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

    /// Whether an extension module has refused to work in it.
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
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

    /// Applies what holds for the application group, before anything of it is loaded.
    fn enter(
        &self,
        python: Python<'_>,
        group: &[u8],
        rule: &InterpreterRule,
    ) -> Result<(), InterpreterError> {
        let entered = objects::options(python, rule)
            .and_then(|options| self.objects.enter.object(python).call1(python, &options));
        entered
            .map(drop)
            .map_err(|raised| prepare_error(python, raised, group))
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
    groups: RwLock<HashMap<Vec<u8>, &'static Copies>>,
    making: Mutex<Made>,
    main: &'static Interpreter,
    choice: Choice,
    /// The GIL that most interpreters share cannot be had any more.
    stuck: AtomicBool,
}

struct Made {
    count: usize,
    all: Vec<&'static Interpreter>,
    /// No application group has entered the main interpreter.
    main_is_free: bool,
    /// What was made for names that requests gave.
    computed: Computed,
}

/// The interpreters that clients have made. What bounds them is that a script's first is always
/// made: an application whose group has its own path for a name is not refused for other scripts'.
#[derive(Default)]
struct Computed {
    scripts: HashSet<Vec<u8>>,
    further: u32,
    told: bool,
}

impl Computed {
    /// Counts one more interpreter, for `script`.
    fn admit(&mut self, group: &[u8], script: &[u8], limit: u32) -> Result<(), InterpreterError> {
        if limit == 0 || self.scripts.insert(script.to_vec()) {
            return Ok(());
        }
        if self.further >= limit.saturating_sub(1) {
            return Err(InterpreterError::TooMany {
                group: String::from_utf8_lossy(group).into_owned(),
                limit,
                first: !std::mem::replace(&mut self.told, true),
            });
        }
        self.further += 1;
        Ok(())
    }
}

impl Interpreters {
    /// Takes the attached interpreter as the main one.
    pub fn adopt(
        python: Python<'_>,
        config: Arc<GatewayConfig>,
    ) -> Result<Interpreters, InterpreterError> {
        let state = python::adopt_current(python, 0);
        let main = prepare(python, state, &config, (b"", false))?;
        let choice = Choice::new(Arc::clone(&config));
        Ok(Interpreters {
            config,
            choice,
            groups: RwLock::default(),
            making: Mutex::new(Made {
                count: 1,
                all: vec![main],
                main_is_free: true,
                computed: Computed::default(),
            }),
            main,
            stuck: AtomicBool::new(false),
        })
    }

    /// The interpreters of an application group; made now if need be. For a name that a request
    /// gave, `computed_for` is the request's script. Called without the GIL.
    pub fn of(
        &self,
        group: &[u8],
        computed_for: Option<&[u8]>,
    ) -> Result<&'static Copies, InterpreterError> {
        if let Some(copies) = self.groups.read().get(group) {
            return Ok(copies);
        }
        let mut made = self.making.lock();
        if let Some(copies) = self.groups.read().get(group) {
            return Ok(copies);
        }
        if let Some(script) = computed_for {
            let limit = self.config.interpreters.computed_groups;
            made.computed.admit(group, script, limit)?;
        }
        let copies = self.choice.copies(group);
        let own_gil = copies > 1 || self.choice.own_gil(group);
        let first = self.one(&mut made, group, own_gil)?;
        let others = (1..copies).map(|_| self.make(&mut made, group, true));
        let others = others.collect::<Result<_, _>>()?;
        Ok(self.settle(group, Copies::new(first, others, computed_for.is_some())))
    }

    /// Gives a group whose copies an extension module has refused a single interpreter instead;
    /// whether it did, or another thread has. Called without the GIL.
    pub fn fall_back(
        &self,
        group: &[u8],
        copies: &'static Copies,
    ) -> Result<bool, InterpreterError> {
        if !copies.are_several() || !copies.all().any(Interpreter::was_refused) {
            return Ok(false);
        }
        let mut made = self.making.lock();
        let current = self.groups.read().get(group).copied();
        if current.is_some_and(|current| std::ptr::eq(current, copies)) {
            let shown = String::from_utf8_lossy(group);
            let line = format!(
                "an extension module does not work in interpreters with a GIL of their own: \
                 application group '{shown}' falls back to one interpreter in this process"
            );
            log::to_process(level::WARNING, line.as_bytes());
            let only = self.one(&mut made, group, false)?;
            self.settle(group, Copies::new(only, Vec::new(), copies.are_computed()));
        }
        Ok(true)
    }

    /// Kept for ever, as interpreters are: a request may still use what is replaced here.
    fn settle(&self, group: &[u8], copies: Copies) -> &'static Copies {
        let copies: &'static Copies = Box::leak(Box::new(copies));
        self.groups.write().insert(group.to_vec(), copies);
        copies
    }

    fn one(
        &self,
        made: &mut Made,
        group: &[u8],
        own_gil: bool,
    ) -> Result<&'static Interpreter, InterpreterError> {
        if group.is_empty() || (!own_gil && self.gives_main(made)) {
            return self.give_main(made, group);
        }
        self.make(made, group, own_gil)
    }

    /// Extension modules break in second interpreters, so in a daemon the first application group
    /// gets the main one, unless the configuration wants that for `%{GLOBAL}`.
    fn gives_main(&self, made: &Made) -> bool {
        let daemon = !self.config.process_group.is_empty();
        daemon && made.main_is_free && !self.config.reserve_main
    }

    /// The main interpreter.
    pub fn main(&self) -> &'static Interpreter {
        self.main
    }

    /// Whether an application group has the main interpreter, or would get it if it were asked for now.
    pub fn would_get_main(&self, group: &[u8]) -> bool {
        let made = self.making.lock();
        if let Some(copies) = self.groups.read().get(group) {
            return copies.all().all(|one| std::ptr::eq(one, self.main));
        }
        let own_gil = self.choice.own_gil(group);
        let single = self.choice.copies(group) <= 1;
        single && (group.is_empty() || (!own_gil && self.gives_main(&made)))
    }

    /// Gives the group the main interpreter, alone or, when it is asked for by name after somebody
    /// else got it, together with that group.
    fn give_main(
        &self,
        made: &mut Made,
        group: &[u8],
    ) -> Result<&'static Interpreter, InterpreterError> {
        if made.main_is_free {
            self.main.name_application_group(group);
            let rule = self.choice.rule(group, false);
            let attached = self.main.attach();
            self.main.enter(attached.python(), group, &rule)?;
            made.main_is_free = false;
        }
        Ok(self.main)
    }

    fn make(
        &self,
        made: &mut Made,
        group: &[u8],
        own_gil: bool,
    ) -> Result<&'static Interpreter, InterpreterError> {
        let shown = String::from_utf8_lossy(group);
        let gil = if own_gil {
            " with a GIL of its own"
        } else {
            ""
        };
        log::to_process(
            level::INFO,
            format!("creating sub-interpreter for application group '{shown}'{gil}").as_bytes(),
        );
        let rule = self.choice.rule(group, own_gil);
        let attached = self.main.attach();
        let sharing = (!own_gil).then_some(&self.main.state);
        match attached.into_new_interpreter(made.count, sharing) {
            Some((guard, state)) => {
                made.count += 1;
                let python = guard.python();
                let interpreter = prepare(python, state, &self.config, (group, own_gil))?;
                made.all.push(interpreter);
                interpreter.enter(python, group, &rule)?;
                Ok(interpreter)
            }
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

    /// Runs what applications registered for the end, the main interpreter last, unless the
    /// configuration says otherwise; `reason` is what their subscribers are told. Called without
    /// the GIL.
    pub fn end(&self, reason: &str) {
        if self.config.interpreters.left_at_end {
            return;
        }
        for interpreter in self.all().iter().rev() {
            if !self.is_stuck(interpreter) {
                interpreter.end(reason);
            }
        }
    }

    /// The scripts that are loaded, in an order that gives another process the same main
    /// interpreter. Waits for no Python.
    pub fn loaded_scripts(&self) -> Vec<LoadedScript> {
        let groups = self.groups.read();
        let mut groups: Vec<_> = groups.iter().collect();
        let has_main = |copies: &Copies| copies.all().any(|one| std::ptr::eq(one, self.main));
        // The group that entered the main interpreter by its own name comes before `%{GLOBAL}`,
        // which shares it.
        groups.sort_by_key(|(name, copies)| (!has_main(copies), name.is_empty(), *name));
        let scripts = groups.into_iter().flat_map(|(group, copies)| {
            let paths: BTreeSet<_> = copies.all().flat_map(Interpreter::loaded_scripts).collect();
            let script = |script| LoadedScript {
                script,
                application_group: group.clone(),
                computed: copies.are_computed(),
            };
            paths.into_iter().map(script)
        });
        scripts.collect()
    }

    /// Notes that the GIL of this interpreter cannot be had any more; without an interpreter, that of
    /// the main one.
    pub fn mark_stuck(&self, interpreter: Option<&Interpreter>) {
        match interpreter {
            Some(interpreter) if interpreter.own_gil => {
                interpreter.stuck.store(true, Ordering::Relaxed);
            }
            _ => self.stuck.store(true, Ordering::Relaxed),
        }
    }

    /// Whether the GIL of this interpreter cannot be had any more.
    pub fn is_stuck(&self, interpreter: &Interpreter) -> bool {
        match interpreter.own_gil {
            true => interpreter.stuck.load(Ordering::Relaxed),
            false => self.stuck.load(Ordering::Relaxed),
        }
    }

    /// Whether the GIL of the main interpreter cannot be had any more.
    pub fn is_main_stuck(&self) -> bool {
        self.is_stuck(self.main)
    }

    /// Every interpreter, the main one first. Waits while one is being made.
    pub fn all(&self) -> Vec<&'static Interpreter> {
        self.making.lock().all.clone()
    }
}

/// Sets the attached interpreter up: the Python half, our types, and the names we use.
fn prepare(
    python: Python<'_>,
    state: InterpreterState,
    config: &GatewayConfig,
    (group, own_gil): (&[u8], bool),
) -> Result<&'static Interpreter, InterpreterError> {
    let made = objects::make(python, config, group).and_then(|objects| {
        stacks::register(python, &objects)?;
        Ok(objects)
    });
    match made {
        Ok(objects) => Ok(Box::leak(Box::new(Interpreter {
            state,
            objects,
            known_keys: KnownKeys::default(),
            scripts: Mutex::default(),
            watch: Watch::new(),
            refused: AtomicBool::new(false),
            own_gil,
            stuck: AtomicBool::new(false),
        }))),
        Err(raised) => Err(prepare_error(python, raised, group)),
    }
}

fn prepare_error(python: Python<'_>, raised: Raised, group: &[u8]) -> InterpreterError {
    let error = raised.take(python);
    let class = error.value.type_name(python);
    InterpreterError::Prepare {
        group: String::from_utf8_lossy(group).into_owned(),
        reason: format!("{class}: {}", error.value.text_of(python)),
    }
}
