//! Runs the script of a group without request threads, as the program of the process.
//!
//! Runs on the process's main thread, where Python lets scripts handle signals. What follows its end
//! is for the daemon to see to.

use crate::interpreters::Interpreter;
use crate::python::Owned;

/// The exit status of a program that ended by an exception, as Python has it.
const RAISED: i32 = 1;

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Why: the `shutdown_reason` that applications are told.
    pub reason: String,
    /// The process's exit status; `None` if another one is to take its place at once.
    pub status: Option<i32>,
}

impl Ended {
    fn failed() -> Ended {
        Ended {
            reason: "program_end".to_owned(),
            status: Some(RAISED),
        }
    }
}

/// Runs the script at `path` to its end. Called without the GIL, on the main thread.
pub fn run(interpreter: &Interpreter, path: &[u8]) -> Ended {
    let attached = interpreter.attach();
    let python = attached.python();
    let run = interpreter.objects.run_program.object(python);
    let ended = Owned::path(python, path).and_then(|path| run.call1(python, &path));
    match ended {
        Ok(ended) => {
            let mut texts = ended.bytes_of_items(python).into_iter();
            let mut next = || String::from_utf8(texts.next()?).ok();
            let reason = next().unwrap_or_default();
            let status = next().and_then(|status| status.parse().ok());
            Ended { reason, status }
        }
        Err(raised) => {
            let error = raised.take(python);
            let class = error.value.type_name(python);
            let path = String::from_utf8_lossy(path);
            let line = format!("{class} exception raised by the program '{path}'.");
            interpreter.log_exception(python, &line, &error);
            Ended::failed()
        }
    }
}

/// How a process ends that was given no program.
pub fn nothing_to_run() -> Ended {
    Ended::failed()
}
