//! What a new process does between fork and exec.
//!
//! Runs in the new process, on its only thread. Its parent may have held any lock when it
//! forked: nothing here may allocate, free, lock or log, only make the calls of
//! signal-safety(7) on memory that [`Plan::new`] made before the fork.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::{Command, Directory, Identity, Limit, Step, Strings, pointers};
use crate::call::check;
use crate::{open_files, process, signals};

/// Status of a new process that could not become its program; its parent takes the report instead.
pub(super) const NOT_STARTED: i32 = 127;

/// A report: the step's code and the system's error number.
const REPORT_BYTES: usize = 5;

/// Everything the new process needs, in memory that is ready.
pub(super) struct Plan<'a> {
    strings: &'a Strings,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    descriptors: Vec<Placed>,
    identity: Option<&'a Identity>,
    umask: Option<u32>,
    priority: Option<i32>,
    limits: &'a [Limit],
    open_files: Option<u64>,
    root_will_do: bool,
    session: bool,
    parent_death_signal: Option<i32>,
    parent: i32,
    report: RawFd,
    /// The number of the program that was tried.
    tried: usize,
}

/// A descriptor on its way to its number.
struct Placed {
    source: RawFd,
    target: RawFd,
}

type StepResult = Result<(), (Step, io::Error)>;

impl<'a> Plan<'a> {
    /// Prepares everything; in the parent, before the fork.
    pub(super) fn new(command: &'a Command<'_>, strings: &'a Strings, report: RawFd) -> Self {
        let placed = |&(source, target): &(std::os::fd::BorrowedFd<'_>, RawFd)| Placed {
            source: source.as_raw_fd(),
            target,
        };
        Plan {
            strings,
            arguments: pointers(&strings.arguments),
            environment: pointers(&strings.environment),
            descriptors: command.descriptors.iter().map(placed).collect(),
            identity: command.identity.as_ref(),
            umask: command.umask,
            priority: command.priority,
            limits: &command.limits,
            open_files: command.open_files,
            root_will_do: matches!(command.directory, Directory::OrRoot(_)),
            session: command.session,
            parent_death_signal: command.parent_death_signal,
            parent: process::own_pid(),
            report,
            tried: 0,
        }
    }

    /// Where failures are told by now.
    pub(super) fn report(&self) -> RawFd {
        self.report
    }

    /// Becomes the program, or answers which one could not be executed, or what else has failed.
    pub(super) fn carry_out(&mut self) -> (usize, Step, io::Error) {
        // This process was forked for it already.
        self.parent = process::parent_pid();
        let (step, error) = self.steps();
        (self.tried, step, error)
    }

    /// Becomes the program, or reports why not and ends.
    pub(super) fn run(&mut self) -> ! {
        let (step, error) = self.steps();
        let mut report = [step as u8; REPORT_BYTES];
        let number = error.raw_os_error().unwrap_or(libc::EINVAL);
        report[1..].copy_from_slice(&number.to_ne_bytes());
        // SAFETY: five bytes that live through the call. A parent that is gone asks nothing.
        unsafe { libc::write(self.report, report.as_ptr().cast(), REPORT_BYTES) };
        process::exit_now(NOT_STARTED)
    }

    /// Does one step after the other. Only a failure comes back.
    fn steps(&mut self) -> (Step, io::Error) {
        match self.prepare() {
            Ok(()) => (Step::Execute, self.execute()),
            Err(failure) => failure,
        }
    }

    fn prepare(&mut self) -> StepResult {
        reset_signals();
        if self.session {
            at(Step::Session, process::lead_session())?;
        }
        if let Some(priority) = self.priority {
            // Like the limits, while root still may ask for more.
            at(Step::Priority, set_priority(priority))?;
        }
        for limit in self.limits {
            at(limit.resource.step(), limit.set())?;
        }
        if let Some(identity) = self.identity {
            take_groups(identity)?;
        }
        if let Some(root) = &self.strings.root {
            // The accounts are looked up already, and the change of user takes the right away.
            at(Step::Root, change_root(root))?;
        }
        if let Some(identity) = self.identity {
            take_user(identity)?;
        }
        if let Some(signal) = self.parent_death_signal {
            // After the change of user, which clears it.
            at(Step::ParentDeath, self.tie_to_parent(signal))?;
        }
        if let Some(umask) = self.umask {
            // SAFETY: takes an integer, touches no memory of ours and cannot fail.
            unsafe { libc::umask(umask as libc::mode_t) };
        }
        at(Step::Directory, self.enter_directory())?;
        if self.open_files.is_some() {
            // While they are arranged they take numbers beyond those of whoever started us, which may
            // hold more than the program shall.
            at(Step::OpenFiles, open_files::set_soft(u64::MAX))?;
        }
        at(Step::Descriptors, self.arrange_descriptors())?;
        if let Some(soft) = self.open_files {
            at(Step::OpenFiles, open_files::set_soft(soft))?;
        }
        Ok(())
    }

