//! What the process tells about its requests: events, the requests that run, and metrics.
//!
//! Used on request threads. Nothing is measured and no Python is called for a request before
//! somebody asked for it: until then a request pays for reading [`watched`] and two stores.

mod events;
mod meter;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::python::{self, Lent, Object, Owned, Python, Stored};

pub use events::{Attempts, FUNCTIONS, exception, finished, request_started, response_started};
pub use meter::Meter;

/// Somebody subscribed to events; `events.py` has the same number.
pub const EVENTS: u8 = 1;

/// Somebody looks at the requests that run; `events.py` has the same number.
pub const REQUESTS: u8 = 2;

/// What needs a record of each request in Python.
pub const RECORDS: u8 = EVENTS | REQUESTS;

static WATCHED: AtomicU8 = AtomicU8::new(0);

/// What somebody in this process has asked for: the bits above.
pub fn watched() -> u8 {
    WATCHED.load(Ordering::Relaxed)
}

/// From now on this is wanted as well.
pub fn watch(what: u8) {
    WATCHED.fetch_or(what, Ordering::Relaxed);
    if what & EVENTS != 0 {
        python::measure_waits();
    }
}

/// What is observed of one request.
#[derive(Default)]
pub struct Observation {
    /// The request's environ while its application runs.
    pub environ: Lent,
    used: AtomicBool,
    record: Mutex<Option<Stored>>,
    meter: OnceLock<Meter>,
}

impl Observation {
    /// Whether there is anything to be done at the request's end.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Begins to measure, if that is wanted; on the request's thread, before it waits for the GIL.
    pub fn begin(&self) {
        if watched() & EVENTS != 0 && self.meter.set(Meter::begin()).is_ok() {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// What measures the request, if that is wanted.
    pub fn meter(&self) -> Option<&Meter> {
        self.meter.get()
    }

    /// The request's record in Python, if it has one. Called attached to the request's interpreter.
    fn record<'p>(&self, python: Python<'p>) -> Option<Owned<'p>> {
        if !self.is_used() {
            return None;
        }
        let record = self.record.lock();
        record
            .as_ref()
            .map(|record| record.object(python).to_owned(python))
    }

    fn keep_record(&self, python: Python<'_>, record: &Object) {
        *self.record.lock() = Some(record.to_owned(python).store());
        self.used.store(true, Ordering::Relaxed);
    }

    fn take_record<'p>(&self, python: Python<'p>) -> Option<Owned<'p>> {
        let record = self.record.lock().take();
        record.map(|record| record.release(python))
    }
}
