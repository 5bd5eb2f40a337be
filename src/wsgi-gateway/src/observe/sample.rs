//! Sums of what all threads did since the last time somebody asked.
//!
//! There is one reader per process: the application by `request_metrics()`, or the telemetry thread.
//! Its lock is never taken by a request.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wsgi_unix::usage::{self, ProcessorTime};
use wsgi_wire::head::RequestHead;

use super::phase::{Moments, Phase};
use super::slow::{Figures, Finished, SlowRequest};
use super::worker::{self, Current, Ended, Window};
use super::{Meter, PROCESS, Summary};
use crate::call::Call;
use crate::wsgi::{now, thread_id};

/// When the reader last asked, and the process's processor time then.
struct Last {
    at: u64,
    processor: ProcessorTime,
}

static LAST: Mutex<Option<Last>> = Mutex::new(None);

/// Begins the first interval.
pub fn begin() {
    *LAST.lock() = Some(Last {
        at: now(),
        processor: ProcessorTime::of_process(),
    });
}

/// One interval of the process.
pub struct Sample {
    /// Its begin, microseconds since 1970.
    pub start: u64,
    /// Its end.
    pub stop: u64,
    /// All threads together.
    pub sum: Window,
    /// Each thread's part, by its number; as many as requests may run at once, at least.
    pub slots: Vec<Window>,
    /// Threads that have ever served a request.
    pub threads: u64,
    /// Threads that served one in this interval.
    pub active: u64,
    /// Processor time of the process in this interval.
    pub processor: ProcessorTime,
}

impl Sample {
    /// Takes the interval that ends now; `None` before [`begin`].
    pub fn take() -> Option<Sample> {
        let mut last = LAST.lock();
        let last = last.as_mut()?;
        let (stop, processor) = (now(), ProcessorTime::of_process());
        let mut sample = Sample {
            start: last.at,
            stop,
            sum: Window::default(),
            slots: vec![Window::default(); slots()],
            threads: 0,
            active: 0,
            processor: processor.since(last.processor),
        };
        *last = Last {
            at: stop,
            processor,
        };
        for worker in worker::all() {
            let window = worker.take(stop);
            sample.threads += 1;
            sample.active += u64::from(window.completed > 0 || window.running > 0);
            sample.sum.merge(&window);
            // A daemon has a thread more than it runs requests, so two may share a place.
            let place = (worker.thread as usize).wrapping_sub(1) % sample.slots.len();
            let slot = &mut sample.slots[place];
            slot.merge(&window);
            slot.processor += window.processor;
            slot.longest = slot.longest.max(window.longest);
            slot.running = slot.running.max(window.running);
        }
        Some(sample)
    }

    /// The interval's length, seconds; never 0.
    pub fn seconds(&self) -> f64 {
        (self.stop.saturating_sub(self.start)).max(1) as f64 / 1e6
    }

    /// A processor time as a share of the interval.
    pub fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.seconds()
    }

    /// How much of the threads' time was spent in requests.
    pub fn utilization(&self) -> f64 {
        self.sum.busy as f64 / 1e6 / (self.seconds() * self.slots.len() as f64)
    }
}

/// How many requests the process runs at once.
pub fn slots() -> usize {
    let threads = PROCESS.get().map_or(1, |process| process.config.threads);
    threads.max(1) as usize
}

/// What the process has done since it began.
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// Time spent in requests, microseconds.
    pub busy: u64,
    /// Requests that run.
    pub active: u64,
    /// Each thread's number and requests.
    pub threads: Vec<(u64, u64)>,
}

/// What the process has done since metrics are recorded.
pub fn totals() -> Totals {
    let mut totals = Totals {
        requests: 0,
        busy: 0,
        active: 0,
        threads: Vec::new(),
    };
    for worker in worker::all() {
        let (requests, busy, runs) = worker.totals();
        totals.requests += requests;
        totals.busy += busy;
        totals.active += u64::from(runs);
        totals.threads.push((worker.thread, requests));
    }
    totals.threads.sort_unstable();
    totals
}

/// Resident memory now and at most, bytes.
pub fn memory() -> (u64, u64) {
    let now = usage::resident_bytes();
    (now, usage::most_resident_bytes().max(now))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Begins a request in its thread's counters.
pub fn request_begins(call: &Arc<Call>, head: &RequestHead<'_>, daemon_start: u64) {
    let slow = slow_threshold().map(|_| {
        let mut slow = SlowRequest::of(head, daemon_start, reports_user_agents());
        slow.active_at_start = totals().active + 1;
        slow
    });
    worker::own(|worker| worker.begin(call, slow));
}

/// When a request counts as slow, microseconds; `None`: nobody wants to know.
pub fn slow_threshold() -> Option<u64> {
    let telemetry = PROCESS.get()?.config.telemetry.as_ref()?;
    let threshold = u64::try_from(telemetry.slow.as_micros()).unwrap_or(u64::MAX);
    (threshold > 0).then_some(threshold)
}

fn reports_user_agents() -> bool {
    let telemetry = PROCESS
        .get()
        .and_then(|process| process.config.telemetry.as_ref());
    telemetry.is_some_and(|telemetry| telemetry.user_agents)
}

/// Ends it there.
pub fn request_ends(meter: &Meter, summary: &Summary) {
    let mut phases = summary.moments.phases();
    let waits = summary.waits;
    phases[Phase::GilWait as usize] = Some(micros(waits.total));
    phases[Phase::InputRead as usize] = Some(micros(meter.input.time()));
    phases[Phase::OutputWrite as usize] = Some(micros(meter.output.time()));
    let ended = Ended {
        phases,
        waits: (waits.count, micros(waits.least), micros(waits.most)),
        processor: micros(summary.processor.total()),
        status: summary.status,
        input: (meter.input.bytes(), meter.input.count()),
        output: (meter.output.bytes(), meter.output.count()),
    };
    let processor = summary.processor;
    let report = |took, request| Finished {
        request,
        figures: Figures {
            took,
            thread: thread_id(),
            status: ended.status,
            input: ended.input,
            output: ended.output,
            processor: (processor.user.as_secs_f64(), processor.system.as_secs_f64()),
            phases: ended.phases,
            waits: waits.count,
        },
    };
    worker::own(|worker| worker.end(&ended, slow_threshold(), report));
}

/// What is known of a slow request while it runs.
pub fn running_figures(current: &Current, thread: u64, request: &SlowRequest, at: u64) -> Figures {
    let mut figures = Figures {
        took: at.saturating_sub(current.begun),
        thread,
        ..Figures::default()
    };
    let Some(meter) = current.call.observed.meter() else {
        return figures;
    };
    let (application_start, application_finish) = meter.application();
    let moments = Moments {
        request_start: request.request_start,
        queue_start: request.queue_start,
        daemon_start: request.daemon_start,
        application_start,
        application_finish,
        end: at,
    };
    figures.phases = moments.phases();
    figures.phases[Phase::InputRead as usize] = Some(micros(meter.input.time()));
    figures.phases[Phase::OutputWrite as usize] = Some(micros(meter.output.time()));
    figures.input = (meter.input.bytes(), meter.input.count());
    figures.output = (meter.output.bytes(), meter.output.count());
    figures
}