    /// Executes the first program that is there. If none is, the error is that of the first.
    fn execute(&mut self) -> io::Error {
        let mut missing = None;
        for (number, program) in self.strings.programs.iter().enumerate() {
            self.arguments[0] = program.as_ptr();
            // SAFETY: null-terminated arrays of C strings, made before and still owned by the plan.
            unsafe {
                libc::execve(
                    program.as_ptr(),
                    self.arguments.as_ptr(),
                    self.environment.as_ptr(),
                )
            };
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENOENT) {
                self.tried = number;
                return error;
            }
            missing.get_or_insert(error);
        }
        missing.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn tie_to_parent(&self, signal: i32) -> io::Result<()> {
        process::signal_on_parent_death(signal)?;
        if process::parent_pid() != self.parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    }

    fn enter_directory(&self) -> io::Result<()> {
        let Some(directory) = &self.strings.directory else {
            return Ok(());
        };
        match change_directory(directory) {
            Err(_) if self.root_will_do => change_directory(c"/"),
            result => result,
        }
    }

    /// Puts every listed descriptor at its number, and has exec close all others.
    ///
    /// All sources move above the highest target first, so that none is overwritten.
    fn arrange_descriptors(&mut self) -> io::Result<()> {
        let targets = self.descriptors.iter().map(|placed| placed.target);
        let above = targets.fold(libc::STDERR_FILENO, i32::max) + 1;
        self.report = duplicate_above(self.report, above)?;
        for placed in &mut self.descriptors {
            placed.source = duplicate_above(placed.source, above)?;
        }
        close_on_exec(libc::STDERR_FILENO + 1, libc::c_uint::MAX)?;
        for placed in &self.descriptors {
            // SAFETY: takes integers; the number's former descriptor is a duplicate by now, or
            // not listed.
            check(unsafe { libc::dup2(placed.source, placed.target) })?;
        }
        Ok(())
    }
}

/// What a process does first that prepares by itself: it has no handlers of its parent's, ends when
/// that is told to end it, and with it.
pub(super) fn tie_early(parent: i32) -> io::Result<()> {
    process::lead_session()?;
    process::signal_on_parent_death(libc::SIGTERM)?;
    reset_signals();
    match process::parent_pid() == parent {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Reads a report; `None` when there is none, which means success.
pub(super) fn decode_report(report: &[u8]) -> Option<(Step, io::Error)> {
    let (code, number) = report.split_first()?;
    let number = number
        .first_chunk::<4>()
        .map_or(libc::EINVAL, |bytes| i32::from_ne_bytes(*bytes));
    let step = Step::from_code(*code).unwrap_or(Step::Fork);
    Some((step, io::Error::from_raw_os_error(number)))
}

fn at(step: Step, result: io::Result<()>) -> StepResult {
    result.map_err(|error| (step, error))
}

/// Default effects and an empty mask: exec would keep what is ignored and what is blocked.
fn reset_signals() {
    for signal in 1..signals::SIGNAL_END {
        // Fails for SIGKILL and SIGSTOP, which nobody can change, and for the C library's own.
        let _ = signals::set_default(signal);
    }
    let _ = signals::replace_mask(&signals::signal_set(false));
}

/// Takes the groups, while root still may.
fn take_groups(identity: &Identity) -> StepResult {
    let gid = identity.gid;
    // SAFETY: pointer and length are of one array.
    let groups = unsafe { libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) };
    at(Step::Groups, check(groups).map(drop))?;
    // SAFETY: takes integers and touches no memory of ours. In a new process with one thread
    // there is no other thread the C library would have to tell.
    let group = unsafe { libc::setresgid(gid, gid, gid) };
    at(Step::Group, check(group).map(drop))
}

/// Becomes this user for good.
fn take_user(identity: &Identity) -> StepResult {
    let uid = identity.uid;
    // SAFETY: takes integers and touches no memory of ours; this process has one thread.
    let user = unsafe { libc::setresuid(uid, uid, uid) };
    at(Step::User, check(user).map(drop))?;
    at(Step::Verify, verify_identity(identity))
}

/// Asks the kernel whether the change is what it should be and cannot be taken back.
fn verify_identity(identity: &Identity) -> io::Result<()> {
    let refused = || io::Error::from_raw_os_error(libc::EPERM);
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    // SAFETY: three integers that live through the call.
    check(unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) })?;
    if identity.uid == 0 || [real, effective, saved] != [identity.uid; 3] {
        return Err(refused());
    }
    // SAFETY: three integers that live through the call.
    check(unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) })?;
    if [real, effective, saved] != [identity.gid; 3] {
        return Err(refused());
    }
    // SAFETY: takes an integer and touches no memory of ours.
    match unsafe { libc::setuid(0) } {
        0 => Err(refused()),
        _ => Ok(()),
    }
}

