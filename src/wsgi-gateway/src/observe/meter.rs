//! What one request costs: reads, writes, processor time, and waits for the GIL.
//!
//! Made and ended on the request's thread; threads of the application that read the body add to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wsgi_unix::usage::ProcessorTime;

use crate::python::{self, Waits};

/// A number of operations, what they moved and how long they took.
#[derive(Debug, Default)]
pub struct Traffic {
    count: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Traffic {
    /// Adds an operation that began at `since`.
    pub fn add(&self, since: Instant, bytes: u64) {
        let took = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// How many operations there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How much they moved.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How long they took together.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// The measurements of one request.
#[derive(Debug)]
pub struct Meter {
    /// Reads of the request body by the application.
    pub input: Traffic,
    /// Pieces of the response body given to Apache.
    pub output: Traffic,
    begun: ProcessorTime,
    application_start: AtomicU64,
    application_finish: AtomicU64,
}

impl Meter {
    /// Begins with the calling thread's times.
    pub fn begin() -> Self {
        python::take_waits();
        Meter {
            input: Traffic::default(),
            output: Traffic::default(),
            begun: ProcessorTime::of_thread(),
            application_start: AtomicU64::new(0),
            application_finish: AtomicU64::new(0),
        }
    }

    /// Notes when the application is called, microseconds since 1970.
    pub fn application_starts(&self, at: u64) {
        self.application_start.store(at, Ordering::Relaxed);
    }

    /// Notes when the application is done, microseconds since 1970.
    pub fn application_finishes(&self, at: u64) {
        self.application_finish.store(at, Ordering::Relaxed);
    }

    /// When the application was called and when it was done, microseconds since 1970.
    pub fn application(&self) -> (u64, u64) {
        (
            self.application_start.load(Ordering::Relaxed),
            self.application_finish.load(Ordering::Relaxed),
        )
    }

    /// The processor time and the waits for the GIL so far, on the request's thread.
    pub fn end(&self) -> (ProcessorTime, Waits) {
        (
            ProcessorTime::of_thread().since(self.begun),
            python::take_waits(),
        )
    }
}
