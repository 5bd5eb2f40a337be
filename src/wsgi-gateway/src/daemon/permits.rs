//! How many requests run at once, and who may start the next one.
//!
//! Shared by a daemon's request threads. There is one thread more than permits, so one is always
//! left to accept, to refuse, or to notice a closed connection. Does no input or output: what has
//! to happen to the listener is told to the caller.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wsgi_unix::clock;
use wsgi_unix::hints::{HintPage, Slot};

/// How long a request on a kept connection waits for a permit before it is sent to the queue: a
/// running request often ends within it, and joining the queue costs a new connection.
const PATIENCE: Duration = Duration::from_millis(2);

/// The process's row in the group's hint page.
pub(super) struct Row {
    page: HintPage,
    index: u32,
}

impl Row {
    /// The row with this number, or `None` when the page is too short for it.
    pub(super) fn new(page: HintPage, index: u32) -> Option<Row> {
        page.slot(index)?;
        Some(Row { page, index })
    }

    fn update(&self, change: impl FnOnce(&Slot)) {
        if let Some(slot) = self.page.slot(self.index) {
            change(slot);
        }
    }
}

/// What the releaser of a permit has to see to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Released {
    /// The listener was left disarmed for want of permits: arm it.
    pub(super) arm_listener: bool,
    /// Perhaps no request runs any more that is waited for, and the process wants to end.
    pub(super) drained: bool,
    /// The process has answered as many requests as it may.
    pub(super) spent: bool,
}

#[derive(Debug)]
struct State {
    /// How many requests may run at once.
    limit: u32,
    active: u32,
    /// The most that were active since somebody asked.
    peak: u32,
    /// Since when as many run as may; only if their number can grow.
    full_since: Option<Instant>,
    /// Requests that were answered.
    served: u64,
    /// Requests that run, or ran, and that nobody waits for.
    written_off: u32,
    /// Somebody waited in vain since a permit was last released.
    saturated: bool,
    /// The listener's event may fire.
    armed: bool,
    /// No request may start any more.
    closed: bool,
}

/// The permits of a process.
pub(super) struct Permits {
    /// The number of requests at once can grow.
    elastic: bool,
    /// Threads that are not needed any more and leave when they next come by.
    surplus: AtomicU32,
    /// Requests after which the process is to be replaced; 0: any number.
    limit: u64,
    row: Row,
    state: Mutex<State>,
    released: Condvar,
}

impl Permits {
    /// All permits of a process that runs `threads` requests at once, a number that can change if it
    /// is `elastic`, and is to be replaced after `limit`, or 0; published in `row`.
    pub(super) fn new(threads: u32, elastic: bool, limit: u64, row: Row) -> Permits {
        row.update(|slot| {
            slot.active.store(0, Ordering::Relaxed);
            slot.served.store(0, Ordering::Relaxed);
            slot.pid.store(std::process::id(), Ordering::Relaxed);
        });
        let state = State {
            limit: threads,
            active: 0,
            peak: 0,
            full_since: None,
            served: 0,
            written_off: 0,
            saturated: false,
            armed: false,
            closed: false,
        };
        Permits {
            elastic,
            surplus: AtomicU32::new(0),
            limit,
            row,
            state: Mutex::new(state),
            released: Condvar::new(),
        }
    }

    /// Takes a permit, or waits a moment for one. `None` when the wait was in vain, when it was so
    /// for somebody else and no permit was released since, or when the process ends.
    pub(super) fn acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        let mut deadline = None;
        while state.active >= state.limit && !state.closed {
            if state.saturated {
                return None;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            if self.released.wait_until(&mut state, deadline).timed_out() {
                state.saturated = state.active >= state.limit;
            }
        }
        self.take(&mut state)
    }

