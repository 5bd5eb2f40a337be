//! This process and those it has started: identity, title, signals and ends.
//!
//! Any process; it signals and reaps children of this process only, and none but those its caller
//! names. httpd's parent reaps its own.

use std::fmt;
use std::io;

use crate::call::{check, uninterrupted};

/// How a process ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exit(status) => write!(out, "exit status {status}"),
            Ended::Signal(signal) => write!(out, "signal {signal}"),
        }
    }
}

/// This process's id.
pub fn own_pid() -> i32 {
    // SAFETY: getpid has no preconditions and cannot fail.
    unsafe { libc::getpid() }
}

/// This thread's id, as the kernel and Apache's log show it.
pub fn own_tid() -> i32 {
    // The system call itself: the C library's wrapper is younger than distributions we run on.
    // SAFETY: gettid has no preconditions and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The id of the process that started this one, or of whoever inherited it.
pub fn parent_pid() -> i32 {
    // SAFETY: getppid has no preconditions and cannot fail.
    unsafe { libc::getppid() }
}

/// Sends a signal to one process, which must be a child not yet reaped: any other id may have
/// become somebody else's. An id that is not positive is [`io::ErrorKind::InvalidInput`].
pub fn signal(pid: i32, signal: i32) -> io::Result<()> {
    send(pid, signal, 1)
}

/// Sends a signal to every process of the group that `pid` leads. The same duty and error as
/// [`signal`]; a group outlives its leader, and its id stays taken while a member lives.
pub fn signal_group(pid: i32, signal: i32) -> io::Result<()> {
    send(pid, signal, -1)
}

/// Sends a signal to the main thread of this process (tgkill(2)): whichever thread sends it, that one
/// is woken from what it waits for.
pub fn signal_main_thread(signal: i32) -> io::Result<()> {
    let own = std::process::id();
    // SAFETY: takes integers and touches no memory of ours; on Linux the main thread's id is the
    // process's.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, own, own, signal) };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn send(pid: i32, signal: i32, sign: i32) -> io::Result<()> {
    // 0, -1 and 1 would reach our own group, everybody, and init.
    if pid <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: takes integers and touches no memory of ours.
    check(unsafe { libc::kill(sign * pid, signal) })?;
    Ok(())
}

/// A child that has ended and was not reaped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildEnd {
    /// Its id.
    pub pid: i32,
    /// How it ended.
    pub ended: Ended,
    /// It left a core dump.
    pub dumped: bool,
}

/// A child that has ended and was not reaped yet, and how it ended; `None` when there is none.
///
/// It stays to be reaped, so its id and that of the group it leads are still nobody else's.
pub fn ended_child() -> io::Result<Option<ChildEnd>> {
    // SAFETY: siginfo_t is integers and nullable pointers, for all of which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let found = uninterrupted(|| {
        // SAFETY: room for one siginfo_t.
        check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) })
    });
    if let Err(error) = found {
        let childless = error.raw_os_error() == Some(libc::ECHILD);
        return if childless { Ok(None) } else { Err(error) };
    }
    // SAFETY: waitid has filled the fields of SIGCHLD, or left them zero for no child.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as for the process id.
    let status = unsafe { info.si_status() };
    let ended = match info.si_code {
        libc::CLD_EXITED => Ended::Exit(status),
        _ => Ended::Signal(status),
    };
    let dumped = info.si_code == libc::CLD_DUMPED;
    Ok((pid != 0).then_some(ChildEnd { pid, ended, dumped }))
}

/// Whether this is a child of ours that was not reaped yet: its id is nobody else's.
pub fn is_child(pid: i32) -> io::Result<bool> {
    let id = match libc::id_t::try_from(pid) {
        Ok(id) if id > 0 => id,
        _ => return Ok(false),
    };
    // SAFETY: siginfo_t is integers and nullable pointers, for all of which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let found = uninterrupted(|| {
        // SAFETY: room for one siginfo_t.
        check(unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) })
    });
    match found {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether this process leads a session, so that it leads its process group until it is reaped.
pub fn leads_session(pid: i32) -> bool {
    // SAFETY: takes an integer and touches no memory of ours; 0 would be this process.
    pid > 0 && unsafe { libc::getsid(pid) } == pid
}

/// From now on processes whose parents end become children of this one, if it is the nearest of
/// their ancestors that asked for it (PR_SET_CHILD_SUBREAPER, prctl(2)).
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes an integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong) })?;
    Ok(())
}

/// How many threads this process has; 0 if that cannot be seen.
pub fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Waits for the end of this child, however long it takes.
pub fn wait_for(pid: i32) -> io::Result<Ended> {
    wait(pid, 0).map(|(_, ended)| ended)
}

