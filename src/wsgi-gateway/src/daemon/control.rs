//! The main thread of a daemon: waits for whatever ends the process.
//!
//! Signals, the monitor's orders ([`succession`](super::succession)), the
//! [`timers`](super::timers), the number of requests and a replacement that a request asked for all
//! meet here; [`ending`](super::ending) is what follows.
//! Runs without the GIL and never waits for Python: it must be there when Python is stuck.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use wsgi_unix::log::{self, Level};
use wsgi_unix::signals;
use wsgi_wire::launch::{DaemonConfig, REPLACED_STATUS};

use super::ending::{Ending, ORDERLY};
use super::service::Service;
use super::succession::Succession;
use super::threads::Crew;
use super::timers::Limits;
use super::watch::Watch;

/// The main thread's state.
pub(super) struct Control {
    pub(super) service: Arc<Service>,
    pub(super) config: DaemonConfig,
    pub(super) watch: Watch,
    pub(super) crew: Crew,
    pub(super) limits: Limits,
    pub(super) ending: Option<Ending>,
    pub(super) succession: Succession,
    /// The way to the thread that passes signals on to applications, once there was one.
    pub(super) subscribers: Option<Sender<i32>>,
}

impl Control {
    /// The main thread of this service.
    pub(super) fn new(
        service: Arc<Service>,
        config: DaemonConfig,
        watch: Watch,
        crew: Crew,
        limits: Limits,
    ) -> Self {
        Control {
            service,
            config,
            watch,
            crew,
            limits,
            ending: None,
            succession: Succession::default(),
            subscribers: None,
        }
    }

    /// Waits for the process's end and brings it about.
    pub(super) fn run(mut self) -> ! {
        let ending = loop {
            self.notice_signals();
            self.notice_loading();
            self.notice_monitor();
            self.notice_replacement();
            self.notice_requests();
            self.notice_time();
            match self.ending {
                Some(ending) if self.is_over(ending) => break ending,
                Some(ending) => self.watch.wait(ending.deadline),
                None => self.watch.wait(self.next_deadline()),
            }
        };
        self.end(ending)
    }

    fn notice_signals(&mut self) {
        while let Some(signal) = self.watch.signal() {
            let name = signals::name(signal).unwrap_or("signal");
            match signal {
                libc::SIGHUP | libc::SIGUSR2 => self.pass_on(signal),
                libc::SIGUSR1 => self.evict(name),
                libc::SIGXCPU => self.recycle(
                    "cpu_time_limit",
                    &format!("{name}: cpu-time-limit is used up: to be replaced"),
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

    /// With `eviction-timeout` that is the time of the running requests.
    fn evict(&mut self, signal: &str) {
        let time = self.config.settings.eviction_timeout;
        let reason = format!("{signal}: finishing the running requests");
        match time.is_zero() {
            true => self.replace("graceful_signal", &reason),
            false => self.replace_within(time, "eviction_signal", &reason),
        }
    }

    /// Applications hear of this signal on a thread of their own: this one never waits for Python.
    fn pass_on(&mut self, signal: i32) {
        if self.subscribers.is_none() {
            match self.crew.start_signals(&self.service) {
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

    /// The process group's name, for the log.
    pub(super) fn group(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.config.gateway.process_group)
    }
}
