//! What the process tells about its requests: events, the requests that run, and metrics.
//!
//! Used on request threads. Nothing is measured and no Python is called for a request before
//! somebody asked for it: until then a request pays for reading [`watched`] and two stores.
//!
//! * [`events`] meets `events.py`; [`meter`] measures one request.
//! * [`worker`] counts per thread, in the classes of [`phase`]; [`sample`] sums up for readers.
//! * [`metrics`] are functions for applications; [`fields`] says what everything is called.
//! * [`scoreboard`] shows what Apache does.
//! * [`slow`] remembers slow requests, and [`telemetry`] reports to a service.

mod events;
mod fields;
mod meter;
mod metrics;
mod phase;
mod sample;
mod scoreboard;
mod slow;
pub mod telemetry;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use wsgi_unix::usage::ProcessorTime;
use wsgi_wire::head::RequestHead;
use wsgi_wire::launch::GatewayConfig;

use crate::call::Call;
use crate::python::{self, Lent, Object, Owned, Python, Stored, Waits};
use crate::wsgi::now;

pub use events::{exception, request_started, response_started, tell_of_end};
pub use meter::Meter;
use phase::Moments;
pub use scoreboard::set_scoreboard_source;

/// Somebody subscribed to events; `events.py` has the same number.
pub const EVENTS: u8 = 1;

/// Somebody looks at the requests that run; `events.py` has the same number.
pub const REQUESTS: u8 = 2;

/// Somebody wants metrics; `events.py` has the same number.
pub const METRICS: u8 = 4;

/// What needs a record of each request in Python.
pub const RECORDS: u8 = EVENTS | REQUESTS;

static WATCHED: AtomicU8 = AtomicU8::new(0);

/// What somebody in this process has asked for: the bits above.
pub fn watched() -> u8 {
    WATCHED.load(Ordering::Relaxed)
}

/// From now on this is wanted as well.
pub fn watch(what: u8) {
    let before = WATCHED.fetch_or(what, Ordering::Relaxed);
    if what & (EVENTS | METRICS) != 0 {
        python::measure_waits();
    }
    if what & !before & METRICS != 0 {
        sample::begin();
    }
}

/// What is known of the process from its start.
pub struct Process {
    /// See [`Process::begun`].
    begun: AtomicU64,
    /// Its configuration.
    pub config: Arc<GatewayConfig>,
}

impl Process {
    /// When it began to serve, microseconds since 1970.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// Notes the process's start. Only the first call counts.
pub fn begin_process(config: &Arc<GatewayConfig>) {
    let _ = PROCESS.set(Process {
        begun: AtomicU64::new(now()),
        config: Arc::clone(config),
    });
}

/// Notes that the process serves from now on. What was recorded before belongs to the process that
/// this one was forked from.
pub fn restart_clock() {
    if let Some(process) = PROCESS.get() {
        process.begun.store(now(), Ordering::Relaxed);
    }
    if watched() & METRICS != 0 {
        sample::begin();
    }
}

/// Whether this is one of Apache's own processes.
fn is_embedded() -> bool {
    let group = PROCESS.get().map(|process| &process.config.process_group);
    group.is_none_or(|group| group.is_empty())
}

/// The functions that the Python half gets.
pub fn functions() -> impl Iterator<Item = &'static pyo3::ffi::PyMethodDef> {
    let functions = events::FUNCTIONS.0.iter().chain(&metrics::FUNCTIONS.0);
    functions.chain(&telemetry::FUNCTIONS.0)
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

/// What a request that has ended was measured to be.
pub struct Summary {
    /// When it reached which point.
    pub moments: Moments,
    /// The response's status.
    pub status: u16,
    /// The processor time of its thread.
    pub processor: ProcessorTime,
    /// The thread's waits for the GIL.
    pub waits: Waits,
}

impl Observation {
    /// Whether there is anything to be done at the request's end.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
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

    /// Whether the request's record waits for its end.
    pub fn has_record(&self) -> bool {
        self.record.lock().is_some()
    }

    fn take_record<'p>(&self, python: Python<'p>) -> Option<Owned<'p>> {
        let record = self.record.lock().take();
        record.map(|record| record.release(python))
    }
}

/// Begins to measure a request, if that is wanted; on its thread, before it waits for the GIL.
pub fn begin(call: &Arc<Call>, head: &RequestHead<'_>, daemon_start: u64) {
    let watched = watched();
    if watched & (EVENTS | METRICS) == 0 || call.observed.meter.set(Meter::begin()).is_err() {
        return;
    }
    call.observed.used.store(true, Ordering::Relaxed);
    if watched & METRICS != 0 {
        sample::request_begins(call, head, daemon_start);
    }
}

/// Ends what [`begin`] began; on the request's thread, without the GIL.
pub fn end(call: &Call, head: &RequestHead<'_>, daemon_start: u64, status: u16) -> Option<Summary> {
    let meter = call.observed.meter()?;
    let (processor, waits) = meter.end();
    let (application_start, application_finish) = meter.application();
    let moments = Moments {
        request_start: head.request_start,
        queue_start: head.queue_start,
        daemon_start,
        application_start,
        application_finish,
        end: now(),
    };
    let summary = Summary {
        moments,
        status,
        processor,
        waits,
    };
    if watched() & METRICS != 0 {
        sample::request_ends(meter, &summary);
    }
    Some(summary)
}