    /// Takes a permit for whoever waits in the listener's queue; its event has just fired, so it is
    /// disarmed. Without a free permit it stays so until one is released.
    pub(super) fn acquire_for_listener(&self) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        state.armed = false;
        self.take(&mut state)
    }

    fn take(&self, state: &mut State) -> Option<Permit<'_>> {
        if state.closed || state.active >= state.limit {
            return None;
        }
        state.active += 1;
        state.peak = state.peak.max(state.active);
        let last = self.elastic && state.active == state.limit;
        if last {
            state.full_since.get_or_insert_with(Instant::now);
        }
        self.publish(state);
        Some(Permit {
            permits: self,
            last,
        })
    }

    /// Whether the listener is to be armed now; the caller does it when the answer is yes.
    pub(super) fn arm_listener(&self) -> bool {
        let mut state = self.state.lock();
        self.must_arm(&mut state)
    }

    fn must_arm(&self, state: &mut State) -> bool {
        let must = !state.armed && !state.closed && state.active < state.limit;
        state.armed |= must;
        must
    }

    /// Opens the process to requests: children see its threads from now on.
    pub(super) fn open(&self) {
        self.show_limit(&self.state.lock());
    }

    fn show_limit(&self, state: &State) {
        self.row
            .update(|slot| slot.threads.store(state.limit, Ordering::Relaxed));
    }

    /// How many requests may run at once.
    pub(super) fn limit(&self) -> u32 {
        self.state.lock().limit
    }

    /// Lets so many requests run at once.
    pub(super) fn set_limit(&self, limit: u32) {
        let mut state = self.state.lock();
        state.limit = limit;
        if state.active < limit {
            state.full_since = None;
        }
        if !state.closed {
            self.show_limit(&state);
        }
        drop(state);
        self.released.notify_one();
    }

    /// Since when as many requests run as may.
    pub(super) fn full_since(&self) -> Option<Instant> {
        self.state.lock().full_since
    }

    /// Begins to measure anew how long as many run as may.
    pub(super) fn look_again(&self) {
        if let Some(since) = &mut self.state.lock().full_since {
            *since = Instant::now();
        }
    }

    /// The most requests that ran at once since the last call.
    pub(super) fn take_peak(&self) -> u32 {
        let mut state = self.state.lock();
        let active = state.active;
        std::mem::replace(&mut state.peak, active)
    }

    /// One thread is not needed any more.
    pub(super) fn send_away(&self) {
        self.surplus.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread is needed: whether one that was to leave has not left and stays.
    pub(super) fn call_back(&self) -> bool {
        self.may_leave()
    }

    /// Whether the calling thread is not needed and may end.
    pub(super) fn may_leave(&self) -> bool {
        if self.surplus.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let fewer = |surplus: u32| surplus.checked_sub(1);
        let taken = self
            .surplus
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        taken.is_ok()
    }

    /// Lets no request start any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.row
            .update(|slot| slot.threads.store(0, Ordering::Relaxed));
        self.released.notify_all();
    }

    /// Lets requests start again; the caller arms the listener if [`Permits::arm_listener`] says so.
    pub(super) fn reopen(&self) {
        self.state.lock().closed = false;
        self.open();
    }

    /// Shows that the process is in use.
    pub(super) fn show_use(&self) {
        let now = clock::monotonic_millis();
        self.row
            .update(|slot| slot.used.store(now, Ordering::Relaxed));
    }

    /// Whether no request may start.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// How many requests run.
    pub(super) fn active(&self) -> u32 {
        self.state.lock().active
    }

    /// So many further requests are not waited for any more.
    pub(super) fn write_off(&self, requests: usize) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let mut state = self.state.lock();
        state.written_off = state.written_off.saturating_add(requests);
    }

    /// How many requests were answered.
    pub(super) fn served(&self) -> u64 {
        self.state.lock().served
    }

    fn publish(&self, state: &State) {
        self.row
            .update(|slot| slot.active.store(state.active, Ordering::Relaxed));
    }

    fn release(&self) -> Released {
        let mut state = self.state.lock();
        state.active -= 1;
        state.saturated = false;
        state.full_since = state.full_since.filter(|_| state.active >= state.limit);
        self.publish(&state);
        let released = Released {
            arm_listener: self.must_arm(&mut state),
            drained: state.closed && state.active <= state.written_off,
            spent: self.limit > 0 && state.served >= self.limit && !state.closed,
        };
        drop(state);
        self.released.notify_one();
        released
    }
}

/// Leave to run one request; must be given back by [`Permit::release`].
#[must_use]
pub(super) struct Permit<'p> {
    permits: &'p Permits,
    /// It was the last one, and there can be more of them.
    last: bool,
}

impl Permit<'_> {
    /// Whether the main thread should see if more permits are needed.
    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// Tells children that this permit is as good as free. Called before a response's last bytes are
    /// sent: a child that gets them may send its next request at once, and would look for another
    /// process if it still saw this one occupied.
    pub(super) fn announce_release(&self) {
        {
            let mut state = self.permits.state.lock();
            // Such a request is worth waiting for a moment again.
            state.saturated = false;
            state.served += 1;
        }
        self.permits.row.update(|slot| {
            slot.active.fetch_sub(1, Ordering::Relaxed);
            slot.served.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Gives the permit back.
    pub(super) fn release(self) -> Released {
        self.permits.release()
    }
}
