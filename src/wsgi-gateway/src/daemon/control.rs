//! The main thread of a daemon: waits for whatever ends the process, and ends it in order.
//!
//! Signals, the monitor's lifeline, `startup-timeout`, `inactivity-timeout` and a replacement that a
//! request asked for all meet here. The process always ends by `_exit`: Python's own finalisation
//! cannot be trusted with several interpreters and threads that may be stuck.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use wsgi_unix::epoll::{Epoll, Event, Interest, Wake};
use wsgi_unix::log::{self, Level};
use wsgi_unix::process;
use wsgi_unix::signals::{self, Arrivals};
use wsgi_wire::launch::{DaemonConfig, REPLACED_STATUS};

use super::service::Service;
use super::start::DaemonStartError;
use super::threads::Crew;

/// The time the applications' exit functions have, at least.
const EXIT_FUNCTIONS: Duration = Duration::from_secs(1);

/// The time they have when no time-out is configured.
const UNBOUNDED_EXIT_FUNCTIONS: Duration = Duration::from_secs(60);

/// The time idle threads have to let go of Python; they need it only when something holds the GIL.
const DISMISSAL: Duration = Duration::from_millis(500);

/// How long a request may run before the main thread looks again whether the process is idle.
const BUSY: Duration = Duration::from_secs(1);

/// The exit status of a process that was told to end.
const ORDERLY: i32 = 0;

/// The exit status of a process that could not do its work.
const FAILED: i32 = 1;

/// The first three end the process, the others are the applications'.
const SIGNALS_NOTICED: [i32; 5] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGHUP,
    libc::SIGUSR2,
];

const SIGNALS: u64 = 0;
const LIFELINE: u64 = 1;
const WAKE: u64 = 2;

/// What the main thread waits for.
pub(super) struct Watch {
    epoll: Epoll,
    arrivals: Arrivals,
    lifeline: OwnedFd,
    monitor_lost: bool,
    wake: Arc<Wake>,
}

impl Watch {
    /// Takes over the process's signals: Python's handlers would wait for a main thread that never
    /// runs Python again.
    pub(super) fn new(lifeline: OwnedFd, wake: Arc<Wake>) -> Result<Watch, DaemonStartError> {
        let arrivals = signals::notify(&SIGNALS_NOTICED).map_err(DaemonStartError::Signals)?;
        let watched = || {
            let epoll = Epoll::new()?;
            epoll.add(arrivals.as_fd(), SIGNALS, Interest::READ)?;
            epoll.add(lifeline.as_fd(), LIFELINE, Interest::READ)?;
            epoll.add(wake.as_fd(), WAKE, Interest::READ)?;
            Ok(epoll)
        };
        let epoll = watched().map_err(DaemonStartError::Watch)?;
        Ok(Watch {
            epoll,
            arrivals,
            lifeline,
            monitor_lost: false,
            wake,
        })
    }

    /// Waits until something has happened or the time is up.
    fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut room = [Event::EMPTY; 3];
        let events = match self.epoll.wait(&mut room, timeout) {
            Ok(events) => events,
            Err(error) => {
                log::line(
                    Level::Crit,
                    format_args!("cannot watch for signals: {error}"),
                );
                process::exit_now(FAILED);
            }
        };
        if events.iter().any(|event| event.token() == LIFELINE) {
            // The monitor never writes, so this is the end. It would be told again and again.
            self.monitor_lost = true;
            let _ = self.epoll.remove(self.lifeline.as_fd());
        }
        // A wake that cannot be cleared comes again; what it stands for is looked at anyway.
        let _ = self.wake.clear();
    }
}

/// How the process ends.
#[derive(Debug, Clone, Copy)]
struct Ending {
    /// When running requests are not waited for any more; `None`: they are in any case.
    deadline: Option<Instant>,
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

/// The main thread's state.
pub(super) struct Control<'s> {
    service: &'s Arc<Service>,
    config: &'s DaemonConfig,
    watch: Watch,
    ending: Option<Ending>,
    /// The way to the thread that passes signals on to applications, once there was one.
    subscribers: Option<Sender<i32>>,
}

impl<'s> Control<'s> {
    /// The main thread of this service.
    pub(super) fn new(service: &'s Arc<Service>, config: &'s DaemonConfig, watch: Watch) -> Self {
        Control {
            service,
            config,
            watch,
            ending: None,
            subscribers: None,
        }
    }

    /// Waits for the process's end and brings it about.
    pub(super) fn run(mut self, crew: &Crew) -> ! {
        let ending = loop {
            self.notice_signals(crew);
            self.notice_monitor();
            self.notice_replacement();
            self.notice_slow_start();
            self.notice_inactivity();
            match self.ending {
                Some(ending) if self.is_over(ending) => break ending,
                Some(ending) => self.watch.wait(ending.deadline),
                None => self.watch.wait(self.next_deadline()),
            }
        };
        self.end(ending, crew)
    }

    fn is_over(&self, ending: Ending) -> bool {
        let late = ending
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        late || self.service.permits.active() == 0
    }

