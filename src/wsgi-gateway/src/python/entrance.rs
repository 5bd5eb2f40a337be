//! The way of requests into Python: who waits for the GIL, and who is next.
//!
//! Used by request threads. The GIL knows no order. A thread that has just given it up and comes back
//! with its next request gets it before another that was woken for it is on a processor; that one,
//! and each behind it, may demand it after Python's switch interval of 5 ms only. Here one thread at
//! a time waits for the GIL itself and the others queue behind it, first come first served. While the
//! first has waited less than [`PATIENCE`], a thread that finds Python empty may go ahead: what it
//! needs is still in its processor's cache, and no switch between threads is spent.
//!
//! It must never be held while Python runs: an application may release the GIL without our knowing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// For how long others may go ahead of the thread that waits for the GIL.
const PATIENCE: Duration = Duration::from_millis(1);

/// A queue for one GIL.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    /// How many request threads are in Python, whether they hold the GIL or have released it.
    inside: AtomicU32,
    /// Since when the first thread is to have the GIL, in nanoseconds of [`moment`]; 0: there is none.
    /// It may not be on a processor yet, which is a wait like any other.
    waiting_since: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// A thread waits for the GIL, or is about to.
    taken: bool,
    behind: VecDeque<Arc<Ticket>>,
}

/// A thread's place in a queue; it has one at a time.
#[derive(Debug)]
struct Ticket {
    thread: Thread,
    called: AtomicBool,
}

thread_local! {
    static TICKET: Arc<Ticket> = Arc::new(Ticket {
        thread: thread::current(),
        called: AtomicBool::new(false),
    });
}

/// Nanoseconds since the first call, and never 0.
fn moment() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = FIRST.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl Entrance {
    /// Waits for the calling thread's turn and runs `attach`, which waits for the GIL. What follows
    /// until [`Entrance::leave`] is being inside.
    pub(super) fn pass(&self, attach: impl FnOnce()) {
        if self.may_go_ahead() {
            return attach();
        }
        let first = self.queue_up();
        attach();
        self.inside.fetch_add(1, Ordering::Relaxed);
        drop(first);
    }

    /// The calling thread has left Python.
    pub(super) fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }

    /// Enters when nobody is inside and nobody has waited for long.
    fn may_go_ahead(&self) -> bool {
        let since = self.waiting_since.load(Ordering::Relaxed);
        let patient = since == 0 || moment().saturating_sub(since) < PATIENCE.as_nanos() as u64;
        let enters = || {
            self.inside
                .compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed)
        };
        patient && enters().is_ok()
    }

    /// Waits until the calling thread is the first.
    fn queue_up(&self) -> First<'_> {
        let mut queue = self.queue.lock();
        if !queue.taken {
            queue.taken = true;
            self.waiting_since.store(moment(), Ordering::Relaxed);
            return First(self);
        }
        TICKET.with(|ticket| {
            queue.behind.push_back(Arc::clone(ticket));
            drop(queue);
            while !ticket.called.swap(false, Ordering::Acquire) {
                thread::park();
            }
        });
        First(self)
    }
}

/// The calling thread is the one that waits for the GIL; the next one is called when this is dropped.
struct First<'e>(&'e Entrance);

impl Drop for First<'_> {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue.lock();
            let next = queue.behind.pop_front();
            queue.taken = next.is_some();
            let since = if queue.taken { moment() } else { 0 };
            self.0.waiting_since.store(since, Ordering::Relaxed);
            next
        };
        if let Some(next) = next {
            next.called.store(true, Ordering::Release);
            next.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits, at most 30 seconds, until so many threads are behind the first.
    fn until_behind(entrance: &Entrance, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while entrance.queue.lock().behind.len() != count {
            assert!(Instant::now() < deadline, "nobody queues up");
            thread::yield_now();
        }
    }

    fn until_one_waits(entrance: &Entrance) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while entrance.waiting_since.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < deadline, "nobody waits");
            thread::yield_now();
        }
    }

    #[test]
    fn threads_enter_in_the_order_in_which_they_came() {
        let (entrance, gil, entered) = (Entrance::default(), Mutex::new(()), Mutex::default());
        entrance.pass(|| {});
        let held = gil.lock();
        thread::scope(|scope| {
            for number in 0..5_usize {
                let (entrance, gil, entered) = (&entrance, &gil, &entered);
                scope.spawn(move || {
                    entrance.pass(|| {
                        let _gil = gil.lock();
                        Vec::push(&mut *entered.lock(), number);
                    });
                    entrance.leave();
                });
                until_one_waits(entrance);
                until_behind(entrance, number);
            }
            drop(held);
        });
        assert_eq!(*entered.lock(), [0, 1, 2, 3, 4]);
        entrance.leave();
        assert_eq!(entrance.inside.load(Ordering::Relaxed), 0);
        assert!(!entrance.queue.lock().taken);
    }

    #[test]
    fn a_thread_goes_ahead_only_while_python_is_empty_and_nobody_waits_for_long() {
        let entrance = Entrance::default();
        assert!(entrance.may_go_ahead());
        assert!(!entrance.may_go_ahead(), "somebody is inside");
        entrance.leave();
        entrance.waiting_since.store(moment(), Ordering::Relaxed);
        while moment() - entrance.waiting_since.load(Ordering::Relaxed) < 2_000_000 {
            thread::yield_now();
        }
        assert!(!entrance.may_go_ahead(), "somebody has waited for long");
        entrance.waiting_since.store(0, Ordering::Relaxed);
        assert!(entrance.may_go_ahead());
    }
}
