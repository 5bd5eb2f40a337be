//! The queue in front of a group's threads, where the group has a queue-timeout: who may join it,
//! and until when.
//!
//! Runs in a child's request thread. The queue itself is the listening socket's backlog; here is
//! only counted what waits in it. All numbers are hints: at worst a request is refused that might
//! have been in time, or waits for its time-out although it could have been refused.

use std::time::{Duration, Instant};

use wsgi_unix::hints::HintPage;
use wsgi_unix::waiting::{Place, Waiting};

use super::refusals::Refusals;

/// How much longer than queue-timeout a child waits: a daemon refuses what is too late when it meets
/// it, so whatever it has not refused by then nobody will start.
pub const MARGIN: Duration = Duration::from_millis(100);

/// A group's queue.
#[derive(Debug)]
pub struct Queue {
    timeout: Duration,
    waiting: Waiting,
    refusals: Refusals,
}

/// A place in the queue, until a thread takes the request or it is given up.
#[derive(Debug)]
pub struct Queued<'q> {
    queue: &'q Queue,
    place: Place,
}

impl Queue {
    /// The queue of a group whose requests wait for a thread for at most `timeout`, which is not zero;
    /// to be made in the parent, so that all children share it.
    pub fn new(timeout: Duration) -> std::io::Result<Queue> {
        let waiting = Waiting::new(timeout + MARGIN)?;
        Ok(Queue {
            timeout,
            waiting,
            refusals: Refusals::default(),
        })
    }

    /// queue-timeout.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What this child has refused.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// When a request that begins to wait now is given up.
    pub fn expiry(&self) -> Instant {
        Instant::now() + self.timeout + MARGIN
    }

    /// Joins the queue, or answers how long the wait would be if that is over `left`.
    pub fn join(&self, page: &HintPage, left: Duration) -> Result<Queued<'_>, Duration> {
        let place = self.waiting.join();
        // The place is given back when this is dropped, also by the refusal.
        let queued = Queued { queue: self, place };
        match self.expected_wait(place.before, page) {
            Some(wait) if wait > left => Err(wait),
            _ => Ok(queued),
        }
    }

    /// How long a request waits behind `before` others; `None` if nobody can tell.
    fn expected_wait(&self, before: u32, page: &HintPage) -> Option<Duration> {
        if before == 0 {
            // How far the running requests have come is not known, and a thread also looks occupied
            // while it meets a connection that was given up. Whoever is first finds out.
            return None;
        }
        let Threads { all, free } = Threads::of(page)?;
        let stuck = self.waiting.since_taken() > Some(self.timeout);
        if free == 0 && stuck {
            return Some(self.timeout.saturating_add(Duration::from_secs(1)));
        }
        let ends = before.saturating_add(1).saturating_sub(free);
        Some(self.waiting.service()?.saturating_mul(ends) / all)
    }

    /// Notes that a thread has taken a request.
    pub fn note_taken(&self) {
        self.waiting.note_taken();
    }

    /// Notes that a request has occupied a thread for so long.
    pub fn note_service(&self, took: Duration) {
        self.waiting.note_service(took);
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.queue.waiting.leave(self.place);
    }
}

/// The threads of a group's processes.
struct Threads {
    /// More than 0.
    all: u32,
    free: u32,
}

impl Threads {
    /// What the hint page tells; `None` while no process serves.
    fn of(page: &HintPage) -> Option<Threads> {
        let slots = (0..page.slots()).filter_map(|index| page.slot(index));
        let (mut all, mut free) = (0u32, 0u32);
        for slot in slots {
            all = all.saturating_add(slot.threads());
            free = free.saturating_add(slot.free());
        }
        (all > 0).then_some(Threads { all, free })
    }
}
