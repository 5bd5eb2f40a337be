//! Drives the gateway as the monitor and an Apache child do: real processes, real frames.
//!
//! Runs in the test process. Nothing here is Python or httpd; every wait has a deadline.

mod child;
mod daemon;
mod monitor;
mod python;

pub use child::{Answer, Child, Message, Request};
pub use daemon::{Daemon, Setup};
pub use python::{Python, each_python, newest_python};

use std::time::{Duration, Instant};

/// How long anything may take that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at a condition until it holds; panics with `what` when it does not in time.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}
