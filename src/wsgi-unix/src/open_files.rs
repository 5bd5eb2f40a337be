//! How many descriptors this process may have open (RLIMIT_NOFILE, getrlimit(2)).
//!
//! Any process, on one thread at a time. [`set_soft`] allocates nothing, so it also runs between fork
//! and exec.

use std::io;

use crate::call::check;

/// The bounds of a process; what it starts inherits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// As many may be open: every number is below it.
    pub soft: u64,
    /// As far may the process raise that itself.
    pub hard: u64,
}

/// The bounds of this process.
pub fn limit() -> io::Result<OpenFiles> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: room for one `struct rlimit`.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(OpenFiles {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// Sets the soft bound, to the hard one if that is lower. What is open stays open, also beyond it.
pub fn set_soft(soft: u64) -> io::Result<()> {
    let OpenFiles { hard, .. } = limit()?;
    let limit = libc::rlimit {
        rlim_cur: soft.min(hard),
        rlim_max: hard,
    };
    // SAFETY: one `struct rlimit`, which the call only reads.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
}
