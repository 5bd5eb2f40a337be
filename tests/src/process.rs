//! The processes of a server as /proc shows them: who they are, what they hold, what they cost.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A process that was there when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// The file it runs.
    pub executable: PathBuf,
    /// Its arguments, each followed by a NUL; what `ps` shows.
    pub command_line: Vec<u8>,
}

/// What a process uses of memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident since the last [`Process::forget_peak`].
    pub peak: u64,
    /// Its proportional share of what is resident now.
    pub proportional: u64,
}

impl Process {
    /// The process with this id, unless it is gone or a zombie.
    pub fn of(pid: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = stat_fields(&stat);
        (fields.first() != Some(&"Z")).then_some(())?;
        Some(Process {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            executable: fs::read_link(format!("/proc/{pid}/exe")).ok()?,
            command_line: fs::read(format!("/proc/{pid}/cmdline")).ok()?,
        })
    }

    /// Whether it is a Python interpreter: a daemon.
    pub fn is_python(&self) -> bool {
        self.executable
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"python"))
    }

    /// The inodes of the sockets it holds; none when the process is gone.
    pub fn sockets(&self) -> Vec<String> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid));
        let links = open.into_iter().flatten().flatten().filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        });
        links.collect()
    }

    /// The file's content under /proc/<pid>; empty when the process is gone.
    pub fn read(&self, name: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{name}", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its memory; zeros when it is gone.
    pub fn memory(&self) -> Memory {
        let status = self.read("status");
        Memory {
            resident: kib(&status, "VmRSS:"),
            peak: kib(&status, "VmHWM:"),
            proportional: kib(&self.read("smaps_rollup"), "Pss:"),
        }
    }

    /// How many descriptors it has open; 0 when it is gone.
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid));
        open.into_iter().flatten().count()
    }

    /// Makes [`Memory::peak`] begin anew.
    pub fn forget_peak(&self) {
        // A process that ended meanwhile has no peak to forget.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Whether it maps a file whose name contains `part`.
    pub fn maps(&self, part: &str) -> bool {
        self.read("maps").contains(part)
    }

    /// CPU time of it and of its children that were waited for, in clock ticks.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = self.read("stat");
        let fields = stat_fields(&stat);
        // utime, stime, cutime and cstime of proc(5), counted from the state.
        (11..15)
            .filter_map(|index| fields.get(index)?.parse::<u64>().ok())
            .sum()
    }

    /// The sizes of the send and receive buffers of its Unix sockets that are connected, as the kernel
    /// counts them; an error where we may not look into the process.
    pub fn unix_socket_buffers(&self) -> io::Result<Vec<(i32, i32)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid))?.flatten() {
            let number = entry.file_name().to_string_lossy().parse().unwrap_or(-1);
            let link = fs::read_link(entry.path()).unwrap_or_default();
            if !link.to_string_lossy().starts_with("socket:") {
                continue;
            }
            let Some(copy) = copy_of(self.pid, number)? else {
                continue;
            };
            let ask = |name| option(&copy, name);
            let unix = ask(libc::SO_DOMAIN) == libc::AF_UNIX;
            if unix && ask(libc::SO_TYPE) == libc::SOCK_STREAM && ask(libc::SO_ACCEPTCONN) == 0 {
                found.push((ask(libc::SO_SNDBUF), ask(libc::SO_RCVBUF)));
            }
        }
        Ok(found)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        send(self.pid, signal);
    }

    fn holds(&self, root: &Path) -> bool {
        let directory = format!("/proc/{}", self.pid);
        if fs::read_link(format!("{directory}/cwd")).is_ok_and(|path| path.starts_with(root)) {
            return true;
        }
        fs::read_dir(format!("{directory}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|path| path.starts_with(root))
    }
}

/// Every process that is a descendant of `ancestor`, that one first, or holds a file under `root`.
///
/// The second finds those that lost their parent: all of a server's processes have its error log.
pub fn of_server(ancestor: u32, root: &Path) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> = all.iter().filter(|p| p.pid == ancestor).cloned().collect();
    loop {
        let before = found.len();
        for process in &all {
            let related = found.iter().any(|other| other.pid == process.parent);
            if related && !found.contains(process) {
                found.push(process.clone());
            }
        }
        if found.len() == before {
            break;
        }
    }
    for process in all {
        if !found.contains(&process) && process.holds(root) {
            found.push(process);
        }
    }
    found
}

/// Sends a signal; a process that is gone already is left alone.
pub fn send(pid: u32, signal: i32) {
    // SAFETY: kill(2) takes two numbers; the pid is a server's that this test started.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// The unit of [`Process::cpu_ticks`].
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf(3) takes a number and answers with one; -1 for a name it does not know.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100)
}

/// A duplicate of another process's descriptor (pidfd_getfd(2)), unless it was closed meanwhile.
fn copy_of(pid: u32, number: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open(2) takes two numbers.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let process = owned(process)?;
    // SAFETY: pidfd_getfd(2) takes three numbers; the first is a descriptor of ours.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    match owned(copy) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(None),
        copy => copy.map(Some),
    }
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system call has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

/// An option of SOL_SOCKET that is a number; -1 if the descriptor has no such option.
fn option(socket: &OwnedFd, name: i32) -> i32 {
    let mut value = -1;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: room and length of one number.
    unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    value
}

fn all() -> Vec<Process> {
    let me = std::process::id();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != me)
        .filter_map(Process::of)
        .collect()
}

/// The fields after the command's name, which may itself hold spaces.
fn stat_fields(stat: &str) -> Vec<&str> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_ascii_whitespace().collect()
}

fn kib(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(key)?
                .split_ascii_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
