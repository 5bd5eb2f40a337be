//! When a daemon was last in use: what `inactivity-timeout` is measured by.
//!
//! Written by request threads at the start and the end of a request, without a lock and without the
//! GIL; read by the main thread. It decides nothing: that is for the main thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The last start or end of a request that counts.
pub(super) struct Activity {
    began: Instant,
    /// Milliseconds from `began`, and one more: 0 is never.
    last: AtomicU64,
}

impl Activity {
    /// None so far.
    pub(super) fn new(began: Instant) -> Activity {
        Activity {
            began,
            last: AtomicU64::new(0),
        }
    }

    /// Notes activity; tells whether it was the first.
    pub(super) fn note(&self, now: Instant) -> bool {
        let millis = now.saturating_duration_since(self.began).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        // Two threads may both be the first, or store in the wrong order by the time between a look
        // at the clock and the store: neither matters to a time-out of whole seconds.
        let first = self.last.load(Ordering::Relaxed) == 0;
        self.last.store(millis.saturating_add(1), Ordering::Relaxed);
        first
    }

    /// When there was activity; `None` before the first.
    pub(super) fn last(&self) -> Option<Instant> {
        let millis = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        self.began.checked_add(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_activity_is_told_apart_even_at_the_very_beginning() {
        let began = Instant::now();
        let activity = Activity::new(began);
        assert_eq!(activity.last(), None);
        assert!(activity.note(began));
        assert_eq!(activity.last(), Some(began));
        assert!(!activity.note(began));
    }

    #[test]
    fn the_latest_activity_counts() {
        let began = Instant::now();
        let activity = Activity::new(began);
        activity.note(began + Duration::from_millis(20));
        activity.note(began + Duration::from_millis(3500));
        assert_eq!(activity.last(), Some(began + Duration::from_millis(3500)));
    }
}
