//! Forking a process that becomes the child of its grandparent, here the monitor.
//!
//! For a process with one thread that was started by a subreaper (prctl(2)): the monitor's zygotes
//! of daemons. A new process is forked twice; as the one between ends at once, the kernel gives the
//! second to the subreaper, which then is its parent in every respect.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;

use crate::call::check;
use crate::{pipe, process};

/// Where a fork has come back.
#[derive(Debug)]
pub enum Forked {
    /// In the process that forked.
    Old,
    /// In the new one.
    New(Orphan),
}

/// A new process that waits for its parent.
#[derive(Debug)]
pub struct Orphan {
    /// At its end once the process between is gone for good.
    adopted: OwnedFd,
}

/// Forks this process.
///
/// # Safety
/// The calling process has one thread, and whoever keeps state about processes (Python) is prepared
/// for a fork. In the new process that state is to be put right before it is used.
pub unsafe fn orphan() -> io::Result<Forked> {
    let (adopted, between_lives) = pipe::pair()?;
    // SAFETY: one thread, so no lock is held by another; see the function's contract.
    let between = check(unsafe { libc::fork() })?;
    if between != 0 {
        // One whose end is not told, as the application ignores SIGCHLD, is waited for all the same.
        let ended = process::wait_for(between);
        // What tells the new process that it has its parent: not earlier.
        drop(between_lives);
        return match ended {
            Ok(process::Ended::Exit(0)) => Ok(Forked::Old),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Forked::Old),
            Ok(_) => Err(io::Error::from(ErrorKind::OutOfMemory)),
            Err(error) => Err(error),
        };
    }
    // SAFETY: as for the first fork.
    match unsafe { libc::fork() } {
        0 => {
            drop(between_lives);
            Ok(Forked::New(Orphan { adopted }))
        }
        -1 => process::exit_now(1),
        _ => process::exit_now(0),
    }
}

impl Orphan {
    /// Waits until this process is a child of `parent`, ties it to that process as
    /// [`crate::spawn::Command::parent_death_signal`] does, and has it lead a session.
    pub fn join(self, parent: i32, death_signal: i32) -> io::Result<()> {
        // Nothing is ever written: it ends when its last writer is gone.
        File::from(self.adopted).read_to_end(&mut Vec::new())?;
        process::signal_on_parent_death(death_signal)?;
        if process::parent_pid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        process::lead_session()
    }
}
