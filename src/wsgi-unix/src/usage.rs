//! What a thread or the process has used: processor time and memory.
//!
//! Any process, any thread. A number the system does not give is 0.

use std::fs;
use std::mem::MaybeUninit;
use std::time::Duration;

/// Processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// In the program's own code.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl ProcessorTime {
    /// What the calling thread has used.
    pub fn of_thread() -> Self {
        usage(libc::RUSAGE_THREAD).0
    }

    /// What the process has used.
    pub fn of_process() -> Self {
        usage(libc::RUSAGE_SELF).0
    }

    /// Both parts.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        ProcessorTime {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The memory that is resident now, bytes.
pub fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| {
            let field = text.split_ascii_whitespace().nth(1)?;
            field.parse::<u64>().ok()
        });
    // SAFETY: a pure question.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(0) * u64::try_from(page).unwrap_or(0)
}

/// The memory that is the process's own, bytes: of pages that n processes share, an nth counts
/// ("Pss" of proc(5)). The kernel counts them for each call, so it is not free.
pub fn proportional_bytes() -> u64 {
    owned_bytes().proportional
}

/// What of the memory is the process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Of pages that n processes share an nth counts, bytes.
    pub proportional: u64,
    /// Pages that no other process has, bytes.
    pub private: u64,
}

/// As [`proportional_bytes`], with what nobody shares.
pub fn owned_bytes() -> Owned {
    owned_of(&fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default())
}

fn owned_of(rollup: &str) -> Owned {
    let kibibytes = |name: &str| {
        let mut numbers = rollup.lines().filter_map(|line| {
            let number = line.strip_prefix(name)?.strip_suffix("kB")?;
            number.trim().parse::<u64>().ok()
        });
        numbers.next().unwrap_or(0)
    };
    Owned {
        proportional: kibibytes("Pss:") * 1024,
        private: (kibibytes("Private_Clean:") + kibibytes("Private_Dirty:")) * 1024,
    }
}

/// The most memory that was ever resident, bytes.
pub fn most_resident_bytes() -> u64 {
    usage(libc::RUSAGE_SELF).1 * 1024
}

/// Processor time, and the most memory in KiB.
fn usage(who: libc::c_int) -> (ProcessorTime, u64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is writable; getrusage fills it or leaves it zeroed.
    unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
    // SAFETY: zeroed before, and all of `struct rusage` is integers.
    let usage = unsafe { usage.assume_init() };
    let time = ProcessorTime {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
    };
    (time, u64::try_from(usage.ru_maxrss).unwrap_or(0))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time_of_its_thread() {
        let before = ProcessorTime::of_thread();
        let mut sum = 0_u64;
        while ProcessorTime::of_thread().since(before).total().is_zero() {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(
            ProcessorTime::of_process().total() >= ProcessorTime::of_thread().since(before).total()
        );
    }

    #[test]
    fn a_process_has_some_memory() {
        assert!(resident_bytes() > 0);
        assert!(proportional_bytes() > 0);
        assert!(most_resident_bytes() > 0);
    }

    #[test]
    fn the_sizes_are_found_among_the_others() {
        let rollup = "55d-7ff ---p 00000000 00:00 0  [rollup]\n\
                      Rss:  9000 kB\nPss:       1234 kB\nPss_Dirty:  77 kB\n\
                      Private_Clean:   1 kB\nPrivate_Dirty:   20 kB\n";
        let expected = Owned {
            proportional: 1234 * 1024,
            private: 21 * 1024,
        };
        assert_eq!(owned_of(rollup), expected);
        assert_eq!(owned_of("Rss: 3 kB\n").proportional, 0);
    }
}
