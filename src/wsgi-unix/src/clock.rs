//! The time of day, as log lines and request heads need it.
//!
//! Any process, any thread. Not for use between fork and exec: `localtime_r` may take a lock.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Microseconds since 1970; 0 if the clock stands before that.
pub fn micros_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// Milliseconds on a clock that all processes of the machine share and nobody sets.
pub fn monotonic_millis() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for one timespec. The coarse clock, a few milliseconds late, is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Local time as Apache's error log writes it: `Sat Nov 21 07:30:57.123456 2026`.
pub fn log_stamp() -> String {
    stamp(micros_since_epoch())
}

fn stamp(micros: u64) -> String {
    let seconds = (micros / 1_000_000) as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; localtime_r writes one `struct tm`.
    unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
    // SAFETY: zeroed before, and all of `struct tm` is integers and a nullable pointer.
    let parts = unsafe { parts.assume_init() };
    let name = |names: &[&'static str], index: i32| {
        let index = usize::try_from(index).unwrap_or(0);
        names.get(index).copied().unwrap_or("???")
    };
    format!(
        "{} {} {:02} {:02}:{:02}:{:02}.{:06} {}",
        name(&DAYS, parts.tm_wday),
        name(&MONTHS, parts.tm_mon),
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec,
        micros % 1_000_000,
        i64::from(parts.tm_year) + 1900,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_as_apache_does() {
        // Noon of 1 October 2000, UTC: in that month in every time zone.
        let text = stamp(970_401_600_000_042);
        let words: Vec<_> = text.split(' ').collect();
        assert_eq!(words.len(), 5, "{text}");
        assert_eq!(words[1], "Oct");
        assert!(words[3].ends_with(":00.000042"), "{text}");
        assert_eq!(words[4], "2000");
    }

    #[test]
    fn the_clock_counts_microseconds() {
        assert!(micros_since_epoch() > 1_700_000_000_000_000);
    }
}
