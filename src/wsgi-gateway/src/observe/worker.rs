//! What each request thread has done: counters of its own, so that threads share no lock while
//! they serve. A reader takes them from all threads now and then.
//!
//! A thread's counters are made when its first request is recorded, and stay when it ends.

use std::cell::OnceCell;
use std::sync::Arc;

use parking_lot::Mutex;

use super::phase::{Phase, Span};
use super::slow::{Finished, SlowRequest};
use crate::call::Call;
use crate::wsgi::{now, thread_id};

/// How many slow requests a thread remembers until somebody takes them.
const MOST_SLOW: usize = 64;

/// What a thread did since a reader last took it.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Requests that ended.
    pub completed: u64,
    /// Time spent in requests, microseconds.
    pub busy: u64,
    /// Processor time of requests that ended, microseconds.
    pub processor: u64,
    /// The longest request that ended, microseconds.
    pub longest: u64,
    /// Responses by the first digit of their status, from 1 to 5.
    pub statuses: [u64; 5],
    /// Bytes and reads of request bodies.
    pub input: (u64, u64),
    /// Bytes and writes of response bodies.
    pub output: (u64, u64),
    /// Waits for the GIL.
    pub waits: u64,
    /// How long each phase took.
    pub spans: [Span; Phase::COUNT],
    /// How long the request that runs has been running, microseconds.
    pub running: u64,
}

/// A request that runs.
#[derive(Clone)]
pub struct Current {
    /// When the thread took it, microseconds since 1970.
    pub begun: u64,
    /// The request.
    pub call: Arc<Call>,
    /// What a report of a slow request says of it, if those are wanted.
    pub slow: Option<Arc<SlowRequest>>,
    reported: bool,
}

#[derive(Default)]
struct State {
    window: Window,
    /// When the window began, microseconds since 1970; 0: before the thread's first request.
    since: u64,
    requests: u64,
    busy: u64,
    current: Option<Current>,
    slow: Vec<Finished>,
}

/// The counters of one thread.
pub struct Worker {
    /// The number that environs have as `mod_wsgi.thread_id`.
    pub thread: u64,
    state: Mutex<State>,
}

static WORKERS: Mutex<Vec<Arc<Worker>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: OnceCell<Arc<Worker>> = const { OnceCell::new() };
}

/// The counters of every thread that has any.
pub fn all() -> Vec<Arc<Worker>> {
    WORKERS.lock().clone()
}

/// Runs `work` on the calling thread's counters.
pub fn own<R>(work: impl FnOnce(&Worker) -> R) -> R {
    OWN.with(|own| {
        work(own.get_or_init(|| {
            let worker = Arc::new(Worker {
                thread: thread_id(),
                state: Mutex::default(),
            });
            WORKERS.lock().push(Arc::clone(&worker));
            worker
        }))
    })
}

/// What there is to record of a request that has ended.
pub struct Ended {
    /// What the phases took, microseconds.
    pub phases: [Option<u64>; Phase::COUNT],
    /// Waits for the GIL: how many, the shortest and the longest, microseconds.
    pub waits: (u64, u64, u64),
    /// Processor time, microseconds.
    pub processor: u64,
    /// The response's status.
    pub status: u16,
    /// Bytes and reads of its body.
    pub input: (u64, u64),
    /// Bytes and writes of its response.
    pub output: (u64, u64),
}

impl Worker {
    /// Begins a request on this thread.
    pub fn begin(&self, call: &Arc<Call>, slow: Option<SlowRequest>) {
        let mut state = self.state.lock();
        let begun = now();
        if state.since == 0 {
            state.since = begun;
        }
        state.current = Some(Current {
            begun,
            call: Arc::clone(call),
            slow: slow.map(Arc::new),
            reported: false,
        });
    }

    /// Ends the thread's request; `report` makes the report of one that was slow.
    pub fn end(
        &self,
        ended: &Ended,
        threshold: Option<u64>,
        report: impl FnOnce(u64, Arc<SlowRequest>) -> Finished,
    ) {
        let mut state = self.state.lock();
        let Some(current) = state.current.take() else {
            return;
        };
        let end = now();
        let took = end.saturating_sub(current.begun);
        let in_window = end.saturating_sub(current.begun.max(state.since));
        state.requests += 1;
        state.busy += took;
        let window = &mut state.window;
        window.busy += in_window;
        window.longest = window.longest.max(took);
        window.add(ended);
        let is_slow = current.reported || threshold.is_some_and(|threshold| took >= threshold);
        if let Some(slow) = current.slow.filter(|_| is_slow)
            && state.slow.len() < MOST_SLOW
        {
            state.slow.push(report(took, slow));
        }
    }

    /// Takes the window that ends now.
    pub fn take(&self, at: u64) -> Window {
        let mut state = self.state.lock();
        let mut window = std::mem::take(&mut state.window);
        if let Some(current) = &state.current {
            window.running = at.saturating_sub(current.begun);
            window.busy += at.saturating_sub(current.begun.max(state.since));
        }
        state.since = at;
        window
    }

    /// Since the process began: requests that ended, time spent in requests (microseconds), and
    /// whether one runs.
    pub fn totals(&self) -> (u64, u64, bool) {
        let state = self.state.lock();
        (state.requests, state.busy, state.current.is_some())
    }

    /// The slow requests that ended, and the one that runs if it has just become slow.
    pub fn take_slow(&self, at: u64, threshold: u64) -> (Vec<Finished>, Option<Current>) {
        let mut state = self.state.lock();
        let finished = std::mem::take(&mut state.slow);
        let running = state.current.as_mut().filter(|current| {
            let long = at.saturating_sub(current.begun) >= threshold;
            current.slow.is_some() && !current.reported && long
        });
        let running = running.map(|current| {
            current.reported = true;
            current.clone()
        });
        (finished, running)
    }
}

impl Window {
    fn add(&mut self, ended: &Ended) {
        self.completed += 1;
        self.processor += ended.processor;
        let class = match ended.status {
            100..=599 => usize::from(ended.status / 100) - 1,
            // No response was begun.
            _ => 4,
        };
        self.statuses[class] += 1;
        self.input.0 += ended.input.0;
        self.input.1 += ended.input.1;
        self.output.0 += ended.output.0;
        self.output.1 += ended.output.1;
        let (waits, least, most) = ended.waits;
        self.waits += waits;
        for (span, took) in self.spans.iter_mut().zip(&ended.phases) {
            if let Some(took) = took {
                span.add(*took);
            }
        }
        if waits > 0 {
            self.spans[Phase::GilWait as usize].bound(least, most);
        }
    }

    /// Adds another thread's window.
    pub fn merge(&mut self, other: &Window) {
        self.completed += other.completed;
        self.busy += other.busy;
        for (sum, part) in self.statuses.iter_mut().zip(other.statuses) {
            *sum += part;
        }
        self.input.0 += other.input.0;
        self.input.1 += other.input.1;
        self.output.0 += other.output.0;
        self.output.1 += other.output.1;
        self.waits += other.waits;
        for (span, other) in self.spans.iter_mut().zip(&other.spans) {
            span.merge(other);
        }
    }
}
