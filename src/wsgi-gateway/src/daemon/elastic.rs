//! How many requests run at once in a process whose option `threads` has bounds: one more while
//! others wait for them, one fewer after a time in which they were not needed.
//!
//! Runs on the main thread, without the GIL. A process without bounds never comes here.

use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};

use super::control::Control;

/// How long all threads must have been taken, with somebody in the queue, for another one.
const CROWDED: Duration = Duration::from_millis(100);

/// How long one thread must not have been needed.
const QUIET: Duration = Duration::from_secs(10);

/// The bounds, and when the main thread looks whether it is quiet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    least: u32,
    most: u32,
    quiet_look: Instant,
}

impl Bounds {
    /// The bounds of a process that starts now; `None` if the number is fixed.
    pub(super) fn new(least: u32, most: u32) -> Option<Bounds> {
        (0 < least && least < most).then(|| Bounds {
            least,
            most,
            quiet_look: Instant::now() + QUIET,
        })
    }

    /// How many requests may run at first.
    pub(super) fn least(&self) -> u32 {
        self.least
    }
}

impl Control {
    /// When to see whether another thread is needed.
    pub(super) fn crowd_deadline(&self) -> Option<Instant> {
        let bounds = self.limits.bounds?;
        let permits = &self.service.permits;
        let room = permits.limit() < bounds.most;
        let since = permits.full_since().filter(|_| room)?;
        since.checked_add(CROWDED)
    }

    /// All threads are taken, and have been for a while: if somebody waits, one more is started.
    pub(super) fn look_at_crowd(&mut self) {
        let permits = &self.service.permits;
        permits.look_again();
        if !self.service.somebody_waits() {
            return;
        }
        let limit = permits.limit() + 1;
        if !permits.call_back()
            && let Err(error) = self.crew.start_one(&self.service)
        {
            log::line(
                Level::Warn,
                format_args!("no further request thread can be started: {error}"),
            );
            return;
        }
        permits.set_limit(limit);
        self.service.listen_again();
        log::line(
            Level::Debug,
            format_args!("requests wait: {limit} may run at once now"),
        );
    }

    /// When to see whether a thread is needed no more.
    pub(super) fn quiet_deadline(&self) -> Option<Instant> {
        let bounds = self.limits.bounds?;
        (self.service.permits.limit() > bounds.least).then_some(bounds.quiet_look)
    }

    /// Takes a thread away if all of them were not needed at once since the last look.
    pub(super) fn look_at_quiet(&mut self) {
        let Some(bounds) = &mut self.limits.bounds else {
            return;
        };
        bounds.quiet_look = Instant::now() + QUIET;
        let permits = &self.service.permits;
        let limit = permits.limit();
        if permits.take_peak() >= limit {
            return;
        }
        permits.set_limit(limit - 1);
        permits.send_away();
        log::line(
            Level::Debug,
            format_args!("it is quiet: {} may run at once now", limit - 1),
        );
    }
}
