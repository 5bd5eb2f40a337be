//! What ends a daemon by the clock, each independent of the others.
//!
//! Read by the main thread, which sleeps until the first of them is due. A timer that is not
//! configured, or whose time does not run, is never due and costs nothing.

use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};
use wsgi_unix::{random, usage};
use wsgi_wire::launch::{DaemonSettings, Drawn};
use wsgi_wire::supervision::RECYCLE_MEMORY;

use super::control::Control;
use super::deadlock;
use super::elastic::Bounds;
use super::ending::FAILED;

/// How long a request may run before the main thread looks again whether the process is idle.
const BUSY: Duration = Duration::from_secs(1);

/// The time between two looks at the process's memory: such a look costs about a millisecond for
/// each 100 MB.
const MEMORY_LOOKS: Duration = Duration::from_secs(5);

/// One of them.
struct Timer {
    /// When it is due; `None` while its time does not run.
    due: fn(&Control) -> Option<Instant>,
    /// What is done when it is.
    expire: fn(&mut Control),
    /// Also in a process that ends.
    always: bool,
}

/// Every timer.
const TIMERS: [Timer; 9] = [
    Timer {
        due: Control::start_deadline,
        expire: Control::start_was_slow,
        always: false,
    },
    Timer {
        due: Control::idle_deadline,
        expire: Control::was_idle,
        always: false,
    },
    Timer {
        due: Control::restart_deadline,
        expire: Control::is_old,
        always: false,
    },
    Timer {
        due: Control::next_memory_look,
        expire: Control::look_at_memory,
        always: false,
    },
    Timer {
        due: Control::list_due,
        expire: Control::tell_list,
        always: false,
    },
    Timer {
        due: Control::crowd_deadline,
        expire: Control::look_at_crowd,
        always: false,
    },
    Timer {
        due: Control::quiet_deadline,
        expire: Control::look_at_quiet,
        always: false,
    },
    Timer {
        due: Control::request_deadline,
        expire: Control::see_to_overdue,
        always: true,
    },
    Timer {
        due: Control::gil_deadline,
        expire: Control::look_at_gil,
        always: true,
    },
];

/// What this process has drawn for itself, and when it looks next.
pub(super) struct Limits {
    /// Requests after which the process is replaced; 0: any number.
    pub(super) requests: u64,
    /// When the process is old.
    pub(super) restart: Option<Instant>,
    memory_look: Instant,
    /// The bounds of the number of requests at once.
    pub(super) bounds: Option<Bounds>,
    /// When to look at the GIL.
    pub(super) gil_look: Option<Instant>,
}

impl Limits {
    /// Draws the limits of a process that starts now.
    pub(super) fn draw(settings: &DaemonSettings, threads: u32) -> Limits {
        let now = Instant::now();
        let age = draw(&settings.restart_interval);
        Limits {
            requests: draw(&settings.maximum_requests),
            restart: match age {
                0 => None,
                age => now.checked_add(Duration::from_secs(age)),
            },
            memory_look: now + MEMORY_LOOKS,
            bounds: Bounds::new(settings.least_threads, threads),
            gil_look: deadlock::next_look(settings.deadlock_timeout),
        }
    }
}

/// A value from `least` to `least + jitter`; zero stays zero.
fn draw(drawn: &Drawn) -> u64 {
    if drawn.least == 0 {
        return 0;
    }
    u64::from(drawn.least) + random::number() % (u64::from(drawn.jitter) + 1)
}

impl Control {
    /// When the main thread has to look again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let timers = TIMERS.iter().filter_map(|timer| self.due(timer));
        let ending = self.ending.and_then(|ending| ending.deadline);
        timers.chain(ending).min()
    }

    fn due(&self, timer: &Timer) -> Option<Instant> {
        let runs = timer.always || self.ending.is_none();
        runs.then(|| (timer.due)(self)).flatten()
    }

    /// Sees to the timers that are due.
    pub(super) fn notice_time(&mut self) {
        for timer in &TIMERS {
            if self.due(timer).is_some_and(|due| Instant::now() >= due) {
                (timer.expire)(self);
            }
        }
    }

    fn start_deadline(&self) -> Option<Instant> {
        let timeout = self.config.settings.startup_timeout;
        if timeout.is_zero() || self.service.host.loaded_any() {
            return None;
        }
        self.service.first_request()?.checked_add(timeout)
    }

    /// A process whose application does not get ready is of no use.
    fn start_was_slow(&mut self) {
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

    /// A process that nobody needs gives back what it has taken; its successor has not taken it yet.
    fn was_idle(&mut self) {
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

    fn restart_deadline(&self) -> Option<Instant> {
        self.limits.restart.filter(|_| !self.succession.is_wanted())
    }

    fn is_old(&mut self) {
        let group = self.group().into_owned();
        self.recycle(
            "restart_interval",
            &format!("process group {group}: restart-interval is over: to be replaced"),
        );
    }

    fn next_memory_look(&self) -> Option<Instant> {
        let watched = self.config.settings.recycle_memory > 0 && !self.succession.is_wanted();
        watched.then_some(self.limits.memory_look)
    }

    /// What counts is the memory that the process would give back: pages that it shares are counted
    /// in part.
    fn look_at_memory(&mut self) {
        self.limits.memory_look = Instant::now() + MEMORY_LOOKS;
        let limit = self.config.settings.recycle_memory;
        let used = usage::proportional_bytes();
        if used < limit {
            return;
        }
        let group = self.group().into_owned();
        self.recycle(
            RECYCLE_MEMORY,
            &format!(
                "process group {group}: {used} bytes of memory, of which recycle-memory allows {limit}: \
                 to be replaced"
            ),
        );
    }

    /// Whether the process has answered as many requests as it may.
    pub(super) fn notice_requests(&mut self) {
        let limit = self.limits.requests;
        if limit > 0 && self.ending.is_none() && self.service.permits.served() >= limit {
            let group = self.group().into_owned();
            self.recycle(
                "maximum_requests",
                &format!(
                    "process group {group}: maximum-requests ({limit}) reached: to be replaced"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_value_lies_between_its_bounds_and_differs() {
        let drawn = |least, jitter| draw(&Drawn { least, jitter });
        assert_eq!(drawn(0, 1000), 0, "none stays none");
        assert_eq!(drawn(7, 0), 7);
        let values: Vec<_> = (0..100).map(|_| drawn(100, 1_000_000)).collect();
        assert!(values.iter().all(|value| (100..=1_000_100).contains(value)));
        assert!(values.iter().any(|value| *value != values[0]));
    }
}
