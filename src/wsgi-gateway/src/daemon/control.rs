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

use super::deputy::{Deputy, Order};
use super::ending::{Ending, ORDERLY};
use super::overdue::Warned;
use super::service::Service;
use super::succession::Succession;
use super::threads::Crew;
use super::timers::Limits;
use super::watch::Watch;
use crate::python;

/// The `shutdown_reason` after SIGUSR1 where `eviction-timeout` is set.
pub(super) const EVICTION: &str = "eviction_signal";

/// The main thread's state.
pub(super) struct Control {
    pub(super) service: Arc<Service>,
    pub(super) config: DaemonConfig,
    pub(super) watch: Watch,
    pub(super) crew: Crew,
    pub(super) limits: Limits,
    pub(super) ending: Option<Ending>,
    pub(super) succession: Succession,
    /// The GIL could not be had for too long, and that has been seen to.
    pub(super) deadlocked: bool,
    /// Requests that were interrupted and still run.
    pub(super) warned: Vec<Warned>,
    /// The thread that takes the GIL for this one, once it was needed.
    pub(super) deputy: Option<Deputy>,
    /// What Python calls this thread.
    pub(super) ident: u64,
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
            deadlocked: false,
            warned: Vec::new(),
            deputy: None,
            ident: python::thread_ident(),
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
                _ => {
                    let deadline = self.next_deadline();
                    self.watch.wait(deadline);
                }
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

    /// Requests go on being taken until a successor takes them. With `eviction-timeout` the signal has
    /// a name of its own, and that is the time of the running requests then.
    fn evict(&mut self, signal: &str) {
        let cause = match self.config.settings.eviction_timeout.is_zero() {
            true => "graceful_signal",
            false => EVICTION,
        };
        self.recycle(cause, &format!("{signal}: to be replaced"));
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

    /// Has something done that needs the GIL; whether there is a thread to do it.
    pub(super) fn order(&mut self, order: Order) -> bool {
        if self.deputy.is_none() {
            match self.crew.start_deputy(&self.service) {
                Ok(deputy) => self.deputy = Some(deputy),
                Err(error) => log::line(
                    Level::Warn,
                    format_args!("cannot start a thread to look after requests: {error}"),
                ),
            }
        }
        self.deputy.as_ref().is_some_and(|deputy| deputy.ask(order))
    }

    /// The process group's name, for the log.
    pub(super) fn group(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.config.gateway.process_group)
    }
}