/// Takes the end of this child if it has ended, without waiting.
pub fn reap_one(pid: i32) -> io::Result<Option<Ended>> {
    let (found, ended) = wait(pid, libc::WNOHANG)?;
    Ok((found != 0).then_some(ended))
}

fn wait(pid: i32, flags: libc::c_int) -> io::Result<(i32, Ended)> {
    let mut status = 0;
    let pid = uninterrupted(|| {
        // SAFETY: `status` is room for one integer.
        check(unsafe { libc::waitpid(pid, &raw mut status, flags) })
    })?;
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Exit(libc::WEXITSTATUS(status))
    };
    Ok((pid, ended))
}

/// Leads a session and process group of its own from now on, so that a signal to the group of
/// whoever started us does not reach us. Already leading one is no error.
pub fn lead_session() -> io::Result<()> {
    // SAFETY: takes nothing and touches no memory of ours.
    match check(unsafe { libc::setsid() }) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        result => result.map(drop),
    }
}

/// Has the kernel send `signal` to this process when the thread that started it ends.
///
/// Cleared by a change of user (PR_SET_PDEATHSIG, prctl(2)). A parent that had already gone is
/// not told of: compare [`parent_pid`] afterwards.
pub fn signal_on_parent_death(signal: i32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes an integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) })?;
    Ok(())
}

/// Ends the process at once: no destructor, no `atexit`, no flush.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(status) }
}

/// Shows `title` in the process list: the kernel's short name (15 bytes) and the command line,
/// cut to the room the original command line takes.
///
/// The bytes of the command line are overwritten where they lie, so `argv` of this process no
/// longer holds its arguments: read them before. Done only while one thread runs: with more the
/// short name is set and the error is [`io::ErrorKind::ResourceBusy`].
pub fn set_title(title: &[u8]) -> io::Result<()> {
    set_short_name(title)?;
    if thread_count() != 1 {
        return Err(io::Error::from(io::ErrorKind::ResourceBusy));
    }
    let status = std::fs::read("/proc/self/stat")?;
    let Some((start, end)) = argument_range(&status) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    let room = end - start;
    // The last byte stays NUL, or the kernel would read on into the environment (proc(5)).
    let length = title.len().min(room.saturating_sub(1));
    let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel put the argument strings at [start, end) of this process's writable
    // stack, and no other thread runs that could read them meanwhile.
    unsafe { std::ptr::write_bytes(area, 0, room) };
    // SAFETY: `length` bytes fit the area, and `title` is not part of it.
    unsafe { std::ptr::copy_nonoverlapping(title.as_ptr(), area, length) };
    Ok(())
}

fn set_short_name(title: &[u8]) -> io::Result<()> {
    let mut name = [0u8; 16];
    let length = title.len().min(15);
    name[..length].copy_from_slice(&title[..length]);
    // SAFETY: PR_SET_NAME reads at most 16 bytes, the last of which is NUL here.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) })?;
    Ok(())
}

/// Where the command line lies: fields 48 and 49 of /proc/self/stat (proc(5)).
fn argument_range(status: &[u8]) -> Option<(usize, usize)> {
    // The second field is a name in parentheses that may hold anything, parentheses as well.
    let after_name = status.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&status[after_name + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && start < end).then_some((start, end))
}

/// The machine's name; empty if it has none.
pub fn host_name() -> Vec<u8> {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is writable for its length; the last byte stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    if failed {
        return Vec::new();
    }
    let end = name.iter().position(|byte| *byte == 0);
    name[..end.unwrap_or(name.len())].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_we_started_and_have_not_reaped_is_our_child() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        assert!(is_child(pid).unwrap(), "it runs");
        drop(child.stdin.take());
        for stranger in [0, -1, 1, own_pid(), parent_pid()] {
            assert!(!is_child(stranger).unwrap(), "{stranger}");
        }
        assert!(
            is_child(pid).unwrap(),
            "it may have ended, and is not reaped"
        );
        child.wait().unwrap();
        assert!(!is_child(pid).unwrap());
    }

    #[test]
    fn a_signal_never_goes_to_everybody() {
        for pid in [i32::MIN, -1, 0, 1] {
            assert!(signal(pid, 0).is_err(), "{pid}");
            assert!(signal_group(pid, 0).is_err(), "{pid}");
        }
        assert!(signal(own_pid(), 0).is_ok());
    }

    #[test]
    fn the_command_line_is_found_behind_a_name_with_parentheses() {
        let mut status = b"12 (a) b) S".to_vec();
        for field in 4..=52 {
            status.extend_from_slice(format!(" {field}").as_bytes());
        }
        assert_eq!(argument_range(&status), Some((48, 49)));
        assert_eq!(argument_range(b"12 (a) S 1 2"), None);
    }
}
