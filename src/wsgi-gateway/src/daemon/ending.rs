//! How a daemon ends once it is to end: what running requests still get, and the exit functions.
//!
//! Runs on the main thread, without the GIL but for the applications' exit functions. The process
//! always ends by `_exit`: Python's own finalisation cannot be trusted with several interpreters and
//! threads that may be stuck.

use std::thread;
use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};
use wsgi_unix::process;
use wsgi_wire::launch::REPLACED_STATUS;

use super::control::Control;

/// The time the applications' exit functions have, at least.
const EXIT_FUNCTIONS: Duration = Duration::from_secs(1);

/// The time they have when no time-out is configured.
const UNBOUNDED_EXIT_FUNCTIONS: Duration = Duration::from_secs(60);

/// The time idle threads have to let go of Python; they need it only when something holds the GIL.
const DISMISSAL: Duration = Duration::from_millis(500);

/// The exit status of a process that was told to end.
pub(super) const ORDERLY: i32 = 0;

/// The exit status of a process that could not do its work.
pub(super) const FAILED: i32 = 1;

/// How the process ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// When running requests are not waited for any more; `None`: they are in any case.
    pub(super) deadline: Option<Instant>,
    status: i32,
    /// The `shutdown_reason` that applications are told.
    cause: &'static str,
}

impl Ending {
    fn sooner_of(self, other: Ending) -> Ending {
        let deadline = match (self.deadline, other.deadline) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        Ending { deadline, ..self }
    }
}

impl Control {
    /// Requests get `shutdown-timeout` to end.
    pub(super) fn stop(&mut self, status: i32, cause: &'static str, reason: &str) {
        let deadline = after(self.config.settings.shutdown_timeout);
        let ending = Ending {
            deadline,
            status,
            cause,
        };
        self.begin(ending, reason);
    }

    /// Requests get `graceful-timeout`, and then `shutdown-timeout`.
    pub(super) fn replace(&mut self, cause: &'static str, reason: &str) {
        self.replace_within(self.config.settings.graceful_timeout, cause, reason);
    }

    /// Requests get this time, and then `shutdown-timeout`.
    pub(super) fn replace_within(&mut self, time: Duration, cause: &'static str, reason: &str) {
        let shutdown = self.config.settings.shutdown_timeout;
        let deadline = match shutdown.is_zero() {
            true => None,
            false => after(time.saturating_add(shutdown)),
        };
        let ending = Ending {
            deadline,
            status: REPLACED_STATUS,
            cause,
        };
        self.begin(ending, reason);
    }

    fn begin(&mut self, ending: Ending, reason: &str) {
        self.ending = Some(match self.ending {
            Some(earlier) => earlier.sooner_of(ending),
            None => {
                log::line(Level::Info, format_args!("{reason}"));
                self.service.permits.close();
                ending
            }
        });
    }

    /// Whether nothing is waited for any more.
    pub(super) fn is_over(&self, ending: Ending) -> bool {
        let late = ending
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        late || self.service.unfinished() == 0
    }

    /// The applications' exit functions run on this thread, which Python takes for its main thread.
    pub(super) fn end(mut self, ending: Ending) -> ! {
        let running = self.service.unfinished();
        if running > 0 {
            log::line(
                Level::Warn,
                format_args!(
                    "process group {}: {running} request(s) still run after the time-out and are lost",
                    self.group()
                ),
            );
        }
        self.service.rescue_early_logs();
        guard(ending);
        self.subscribers = None;
        self.deputy = None;
        if self.service.permits.active() == 0 {
            self.service.dismiss_threads();
            let deadline = Instant::now() + DISMISSAL;
            while self.crew.is_present() && Instant::now() < deadline {
                self.watch.wait(Some(deadline));
            }
        }
        self.service.host.shutdown(ending.cause);
        process::exit_now(ending.status)
    }
}

/// Ends the process with this status after this time, whatever the exit functions do until then.
pub(super) fn end_within(time: Duration, status: i32) {
    guard(Ending {
        deadline: after(time),
        status,
        cause: "",
    });
}

/// Ends the process in time whatever the exit functions do.
fn guard(ending: Ending) {
    let earliest = Instant::now() + EXIT_FUNCTIONS;
    let deadline = match ending.deadline {
        Some(deadline) => deadline.max(earliest),
        None => earliest + UNBOUNDED_EXIT_FUNCTIONS,
    };
    let status = ending.status;
    let guard = thread::Builder::new()
        .name("wsgi-end".to_owned())
        .spawn(move || {
            while let Some(left) = deadline.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            log::line(
                Level::Warn,
                format_args!("exit functions still run after the time-out and are cut short"),
            );
            process::exit_now(status)
        });
    if guard.is_err() {
        // Better no exit functions than a process that may hang for ever.
        process::exit_now(status);
    }
}

/// The moment a time-out ends; `None` for a time-out of zero, which means any time.
fn after(timeout: Duration) -> Option<Instant> {
    match timeout.is_zero() {
        true => None,
        false => Instant::now().checked_add(timeout),
    }
}
