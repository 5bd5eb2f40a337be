//! What a program may use: the resources of setrlimit(2) that administrators bound.
//!
//! Named before the fork; [`Limit::set`] runs between fork and exec, in the new process.

use std::io;

use super::Step;
use crate::call::check;

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Seconds of CPU time: SIGXCPU at the soft limit, SIGKILL at the hard one.
    CpuTime,
    /// Bytes of data: heap and private writable memory.
    Data,
    /// Bytes of address space.
    AddressSpace,
}

impl Resource {
    pub(super) fn step(self) -> Step {
        match self {
            Resource::CpuTime => Step::CpuTime,
            Resource::Data => Step::Data,
            Resource::AddressSpace => Step::AddressSpace,
        }
    }
}

/// One bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is bounded.
    pub resource: Resource,
    /// What counts.
    pub soft: u64,
    /// How far the program may raise it itself.
    pub hard: u64,
}

impl Limit {
    /// Sets it for this process and what it starts.
    pub(super) fn set(&self) -> io::Result<()> {
        let limit = libc::rlimit {
            rlim_cur: self.soft,
            rlim_max: self.hard,
        };
        let resource = match self.resource {
            Resource::CpuTime => libc::RLIMIT_CPU,
            Resource::Data => libc::RLIMIT_DATA,
            Resource::AddressSpace => libc::RLIMIT_AS,
        };
        // SAFETY: one `struct rlimit`, which the call only reads.
        check(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
    }
}
