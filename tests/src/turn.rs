//! Who may run a server now: a few at a time, or one alone for tests that load the machine.
//!
//! Lives in the test process, where libtest starts a test per thread. A test holds its [`Turn`] as
//! long as it holds a server, so the machine never runs more than it can carry.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Servers at once. Two cores carry three mostly idle ones.
const PLACES: usize = 3;

static FREE: Mutex<usize> = Mutex::new(PLACES);
static FREED: Condvar = Condvar::new();
/// Held while a test collects every place, lest two of them wait for each other's.
static COLLECTING: Mutex<()> = Mutex::new(());

/// The right to run servers, given back on drop.
#[derive(Debug)]
pub struct Turn {
    places: usize,
}

impl Turn {
    /// Waits for one place.
    pub fn shared() -> Turn {
        let _queue = lock(&COLLECTING);
        take(1);
        Turn { places: 1 }
    }

    /// Waits until no other test runs a server, and lets none start one.
    pub fn alone() -> Turn {
        let _queue = lock(&COLLECTING);
        for _ in 0..PLACES {
            take(1);
        }
        Turn { places: PLACES }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock(&FREE) += self.places;
        FREED.notify_all();
    }
}

fn take(places: usize) {
    let mut free = FREED
        .wait_while(lock(&FREE), |free| *free < places)
        .unwrap_or_else(PoisonError::into_inner);
    *free -= places;
}

/// A test that failed while it held the lock left only a number behind, which is still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
