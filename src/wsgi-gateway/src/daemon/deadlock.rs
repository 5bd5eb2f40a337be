//! A GIL that nobody gets any more (`deadlock-timeout`).
//!
//! Runs on the main thread, which never waits for a GIL itself. Requests that need that GIL cannot
//! end, so they are not waited for; those of interpreters with another GIL are.

use std::time::{Duration, Instant};

use super::control::Control;
use super::deputy::{Order, Wait};
use crate::log::level;
use crate::stacks;

/// The time between two looks, at least and at most.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When to look next in a process that has just looked.
pub(super) fn next_look(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add((timeout / 10).clamp(LOOKS.0, LOOKS.1))
}

impl Control {
    /// When to look at the GIL, or to lose patience with the look that is under way.
    pub(super) fn gil_deadline(&self) -> Option<Instant> {
        let timeout = self.config.settings.deadlock_timeout;
        if timeout.is_zero() || self.deadlocked {
            return None;
        }
        match self.gil_wait() {
            Some(wait) => wait.since.checked_add(timeout),
            None => self.limits.gil_look,
        }
    }

    fn gil_wait(&self) -> Option<Wait> {
        self.deputy.as_ref().and_then(|deputy| deputy.wait())
    }

    /// Has the deputy look, if a request runs; sees to a look that takes too long.
    pub(super) fn look_at_gil(&mut self) {
        let timeout = self.config.settings.deadlock_timeout;
        match self.gil_wait() {
            Some(wait) if wait.since.elapsed() >= timeout => self.see_to_deadlock(wait),
            Some(_) => {}
            None => {
                self.limits.gil_look = next_look(timeout);
                if self.service.permits.active() > 0 {
                    self.order(Order::Look);
                }
            }
        }
    }

    fn see_to_deadlock(&mut self, wait: Wait) {
        self.deadlocked = true;
        self.service.permits.close();
        self.service.host.mark_stuck(wait.interpreter);
        let stacks = self.shown(&stacks::without_gil());
        let text = format!(
            "process group {}: Python's lock (GIL) could not be had for {:.1} s \
             (deadlock-timeout={}): the process is replaced. Its threads:{stacks}",
            self.group(),
            wait.since.elapsed().as_secs_f64(),
            self.config.settings.deadlock_timeout.as_secs_f64(),
        );
        (self.service.log)(level::ERROR, text.as_bytes());
        let mut lost = 0;
        for (exchange, seen) in self.service.running() {
            let interpreter = exchange.seen().interpreter();
            if self.service.host.is_stuck(interpreter) && !exchange.seen().is_given_up() {
                exchange.hand_back(seen.number);
                lost += 1;
            }
        }
        self.service.permits.write_off(lost);
        self.supersede("deadlock_timeout", "deadlock-timeout: to be replaced");
    }
}
