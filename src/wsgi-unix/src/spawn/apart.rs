//! A process that prepares by itself to become a program, so that files and file systems which take
//! their time hold up nobody else.
//!
//! For the monitor: what runs in the new process is ordinary code, which is allowed since nobody has
//! a lock there (SAFETY.md, "A start apart"). It has default signals, leads a session and is tied to
//! its parent before it looks at anything.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::child::{self, NOT_STARTED};
use super::fork_masked;
use crate::log::{self, Level};
use crate::{pipe, process, signals};

/// How a start went, as far as it was waited for.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// The program runs.
    Running(i32),
    /// The process still prepares. If it fails it writes a line to its standard error and ends.
    Preparing(i32),
    /// It could not become the program, and is gone.
    Failed(String),
}

/// The way by which a new process tells why it is not its program; closed by exec.
#[derive(Debug)]
pub struct Report(Cell<RawFd>);

impl Report {
    pub(super) fn number(&self) -> RawFd {
        self.0.get()
    }

    pub(super) fn moved_to(&self, number: RawFd) {
        self.0.set(number);
    }
}

/// Starts a process in which `become_program` runs, which comes back only to say why it could not
/// ([`super::Command::execute`]). Waits for so long at most; the caller reaps the process.
///
/// It has the standard descriptors and those in `kept`, so that whatever holds it up keeps nothing else
/// open. With more than one thread it is [`ErrorKind::ResourceBusy`].
pub fn start(
    patience: Duration,
    kept: &[BorrowedFd<'_>],
    become_program: impl FnOnce(&Report) -> String,
) -> io::Result<Begun> {
    // Nothing is seen of threads where there is no /proc; no file of ours starts one in the monitor.
    if process::thread_count() > 1 {
        return Err(io::Error::from(ErrorKind::ResourceBusy));
    }
    let (reader, writer) = pipe::pair()?;
    let parent = process::own_pid();
    // SAFETY: this process has one thread, as was just seen, so nobody holds a lock in the new one.
    let pid = unsafe { fork_masked(|| prepare(parent, kept, &writer, become_program)) }?;
    drop(writer);
    let told = pipe::read_to_end_within(&reader, patience)?;
    let Some(told) = told else {
        return Ok(Begun::Preparing(pid));
    };
    if told.is_empty() {
        return Ok(Begun::Running(pid));
    }
    // Ours, not yet reaped, and on its way out.
    let _ = process::signal(pid, libc::SIGKILL);
    let _ = process::wait_for(pid);
    Ok(Begun::Failed(String::from_utf8_lossy(&told).into_owned()))
}

/// In the new process: becomes the program, or tells why not and ends.
fn prepare(
    parent: i32,
    kept: &[BorrowedFd<'_>],
    writer: &OwnedFd,
    become_program: impl FnOnce(&Report) -> String,
) -> ! {
    let report = Report(Cell::new(writer.as_raw_fd()));
    let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.push(writer.as_raw_fd());
    kept.sort_unstable();
    let ready = child::tie_early(parent).and_then(|()| {
        // SAFETY: what owns the others in this process is never used again, nor dropped: it executes
        // another program, or ends without.
        unsafe { child::close_others(&kept) }
    });
    let why = match ready {
        Ok(()) => become_program(&report),
        Err(error) => error.to_string(),
    };
    // Whoever waited may have lost his patience, and to be told so is no reason to die of it.
    let _ = signals::ignore(libc::SIGPIPE);
    // SAFETY: the pipe's end, or the duplicate that has taken its place; nothing else closes it, and the
    // process ends below.
    let mut pipe = unsafe { File::from_raw_fd(report.number()) };
    if pipe.write_all(why.as_bytes()).is_err() {
        log::line(Level::Error, format_args!("{why}"));
    }
    process::exit_now(NOT_STARTED)
}
