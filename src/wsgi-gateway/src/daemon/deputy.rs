//! The thread that takes the GIL for the main thread, which must be there when nobody can have it.
//!
//! Started when it is first needed. It does one thing at a time; the main thread sees how long it has
//! been waiting for which interpreter, and that is how a GIL that is never given back is noticed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use parking_lot::Mutex;

use super::frames::FrameExchange;
use super::service::Service;
use crate::interpreters::Interpreter;
use crate::log::level;
use crate::running::Interruption;
use crate::stacks::{self, Stack};

/// What it is asked to do.
pub(super) enum Order {
    /// To take every GIL, and give it back.
    Look,
    /// To interrupt this request of its thread.
    Interrupt(Arc<FrameExchange>, u64),
    /// To tell the stacks of the threads, one interpreter after another.
    Stacks(Sender<Vec<Stack>>),
}

/// A wait for a GIL.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    /// When it began.
    pub(super) since: Instant,
    /// Whose GIL; `None`: it waits for an interpreter that is being made.
    pub(super) interpreter: Option<&'static Interpreter>,
}

/// The main thread's end.
pub(super) struct Deputy {
    orders: Sender<Order>,
    wait: Arc<Mutex<Option<Wait>>>,
}

impl Deputy {
    /// The main thread's end, given the other one of `orders`.
    pub(super) fn new(orders: Sender<Order>, wait: Arc<Mutex<Option<Wait>>>) -> Deputy {
        Deputy { orders, wait }
    }

    /// Asks for something; whether the thread is there to do it.
    pub(super) fn ask(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// What it waits for now.
    pub(super) fn wait(&self) -> Option<Wait> {
        *self.wait.lock()
    }
}

/// The body of the thread; ends with the main thread's end.
pub(super) fn serve(service: &Service, orders: &Receiver<Order>, wait: &Mutex<Option<Wait>>) {
    let waits_for = |interpreter| {
        let since = Instant::now();
        *wait.lock() = Some(Wait { since, interpreter });
    };
    for order in orders {
        waits_for(None);
        match order {
            Order::Look => {
                for interpreter in service.host.interpreters() {
                    waits_for(Some(interpreter));
                    drop(interpreter.attach());
                }
            }
            Order::Interrupt(exchange, number) => {
                exchange.seen().is_due(number);
                let mut elsewhere = true;
                while elsewhere && let Some(interpreter) = exchange.seen().interpreter() {
                    waits_for(Some(interpreter));
                    let done = interrupt(service, &exchange, number, interpreter);
                    elsewhere = done == Interruption::Elsewhere;
                }
                if elsewhere {
                    exchange.cut_wait(number);
                }
            }
            Order::Stacks(answer) => {
                for interpreter in service.host.interpreters() {
                    waits_for(Some(interpreter));
                    let attached = interpreter.attach();
                    let stacks = stacks::of_interpreter(attached.python(), interpreter);
                    drop(attached);
                    // Whoever asked may have lost patience.
                    let _ = answer.send(stacks);
                }
            }
        }
        *wait.lock() = None;
    }
}

fn interrupt(
    service: &Service,
    exchange: &FrameExchange,
    number: u64,
    interpreter: &'static Interpreter,
) -> Interruption {
    let running = exchange.seen();
    let attached = interpreter.attach();
    let python = attached.python();
    // Before anything is done to the thread: this is Python code, in which others get the GIL.
    let stacks = stacks::of_interpreter(python, interpreter);
    let done = running.interrupt(python, interpreter, number);
    // With the GIL still held: once it is free, an interrupted thread may be about to send its answer.
    if done != Interruption::Elsewhere {
        exchange.cut_wait(number);
    }
    let title = running.title().unwrap_or_default();
    let thread = running.thread();
    let mut text = match done {
        Interruption::Sent => format!(
            "Injected RequestTimeout into thread {thread}, where {title} has run into \
             request-timeout:"
        ),
        Interruption::Pending => format!(
            "{title} has run into request-timeout before its application was called, and is \
             interrupted as soon as it is; thread {thread}:"
        ),
        Interruption::Elsewhere | Interruption::Needless => return done,
    };
    let stack = stacks.iter().find(|stack| stack.thread == thread);
    for call in stack.into_iter().flat_map(|stack| &stack.calls) {
        text.push_str("\n  ");
        text.push_str(call);
    }
    // Before the GIL is let go of: the request may end as soon as its thread gets it.
    let told = exchange.tell_at_once(number, level::INFO, text.as_bytes());
    drop(attached);
    if !told {
        (service.log)(level::INFO, text.as_bytes());
    }
    done
}
