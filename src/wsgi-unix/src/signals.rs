//! Signals as bytes on a pipe, so that a loop can wait for them with everything else.
//!
//! For the monitor and for daemons, whose processes are ours; never in an Apache process, where
//! httpd owns every handler. A handler here does two things: it looks at the process id and
//! writes one byte.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use crate::call::check;
use crate::{pipe, process};

/// One more than the highest signal number of any Linux.
pub(crate) const SIGNAL_END: i32 = 65;

/// The pipe's writing end, never closed once it is set; -1 before.
static WRITER: AtomicI32 = AtomicI32::new(-1);

/// The process that asked for the signals: its forks inherit handler and pipe.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The signals that have come and were not taken yet.
#[derive(Debug)]
pub struct Arrivals {
    reader: File,
}

/// From now on these signals do nothing but arrive. Once per process: the second call is
/// [`ErrorKind::AlreadyExists`].
///
/// A process forked from this one without an exec (by an application, say) does not share in it:
/// there a signal has its default effect, and nothing arrives here.
pub fn notify(signals: &[i32]) -> io::Result<Arrivals> {
    let (reader, writer) = pipe::pair()?;
    set_non_blocking(&reader)?;
    set_non_blocking(&writer)?;
    let writer_number = writer.as_raw_fd();
    let first = WRITER.compare_exchange(-1, writer_number, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_err() {
        return Err(io::Error::from(ErrorKind::AlreadyExists));
    }
    // The handlers own it from here, until the process ends.
    let _ = writer.into_raw_fd();
    OWNER.store(process::own_pid(), Ordering::SeqCst);
    for &signal in signals {
        set_disposition(signal, forward as *const () as libc::sighandler_t)?;
    }
    let reader = File::from(reader);
    Ok(Arrivals { reader })
}

impl Arrivals {
    /// Takes one signal's number, or `None` when all have been taken.
    pub fn take(&mut self) -> io::Result<Option<i32>> {
        let mut number = [0u8; 1];
        match self.reader.read(&mut number) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(i32::from(number[0]))),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for Arrivals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Has a signal ignored, by this process and what it executes.
pub fn ignore(signal: i32) -> io::Result<()> {
    set_disposition(signal, libc::SIG_IGN)
}

/// Gives a signal its default effect.
pub fn set_default(signal: i32) -> io::Result<()> {
    set_disposition(signal, libc::SIG_DFL)
}

/// The number of a real-time signal, counted from SIGRTMIN (signal(7)).
pub fn realtime(index: i32) -> i32 {
    libc::SIGRTMIN() + index
}

/// Sends the calling thread a signal, whose handler has run when this returns (raise(3)).
pub fn raise(signal: i32) {
    // SAFETY: takes an integer; what a handler does is its installer's to answer for.
    unsafe { libc::raise(signal) };
}

/// The name of a signal, for messages; `None` for numbers without one here.
pub fn name(signal: i32) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(number, _)| *number == signal)
        .map(|(_, name)| *name)
}

const NAMES: [(i32, &str); 16] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGXCPU, "SIGXCPU"),
    (libc::SIGSYS, "SIGSYS"),
];

/// The handler. Its one call cannot panic: it is integers, atomics and system calls.
extern "C" fn forward(signal: libc::c_int) {
    arrive(signal);
}

/// Runs in a signal handler, so it calls what signal-safety(7) allows and keeps `errno`.
fn arrive(signal: i32) {
    if process::own_pid() != OWNER.load(Ordering::SeqCst) {
        // A fork of ours: give it the death it was sent. The signal is blocked while its handler
        // runs, and takes effect when this returns.
        let _ = set_default(signal);
        // SAFETY: raise takes an integer and is async-signal-safe.
        unsafe { libc::raise(signal) };
        return;
    }
    // SAFETY: the C library's errno of this thread always exists.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is valid for this thread, which is in this handler.
    let saved = unsafe { *errno };
    let number = signal as u8;
    // SAFETY: one byte that lives through the call. It fails only when the pipe is full, and then
    // enough signals wait to be taken.
    unsafe { libc::write(WRITER.load(Ordering::SeqCst), (&raw const number).cast(), 1) };
    // SAFETY: as for reading it.
    unsafe { *errno = saved };
}

/// sigaction(2) with an empty mask and SA_RESTART. Allocates nothing.
pub(crate) fn set_disposition(signal: i32, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: sigaction is integers and nullable pointers, for all of which zero is a value: the
    // empty mask as well.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` lives through the call; the old action is not asked for. The handler is
    // SIG_DFL, SIG_IGN or `forward`.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

/// A set of all signals, or of none.
pub(crate) fn signal_set(full: bool) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    if full {
        // SAFETY: room for one set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
    } else {
        // SAFETY: room for one set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    }
    // SAFETY: zeroed, and then filled by the C library.
    unsafe { set.assume_init() }
}

/// Replaces this thread's signal mask and answers the old one.
pub(crate) fn replace_mask(mask: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut old = signal_set(false);
    // SAFETY: two sets that live through the call.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, &raw mut old) } {
        0 => Ok(old),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn set_non_blocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument and touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_arrives_as_its_number() {
        let mut arrivals = notify(&[libc::SIGUSR2]).unwrap();
        assert_eq!(arrivals.take().unwrap(), None);
        process::signal(process::own_pid(), libc::SIGUSR2).unwrap();
        let epoll = crate::epoll::Epoll::new().unwrap();
        let interest = crate::epoll::Interest::READ;
        epoll.add(arrivals.as_fd(), 0, interest).unwrap();
        let mut events = [crate::epoll::Event::EMPTY; 1];
        while epoll.wait(&mut events, None).unwrap().is_empty() {}
        assert_eq!(arrivals.take().unwrap(), Some(libc::SIGUSR2));
        assert_eq!(notify(&[]).unwrap_err().kind(), ErrorKind::AlreadyExists);

        let fork = end_of_a_fork_that_signals_itself();
        assert_eq!(fork, process::Ended::Signal(libc::SIGUSR2));
        assert_eq!(arrivals.take().unwrap(), None);
    }

    fn end_of_a_fork_that_signals_itself() -> process::Ended {
        // SAFETY: the new process makes async-signal-safe calls only.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let _ = process::signal(process::own_pid(), libc::SIGUSR2);
            process::exit_now(0);
        }
        process::wait_for(pid).unwrap()
    }

    #[test]
    fn the_signals_that_kill_have_names() {
        assert_eq!(name(libc::SIGKILL), Some("SIGKILL"));
        assert_eq!(name(64), None);
    }
}