    fn notice_signals(&mut self, crew: &Crew) {
        while let Ok(Some(signal)) = self.watch.arrivals.take() {
            let name = signals::name(signal).unwrap_or("signal");
            match signal {
                libc::SIGHUP | libc::SIGUSR2 => self.pass_on(signal, crew),
                libc::SIGUSR1 => self.replace(
                    "graceful_signal",
                    &format!("{name}: finishing the running requests"),
                ),
                // What mod_wsgi's documentation has an application send itself to be replaced.
                libc::SIGINT => self.stop(
                    REPLACED_STATUS,
                    "shutdown_signal",
                    &format!("{name}: stopping, to be replaced"),
                ),
                _ => self.stop(ORDERLY, "shutdown_signal", &format!("{name}: stopping")),
            }
        }
    }

    /// Applications hear of this signal on a thread of their own: this one never waits for Python.
    fn pass_on(&mut self, signal: i32, crew: &Crew) {
        if self.subscribers.is_none() {
            match crew.start_signals(self.service) {
                Ok(sender) => self.subscribers = Some(sender),
                Err(error) => log::line(
                    Level::Warn,
                    format_args!("cannot pass a signal on to the application: {error}"),
                ),
            }
        }
        if let Some(subscribers) = &self.subscribers {
            // The thread ends with this sender only.
            let _ = subscribers.send(signal);
        }
    }

    fn notice_monitor(&mut self) {
        if self.watch.monitor_lost && self.ending.is_none() {
            self.replace(
                "shutdown_signal",
                "the monitor is gone: finishing the running requests",
            );
        }
    }

    fn notice_replacement(&mut self) {
        if self.ending.is_none() && self.service.replacement_asked() {
            self.recycle(
                "script_reload",
                "the application's script changed or failed to load: to be replaced",
            );
        }
    }

    /// A process whose application does not get ready is of no use.
    fn notice_slow_start(&mut self) {
        let late = self
            .start_deadline()
            .is_some_and(|deadline| Instant::now() >= deadline);
        if late && self.ending.is_none() {
            let seconds = self.config.settings.startup_timeout.as_secs_f64();
            log::line(
                Level::Error,
                format_args!(
                    "no application of process group {} was loaded within startup-timeout ({seconds} s \
                     from the first request): ending the process",
                    self.group()
                ),
            );
            self.stop(FAILED, "startup_timeout", "startup-timeout: stopping");
        }
    }

    fn start_deadline(&self) -> Option<Instant> {
        let timeout = self.config.settings.startup_timeout;
        if timeout.is_zero() || self.service.host.loaded_any() {
            return None;
        }
        self.service.first_request()?.checked_add(timeout)
    }

    /// A process that nobody needs gives back what it has taken; its successor has not taken it yet.
    fn notice_inactivity(&mut self) {
        let idle = self
            .idle_deadline()
            .is_some_and(|deadline| Instant::now() >= deadline);
        if idle && self.ending.is_none() {
            let seconds = self.config.settings.inactivity_timeout.as_secs();
            let group = self.group().into_owned();
            self.replace(
                "inactivity_timeout",
                &format!(
                    "process group {group}: no request within inactivity-timeout ({seconds} s): to be \
                     replaced"
                ),
            );
        }
    }

    /// When to see whether the process is idle; in the past if it is.
    fn idle_deadline(&self) -> Option<Instant> {
        if self.config.settings.inactivity_timeout.is_zero() {
            return None;
        }
        // Before its last activity is read: a request notes its end, and then it is not active.
        let active = self.service.permits.active();
        let last = self.service.last_activity()?;
        let deadline = last.checked_add(self.config.settings.inactivity_timeout)?;
        match active {
            0 => Some(deadline),
            _ => Some(deadline.max(Instant::now() + BUSY)),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.start_deadline(), self.idle_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn group(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.config.gateway.process_group)
    }

    /// Requests get `shutdown-timeout` to end.
    fn stop(&mut self, status: i32, cause: &'static str, reason: &str) {
        let deadline = after(self.config.settings.shutdown_timeout);
        let ending = Ending {
            deadline,
            status,
            cause,
        };
        self.begin(ending, reason);
    }

    /// Requests get `graceful-timeout`, and then `shutdown-timeout`.
    fn replace(&mut self, cause: &'static str, reason: &str) {
        let shutdown = self.config.settings.shutdown_timeout;
        let deadline = match shutdown.is_zero() {
            true => None,
            false => after(
                self.config
                    .settings
                    .graceful_timeout
                    .saturating_add(shutdown),
            ),
        };
        let ending = Ending {
            deadline,
            status: REPLACED_STATUS,
            cause,
        };
        self.begin(ending, reason);
    }

    /// Has the process replaced for a reason that can wait until a successor is ready.
    fn recycle(&mut self, cause: &'static str, reason: &str) {
        self.replace(cause, reason);
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

    /// The applications' exit functions run on this thread, which Python takes for its main thread.
    fn end(mut self, ending: Ending, crew: &Crew) -> ! {
        let running = self.service.permits.active();
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
        self.guard(ending);
        self.subscribers = None;
        if running == 0 {
            self.service.dismiss_threads();
            let deadline = Instant::now() + DISMISSAL;
            while crew.is_present() && Instant::now() < deadline {
                self.watch.wait(Some(deadline));
            }
        }
        self.service.host.shutdown(ending.cause);
        process::exit_now(ending.status)
    }

    /// Ends the process in time whatever the exit functions do.
    fn guard(&self, ending: Ending) {
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
}

/// The moment a time-out ends; `None` for a time-out of zero, which means any time.
fn after(timeout: Duration) -> Option<Instant> {
    match timeout.is_zero() {
        true => None,
        false => Instant::now().checked_add(timeout),
    }
}
