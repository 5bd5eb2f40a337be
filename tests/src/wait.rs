//! Waiting for a condition with a deadline: the only way the suite spends time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition that must come may take on a slow, busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(5);

/// Polls until `condition` yields a value; panics with `what` once [`DEADLINE`] has passed.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match within(DEADLINE, condition) {
        Some(value) => value,
        None => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// Polls until `condition` holds; panics with `what` once [`DEADLINE`] has passed.
#[track_caller]
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

/// Polls until `condition` yields a value or `limit` has passed.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(POLL);
    }
}
