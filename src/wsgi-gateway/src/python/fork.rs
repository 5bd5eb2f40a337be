//! Forking a process that has Python in it.
//!
//! Runs on the only thread of a process, which is Python's main thread there.

use std::io;

use pyo3::ffi;
use wsgi_unix::fork::{self, Forked, Orphan};

use super::Attached;

/// On which side of a fork the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the process that forked.
    Old,
    /// In the new one.
    New,
}

/// Forks. The calling thread is the only one, and attached to the main interpreter, which is the only
/// one as well: Python keeps no other. In the new process `begin` runs first, without Python.
pub fn fork(_: &Attached<'_>, begin: impl FnOnce(Orphan)) -> io::Result<Side> {
    // SAFETY: attached; what it locks is unlocked below on either side.
    unsafe { ffi::PyOS_BeforeFork() };
    // SAFETY: SAFETY.md, "A fork that goes on"; Python has just been told.
    match unsafe { fork::orphan() } {
        Ok(Forked::New(orphan)) => {
            begin(orphan);
            // SAFETY: the thread that forked goes on here, attached as it was.
            unsafe { ffi::PyOS_AfterFork_Child() };
            Ok(Side::New)
        }
        other => {
            // SAFETY: in the process and on the thread that called PyOS_BeforeFork.
            unsafe { ffi::PyOS_AfterFork_Parent() };
            other.map(|_| Side::Old)
        }
    }
}
