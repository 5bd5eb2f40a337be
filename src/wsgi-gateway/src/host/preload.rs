//! Loading applications in a process that others are forked from, and forking it.
//!
//! Runs on the main thread of a group's zygote, which is Python's main thread, while no other thread
//! exists. A fork keeps no interpreter but the main one, so what gets another is loaded later, by
//! each process for itself.

use std::io;
use std::thread;
use std::time::Duration;

use wsgi_unix::fork::Orphan;
use wsgi_unix::process;

use super::{Host, chain};
use crate::interpreters::InterpreterError;
use crate::log::{self, level};
use crate::python::{self, Side};

/// How often it is looked whether threads that have ended are gone, and the time between.
const LOOKS: u32 = 20;

/// See [`LOOKS`].
const LOOK: Duration = Duration::from_millis(10);

/// What became of the attempt to load applications for a fork.
#[derive(Debug, PartialEq, Eq)]
pub enum Preloaded {
    /// They are loaded.
    Ready,
    /// A script failed, which the log tells of.
    Failed,
    /// Nothing can be forked, and why.
    Unforkable(String),
}

impl Host {
    /// Loads the configured imports that go to the main interpreter, and has the collector leave alone
    /// what there is then. Called without the GIL.
    pub fn preload(&self) -> Preloaded {
        match self.load_main() {
            Ok(Preloaded::Ready) => self.freeze(),
            Ok(other) => other,
            Err(error) => {
                log::to_process(level::ERROR, chain(&error).as_bytes());
                Preloaded::Failed
            }
        }
    }

    fn load_main(&self) -> Result<Preloaded, InterpreterError> {
        let mut outcome = Preloaded::Unforkable(
            "no script that is loaded at start is for the main interpreter, the only one that a \
             fork keeps"
                .to_owned(),
        );
        for import in &self.config.imports.0 {
            let group = &import.application_group;
            if !self.interpreters.would_get_main(group) {
                continue;
            }
            self.import(import)?;
            let mut copies = self.interpreters.of(group, None)?.all();
            if !copies.all(|interpreter| interpreter.script(&import.script).is_loaded()) {
                return Ok(Preloaded::Failed);
            }
            outcome = Preloaded::Ready;
        }
        Ok(outcome)
    }

    fn freeze(&self) -> Preloaded {
        let interpreter = self.interpreters.main();
        let attached = interpreter.attach();
        let python = attached.python();
        let names = match interpreter.objects.freeze.object(python).call0(python) {
            Ok(names) => names.bytes_of_items(python),
            Err(raised) => {
                let error = raised.take(python);
                interpreter.log_exception(python, "The application cannot be forked.", &error);
                return Preloaded::Failed;
            }
        };
        drop(attached);
        if !names.is_empty() {
            let names = String::from_utf8_lossy(&names.join(&b", "[..])).into_owned();
            return Preloaded::Unforkable(format!(
                "it has started threads, which a fork does not keep: {names}"
            ));
        }
        match check_alone() {
            Ok(()) => Preloaded::Ready,
            Err(why) => Preloaded::Unforkable(why),
        }
    }

    /// Forks this process, with the application's functions of `os.register_at_fork` around it. In the
    /// new process `begin` runs before any of them. Called without the GIL.
    pub fn fork(&self, begin: impl FnOnce(Orphan)) -> io::Result<Side> {
        check_alone().map_err(io::Error::other)?;
        python::fork(&self.interpreters.main().attach(), begin)
    }
}

/// Whether this is the only thread, as far as the kernel knows; else why nothing can be forked. It may
/// take the kernel a moment to be done with a thread that was joined.
fn check_alone() -> Result<(), String> {
    for _ in 0..LOOKS {
        if process::thread_count() == 1 {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    match process::thread_count() {
        0 => Err("its threads cannot be counted, as /proc is not there".to_owned()),
        1 => Ok(()),
        count => Err(format!(
            "an extension module has started {} thread(s), which a fork does not keep (OpenBLAS \
             starts none with OPENBLAS_NUM_THREADS=1 in the option env)",
            count - 1
        )),
    }
}
