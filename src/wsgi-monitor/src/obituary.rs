//! What there is to say about a process that has ended.
//!
//! Runs in the monitor. Numbers that the process itself has written (how much it served) are told
//! and never acted on.

use std::fmt;
use std::time::Duration;

use wsgi_unix::process::{ChildEnd, Ended};
use wsgi_unix::signals;

/// How a process ended, and what is known of its life.
#[derive(Debug)]
pub struct Obituary {
    /// Its id.
    pub pid: i32,
    /// How it ended.
    pub ended: Ended,
    /// It left a core dump.
    pub dumped: bool,
    /// The kernel killed it, as memory was short.
    pub out_of_memory: bool,
    /// How long it lived.
    pub lived: Duration,
    /// How many requests it said it had ended.
    pub served: u64,
}

impl Obituary {
    /// What there is to say of a child that lived for so long and said that it ended so many requests.
    pub fn of(end: &ChildEnd, out_of_memory: bool, lived: Duration, served: u64) -> Obituary {
        Obituary {
            pid: end.pid,
            ended: end.ended,
            dumped: end.dumped,
            out_of_memory,
            lived,
            served,
        }
    }

    /// Whether it exited with this status.
    pub fn is_exit(&self, status: i32) -> bool {
        self.ended == Ended::Exit(status)
    }
}

impl fmt::Display for Obituary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {} ended with {}", self.pid, self.ended)?;
        if let Ended::Signal(signal) = self.ended
            && let Some(name) = signals::name(signal)
        {
            write!(out, " ({name})")?;
        }
        if self.dumped {
            out.write_str(", core dumped,")?;
        }
        let seconds = self.lived.as_secs();
        write!(out, " after {seconds} s and {} request(s)", self.served)?;
        if self.out_of_memory {
            out.write_str(": the kernel killed it for want of memory")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obituary(ended: Ended) -> Obituary {
        Obituary {
            pid: 12,
            ended,
            dumped: false,
            out_of_memory: false,
            lived: Duration::from_millis(34_900),
            served: 56,
        }
    }

    #[test]
    fn it_tells_how_a_process_ended_and_what_it_had_done() {
        assert_eq!(
            obituary(Ended::Exit(3)).to_string(),
            "process 12 ended with exit status 3 after 34 s and 56 request(s)"
        );
        let crash = Obituary {
            dumped: true,
            ..obituary(Ended::Signal(libc::SIGSEGV))
        };
        assert_eq!(
            crash.to_string(),
            "process 12 ended with signal 11 (SIGSEGV), core dumped, after 34 s and 56 request(s)"
        );
        let killed = Obituary {
            out_of_memory: true,
            ..obituary(Ended::Signal(libc::SIGKILL))
        };
        assert_eq!(
            killed.to_string(),
            "process 12 ended with signal 9 (SIGKILL) after 34 s and 56 request(s): the kernel \
             killed it for want of memory"
        );
    }
}
