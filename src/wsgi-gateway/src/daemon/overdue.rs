//! Requests that have run for `request-timeout`: they are interrupted where that can help, and
//! otherwise their process is replaced.
//!
//! Runs on the main thread, without the GIL. A request that only waits for its client is cut off and
//! its process stays: a slow client must not be able to end one.

use std::fmt::Write as _;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};

use super::control::Control;
use super::deputy::Order;
use super::frames::FrameExchange;
use crate::log::level;
use crate::running::Seen;
use crate::stacks::{self, Stack};

/// How long a request may take to end after its wait for the client was cut short, at least.
const AFTER_CUT: Duration = Duration::from_secs(5);

/// How long the GIL is waited for to look at the threads' stacks.
const STACKS: Duration = Duration::from_secs(1);

/// A request about which something was done.
pub(super) struct Warned {
    exchange: Weak<FrameExchange>,
    number: u64,
    /// When its process is replaced.
    until: Instant,
}

impl Warned {
    fn is(&self, exchange: &Arc<FrameExchange>, number: u64) -> bool {
        self.number == number && self.exchange.as_ptr() == Arc::as_ptr(exchange)
    }

    fn still_runs(&self) -> bool {
        let exchange = self.exchange.upgrade();
        exchange.is_some_and(|exchange| exchange.seen().still_runs(self.number))
    }
}

impl Control {
    /// When a request is next overdue: of those that run, or of one that begins now.
    pub(super) fn request_deadline(&self) -> Option<Instant> {
        let timeout = self.config.settings.request_timeout;
        if timeout.is_zero() {
            return None;
        }
        let running = self.service.running();
        let deadlines = running.iter().filter_map(|(exchange, seen)| {
            if exchange.seen().is_given_up() {
                return None;
            }
            match self.warned(exchange, seen.number) {
                Some(warned) => Some(warned.until),
                None => seen.begun.checked_add(timeout),
            }
        });
        let next = Instant::now().checked_add(timeout);
        deadlines.chain(next).min()
    }

    fn warned(&self, exchange: &Arc<FrameExchange>, number: u64) -> Option<&Warned> {
        self.warned
            .iter()
            .find(|warned| warned.is(exchange, number))
    }

    /// Sees to the requests that are overdue.
    pub(super) fn see_to_overdue(&mut self) {
        let timeout = self.config.settings.request_timeout;
        self.warned.retain(Warned::still_runs);
        let mut stuck = Vec::new();
        for (exchange, seen) in self.service.running() {
            let now = Instant::now();
            let overdue = match self.warned(&exchange, seen.number) {
                _ if exchange.seen().is_given_up() => false,
                Some(warned) => now >= warned.until,
                None if now < seen.begun + timeout => false,
                None => !self.warn(&exchange, seen),
            };
            if overdue {
                stuck.push((exchange, seen));
            }
        }
        if !stuck.is_empty() {
            self.give_up_on(&stuck);
        }
    }

    /// Interrupts the request, or its wait for its client; whether that was possible.
    fn warn(&mut self, exchange: &Arc<FrameExchange>, seen: Seen) -> bool {
        let interrupt = self.config.settings.interrupt_timeout;
        let (done, patience) = match interrupt.is_zero() {
            false => {
                let order = Order::Interrupt(Arc::clone(exchange), seen.number);
                (self.order(order), interrupt)
            }
            true => (exchange.cut_wait(seen.number), AFTER_CUT),
        };
        if !done {
            return false;
        }
        self.warned.push(Warned {
            exchange: Arc::downgrade(exchange),
            number: seen.number,
            until: Instant::now() + patience,
        });
        let title = exchange.seen().title().unwrap_or_default();
        let waited = seen.begun.elapsed().as_secs();
        log::line(
            Level::Info,
            format_args!("{title} has run for {waited} s, and is interrupted"),
        );
        true
    }

    /// Answers the clients of stuck requests and has the process replaced.
    fn give_up_on(&mut self, stuck: &[(Arc<FrameExchange>, Seen)]) {
        // From now on the children ask other processes.
        self.service.permits.close();
        let seconds = self.config.settings.request_timeout.as_secs_f64();
        let group = self.group().into_owned();
        let stacks = self.stacks();
        for (at, (exchange, seen)) in stuck.iter().enumerate() {
            let title = exchange.seen().title().unwrap_or_default();
            let mut text = format!(
                "{title} has run for {:.1} s (request-timeout={seconds}) and is given up; its process \
                 of group {group} is replaced",
                seen.begun.elapsed().as_secs_f64()
            );
            if at == 0 {
                text.push_str(". The threads of the process:");
                text.push_str(&stacks);
            }
            if !exchange.tell(seen.number, level::ERROR, text.as_bytes()) {
                (self.service.log)(level::ERROR, text.as_bytes());
            }
            exchange.give_up(seen.number);
        }
        self.service.permits.write_off(stuck.len());
        self.supersede("request_timeout", "request-timeout: to be replaced");
    }

    /// The stacks of all threads, as lines that begin with a line feed. When the GIL cannot be had,
    /// nothing of the process's end will wait for it either.
    fn stacks(&mut self) -> String {
        let (sender, answers) = mpsc::channel();
        let mut found = Vec::new();
        let deadline = Instant::now() + STACKS;
        let mut asked = self.order(Order::Stacks(sender));
        while asked {
            let left = deadline.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left) {
                Ok(stacks) => found.extend(stacks),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => asked = false,
            }
        }
        if !asked {
            let waits = self.deputy.as_ref().and_then(|deputy| deputy.wait());
            if let Some(interpreter) = waits.and_then(|wait| wait.interpreter) {
                self.service.host.mark_stuck(Some(interpreter));
            }
            found = stacks::without_gil();
        }
        self.shown(&found)
    }

    /// Stacks as lines that begin with a line feed, with the request of each thread that has one.
    pub(super) fn shown(&self, stacks: &[Stack]) -> String {
        let running = self.service.running();
        let mut text = String::new();
        for stack in stacks.iter().filter(|stack| self.is_of_interest(stack)) {
            let request = running
                .iter()
                .find(|(exchange, _)| exchange.seen().thread() == stack.thread);
            // Writing to a String does not fail.
            let _ = match request {
                Some((exchange, seen)) => write!(
                    text,
                    "\nthread {}, {} for {:.1} s, latest call first:",
                    stack.thread,
                    exchange.seen().title().unwrap_or_default(),
                    seen.begun.elapsed().as_secs_f64()
                ),
                None => write!(text, "\nthread {}, latest call first:", stack.thread),
            };
            for call in &stack.calls {
                let _ = write!(text, "\n  {call}");
            }
        }
        if text.is_empty() {
            text.push_str("\nno thread runs Python");
        }
        text
    }

    /// This thread and the deputy are not the application's.
    fn is_of_interest(&self, stack: &Stack) -> bool {
        let ours = stack
            .calls
            .iter()
            .any(|call| call.contains("in dump_stacks"));
        stack.thread != self.ident && !ours
    }
}
