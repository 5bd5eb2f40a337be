//! How often the log tells that a group refuses what its queue cannot take in time: at once for the
//! first request, and for those that follow one line for all of them every ten seconds.
//!
//! Runs in a child's request threads, each child for itself. Only a request that is refused, or that
//! comes after such requests, pays more than a load for it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// The refusals of one group in one child.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Those that no line at error level tells of yet.
    untold: AtomicU64,
    /// When there was a line last.
    told: Mutex<Option<Instant>>,
}

/// How the log tells of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// With a line of its own, which tells of so many others as well.
    Aloud {
        /// Those that were refused since the last line.
        others: u64,
    },
    /// At level debug; a later line counts it.
    Softly,
}

impl Refusals {
    /// Notes one, and answers how to tell of it.
    pub fn note(&self) -> Telling {
        let others = self.take_due();
        if others.is_none() {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        others.map_or(Telling::Softly, |others| Telling::Aloud { others })
    }

    /// How many a line has to tell of now, after the end of the rush.
    pub fn overdue(&self) -> Option<u64> {
        match self.untold.load(Ordering::Relaxed) {
            0 => None,
            _ => self.take_due().filter(|others| *others > 0),
        }
    }

    /// Those that no line tells of yet, if it is time for one.
    fn take_due(&self) -> Option<u64> {
        let mut told = self.told.lock();
        if told.is_some_and(|told| told.elapsed() < INTERVAL) {
            return None;
        }
        *told = Some(Instant::now());
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

impl fmt::Display for Telling {
    /// What a line about a refusal ends with.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Telling::Aloud { others } if *others > 0 => {
                write!(out, "; {others} more were refused since the last such line")
            }
            _ => Ok(()),
        }
    }
}