fn set_priority(priority: i32) -> io::Result<()> {
    // SAFETY: takes integers and touches no memory of ours; 0 is this process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) }).map(drop)
}

/// Makes this directory the root, and enters it: a process that stayed outside could leave again.
fn change_root(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string that outlives the call.
    check(unsafe { libc::chroot(path.as_ptr()) })?;
    change_directory(c"/")
}

fn change_directory(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is a C string that outlives the call.
    check(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// A duplicate with a number of at least `above`, close-on-exec.
fn duplicate_above(fd: RawFd, above: RawFd) -> io::Result<RawFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) })
}

/// Closes all but the standard descriptors and `kept`, which are in ascending order.
///
/// # Safety
/// Nobody uses the others again.
pub(super) unsafe fn close_others(kept: &[RawFd]) -> io::Result<()> {
    let mut first = libc::STDERR_FILENO + 1;
    for fd in kept.iter().copied().filter(|fd| *fd > libc::STDERR_FILENO) {
        if first < fd {
            // SAFETY: the function's contract.
            unsafe { close_range(first, (fd - 1).cast_unsigned(), CloseRange::Now) }?;
        }
        first = fd + 1;
    }
    // SAFETY: the function's contract.
    unsafe { close_range(first, libc::c_uint::MAX, CloseRange::Now) }
}

/// Has exec close every descriptor from `first` to `last`.
fn close_on_exec(first: RawFd, last: libc::c_uint) -> io::Result<()> {
    // SAFETY: nothing is closed before exec, after which nobody is left to use it.
    unsafe { close_range(first, last, CloseRange::OnExec) }
}

/// When a range of descriptors is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseRange {
    Now,
    OnExec,
}

/// # Safety
/// Nobody uses what is closed again.
unsafe fn close_range(first: RawFd, last: libc::c_uint, when: CloseRange) -> io::Result<()> {
    let flags = match when {
        CloseRange::Now => 0,
        CloseRange::OnExec => libc::CLOSE_RANGE_CLOEXEC,
    };
    // The system call itself: the C library's wrapper is younger than distributions we run on.
    // SAFETY: close_range takes three integers and touches no memory of ours; see the contract.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        // Linux before 5.11: one by one, as far as descriptors can go.
        // SAFETY: the function's contract.
        _ => unsafe { close_each(first, last, when) },
    }
}

/// # Safety
/// As that of [`close_range`].
unsafe fn close_each(first: RawFd, last: libc::c_uint, when: CloseRange) -> io::Result<()> {
    // The hard limit: a descriptor may be older than a lowered soft one.
    let hard = open_files::limit()?.hard;
    let end = hard.min(1 << 20).min(u64::from(last) + 1);
    for fd in first..RawFd::try_from(end).unwrap_or(RawFd::MAX) {
        match when {
            // SAFETY: F_SETFD takes an integer; numbers that are not open fail with EBADF.
            CloseRange::OnExec => unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) },
            // SAFETY: takes an integer, likewise; the function's contract.
            CloseRange::Now => unsafe { libc::close(fd) },
        };
    }
    Ok(())
}
