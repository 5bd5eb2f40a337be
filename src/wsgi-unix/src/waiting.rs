//! How many requests wait for a thread of a group, counted by all of Apache's children together.
//!
//! Made by httpd's parent before it forks; written and read by children on their request threads,
//! with relaxed atomics. Daemons never see it. Like the hint page it is a hint: a child that dies
//! while it waits leaves a count behind, so each is forgotten after as long as anybody may wait.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;

/// Periods in which the time that anybody may wait is counted.
const PERIODS: u64 = 8;

/// Counts kept at once: more than periods, so that one is not reused while it still counts.
const COUNTS: usize = 16;

/// The shared numbers.
#[derive(Debug)]
#[repr(C)]
struct Numbers {
    /// Period (upper half) and how many have waited since then (lower half).
    counts: [AtomicU64; COUNTS],
    /// How long a request occupies a thread on average, microseconds; 0 while nobody knows.
    service: AtomicU64,
    /// When a thread took a request last, microseconds since 1970; 0: never.
    taken: AtomicU64,
}

/// The requests that wait for one group; memory that the processes forked from its maker share.
#[derive(Debug)]
pub struct Waiting {
    numbers: NonNull<Numbers>,
    /// Microseconds of a period.
    period: u64,
}

// SAFETY: the mapping belongs to the process, not to a thread, and holds atomics only.
unsafe impl Send for Waiting {}
// SAFETY: as for Send; every access is atomic.
unsafe impl Sync for Waiting {}

/// A place in the queue, given back by [`Waiting::leave`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Place {
    period: u32,
    /// How many were waiting already.
    pub before: u32,
}

impl Waiting {
    /// Nobody waits; `longest` is as long as anybody will, and not zero.
    pub fn new(longest: Duration) -> io::Result<Waiting> {
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses, which it fills with
        // zeros.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<Numbers>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let numbers = match NonNull::new(start.cast::<Numbers>()) {
            Some(numbers) if start != libc::MAP_FAILED => numbers,
            _ => return Err(io::Error::last_os_error()),
        };
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let period = (longest / PERIODS).max(1);
        Ok(Waiting { numbers, period })
    }

    fn numbers(&self) -> &Numbers {
        // SAFETY: mapped by `new` for as long as `self` lives; it holds nothing but atomics, for
        // which every bit pattern is a value.
        unsafe { self.numbers.as_ref() }
    }

    /// Joins the queue.
    pub fn join(&self) -> Place {
        self.join_at(clock::micros_since_epoch())
    }

    fn join_at(&self, now: u64) -> Place {
        let period = (now / self.period) as u32;
        let before = self.count_in(period);
        let count = &self.numbers().counts[period as usize % COUNTS];
        let add = |value| {
            let (counted, so_far) = parts(value);
            Some(if counted == period {
                whole(period, so_far.saturating_add(1))
            } else {
                whole(period, 1)
            })
        };
        // The closure never gives up.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        Place { period, before }
    }

    /// Leaves the queue.
    pub fn leave(&self, place: Place) {
        let count = &self.numbers().counts[place.period as usize % COUNTS];
        let subtract = |value| {
            let (counted, so_far) = parts(value);
            let there = counted == place.period && so_far > 0;
            there.then(|| whole(counted, so_far - 1))
        };
        // Without a count it was forgotten already.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }

    /// Who joined within the last periods; the current one is not over yet.
    fn count_in(&self, period: u32) -> u32 {
        let counts = self.numbers().counts.iter();
        let recent = counts.filter_map(|count| {
            let (counted, so_far) = parts(count.load(Ordering::Relaxed));
            let age = period.wrapping_sub(counted);
            (u64::from(age) <= PERIODS).then_some(so_far)
        });
        recent.fold(0, u32::saturating_add)
    }

    /// A thread has taken a request.
    pub fn note_taken(&self) {
        let now = clock::micros_since_epoch();
        self.numbers().taken.store(now, Ordering::Relaxed);
    }

    /// How long ago a thread took a request, if one ever did.
    pub fn since_taken(&self) -> Option<Duration> {
        match self.numbers().taken.load(Ordering::Relaxed) {
            0 => None,
            taken => Some(Duration::from_micros(
                clock::micros_since_epoch().saturating_sub(taken),
            )),
        }
    }

    /// A request has occupied a thread for so long.
    pub fn note_service(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let service = &self.numbers().service;
        // Two threads may both have read the older value: an average does not suffer from that.
        let average = match service.load(Ordering::Relaxed) {
            0 => took,
            average if took > average => average.saturating_add((took - average).div_ceil(8)),
            average => average - (average - took) / 8,
        };
        service.store(average, Ordering::Relaxed);
    }

    /// How long a request occupies a thread on average, once one has.
    pub fn service(&self) -> Option<Duration> {
        match self.numbers().service.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.numbers.as_ptr().cast(), size_of::<Numbers>()) };
    }
}

fn parts(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn whole(period: u32, count: u32) -> u64 {
    (u64::from(period) << 32) | u64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any time of our days, microseconds since 1970.
    const NOW: u64 = 1_800_000_000_000_000;

    #[test]
    fn each_sees_how_many_were_there_before() {
        let waiting = Waiting::new(Duration::from_secs(8)).unwrap();
        let places = [0, 1, 2].map(|seconds| waiting.join_at(NOW + seconds * 1_000_000));
        assert_eq!(places.map(|place| place.before), [0, 1, 2]);
        waiting.leave(places[1]);
        assert_eq!(waiting.join_at(NOW + 2_000_000).before, 2);
    }

    #[test]
    fn who_never_leaves_is_forgotten() {
        let waiting = Waiting::new(Duration::from_secs(8)).unwrap();
        let lost = waiting.join_at(NOW);
        assert_eq!(waiting.join_at(NOW + 7_000_000).before, 1);
        assert_eq!(waiting.join_at(NOW + 10_000_000).before, 1);
        assert_eq!(waiting.join_at(NOW + 100_000_000).before, 0);
        waiting.leave(lost);
        assert_eq!(waiting.join_at(NOW + 100_000_000).before, 1);
    }

    #[test]
    fn the_average_follows_what_it_is_told() {
        let waiting = Waiting::new(Duration::from_secs(1)).unwrap();
        assert_eq!(waiting.service(), None);
        waiting.note_service(Duration::from_millis(80));
        assert_eq!(waiting.service(), Some(Duration::from_millis(80)));
        waiting.note_service(Duration::from_millis(160));
        assert_eq!(waiting.service(), Some(Duration::from_millis(90)));
        for _ in 0..200 {
            waiting.note_service(Duration::ZERO);
        }
        assert!(waiting.service().unwrap() < Duration::from_millis(1));
        assert_eq!(waiting.since_taken(), None);
        waiting.note_taken();
        assert!(waiting.since_taken().unwrap() < Duration::from_secs(60));
    }
}
