//! Watching the files of imported modules, where WSGIModuleReloading asks for it.
//!
//! Asked by request threads before their request starts; one of them looks, at most once a second,
//! and the others pass by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// When an interpreter's modules are looked at.
pub struct Watch {
    begun: Instant,
    /// Milliseconds after `begun`.
    next: AtomicU64,
}

impl Watch {
    /// The first look is due at once.
    pub fn new() -> Self {
        Watch {
            begun: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// Whether the caller is the one who has to look now.
    pub fn is_due(&self) -> bool {
        let now = self.begun.elapsed();
        let next = self.next.load(Ordering::Relaxed);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        milliseconds(now) >= next
            && self
                .next
                .compare_exchange(
                    next,
                    milliseconds(now + PERIOD),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }
}
