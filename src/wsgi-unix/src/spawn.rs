//! Starting a program in a process of its own: with these descriptors and no others, as this
//! user, and with an error that names the step that failed.
//!
//! For httpd's parent (which starts the monitor) and the monitor (which starts daemons), from a
//! process with one thread. Everything that allocates or locks happens before the fork, here;
//! what happens between fork and exec is in [`child`]. With [`apart`] the new process prepares itself.

pub mod apart;
mod child;
mod limit;

use std::ffi::{CString, c_char};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::call::check;
use crate::{pipe, process, signals};

pub use limit::{Limit, Resource};

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal;)*) => {
        /// What is done to start a program; the order is that of `child.rs`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step {
            $($(#[$doc])* $name = $code,)*
        }

        impl Step {
            fn from_code(code: u8) -> Option<Step> {
                match code {
                    $($code => Some(Step::$name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for Step {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self {
                    $(Step::$name => $words,)*
                })
            }
        }
    };
}

steps! {
    /// Arguments and environment are made C strings: a NUL byte fails.
    Arguments = 1, "prepare the arguments of";
    /// fork(2), and the pipe on which the new process reports.
    Fork = 2, "make a process for";
    /// setsid(2).
    Session = 3, "begin a session for";
    /// setgroups(2) with the account's groups.
    Groups = 4, "set the supplementary groups of";
    /// setresgid(2).
    Group = 5, "set the group of";
    /// setresuid(2).
    User = 6, "set the user of";
    /// The identity is the one asked for, and root is out of reach.
    Verify = 7, "give up root for good in";
    /// PR_SET_PDEATHSIG, and the parent is still there.
    ParentDeath = 8, "tie to its parent";
    /// chdir(2).
    Directory = 9, "enter the directory of";
    /// The listed descriptors are in place and all others will close.
    Descriptors = 10, "arrange the descriptors of";
    /// execve(2).
    Execute = 11, "execute";
    /// setpriority(2).
    Priority = 12, "set the CPU priority of";
    /// setrlimit(2) of RLIMIT_CPU.
    CpuTime = 13, "limit the CPU time of";
    /// setrlimit(2) of RLIMIT_DATA.
    Data = 14, "limit the data of";
    /// setrlimit(2) of RLIMIT_AS.
    AddressSpace = 15, "limit the address space of";
    /// chroot(2).
    Root = 16, "change the root directory of";
    /// setrlimit(2) of RLIMIT_NOFILE.
    OpenFiles = 17, "limit the descriptors of";
}

/// Why a program did not start. The new process, if there was one, is gone and reaped.
#[derive(Debug, Error)]
#[error("cannot {step} {operand}")]
pub struct StartError {
    /// The step that failed.
    pub step: Step,
    /// What the step was done to: the program's path, and what else names the trouble.
    pub operand: String,
    /// What the system answered.
    #[source]
    pub source: io::Error,
}

/// Whom a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Effective, real and saved user; not 0.
    pub uid: u32,
    /// Effective, real and saved group.
    pub gid: u32,
    /// All supplementary groups: see [`crate::accounts::supplementary_groups`].
    pub groups: Vec<u32>,
}

/// Where a program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Directory {
    Inherited,
    Required(PathBuf),
    OrRoot(PathBuf),
}

/// A program to be started.
///
/// Its environment holds what is given here and nothing else. Descriptors 0 to 2 are inherited
/// unless given, all others are closed unless given.
#[derive(Debug)]
pub struct Command<'fd> {
    program: PathBuf,
    alternatives: Vec<PathBuf>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    descriptors: Vec<(BorrowedFd<'fd>, RawFd)>,
    identity: Option<Identity>,
    umask: Option<u32>,
    priority: Option<i32>,
    limits: Vec<Limit>,
    open_files: Option<u64>,
    root: Option<PathBuf>,
    directory: Directory,
    session: bool,
    parent_death_signal: Option<i32>,
}

impl<'fd> Command<'fd> {
    /// The program at this path, which is also its `argv[0]`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Command {
            program: program.into(),
            alternatives: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            descriptors: Vec::new(),
            identity: None,
            umask: None,
            priority: None,
            limits: Vec::new(),
            open_files: None,
            root: None,
            directory: Directory::Inherited,
            session: false,
            parent_death_signal: None,
        }
    }

    /// Names another program for the case that those named before are not there.
    pub fn or_program(&mut self, program: impl Into<PathBuf>) -> &mut Self {
        self.alternatives.push(program.into());
        self
    }

    /// Appends an argument.
    pub fn argument(&mut self, argument: impl Into<Vec<u8>>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds a variable; a second one of the same name is not looked for.
    pub fn variable(&mut self, name: impl AsRef<[u8]>, value: &[u8]) -> &mut Self {
        let mut entry = name.as_ref().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value);
        self.environment.push(entry);
        self
    }

    /// Gives the program a duplicate of `source` as descriptor `target`.
    pub fn descriptor(&mut self, source: BorrowedFd<'fd>, target: RawFd) -> &mut Self {
        self.descriptors.push((source, target));
        self
    }

    /// Runs it as somebody else: only root can.
    pub fn identity(&mut self, identity: Identity) -> &mut Self {
        self.identity = Some(identity);
        self
    }

    /// Sets its umask.
    pub fn umask(&mut self, umask: u32) -> &mut Self {
        self.umask = Some(umask & 0o777);
        self
    }

    /// Sets its scheduling priority, -20 to 20; root alone may ask for less than its own.
    pub fn priority(&mut self, priority: i32) -> &mut Self {
        self.priority = Some(priority);
        self
    }

    /// Limits what it may use; root alone may ask for more than this process has.
    pub fn limit(&mut self, limit: Limit) -> &mut Self {
        self.limits.push(limit);
        self
    }

    /// Lets it have so many descriptors open, as far as the hard limit goes, whatever this process has:
    /// the soft limit alone.
    pub fn open_files(&mut self, soft: u64) -> &mut Self {
        self.open_files = Some(soft);
        self
    }

    /// Gives it this root directory: only root can. The program's path and its directory are
    /// paths below it.
    pub fn root(&mut self, root: impl Into<PathBuf>) -> &mut Self {
        self.root = Some(root.into());
        self
    }

    /// Starts it in this directory, which its user must be able to enter.
    pub fn directory(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.directory = Directory::Required(directory.into());
        self
    }

    /// Starts it in this directory if its user can enter it, else in `/`.
    pub fn directory_or_root(&mut self, directory: impl Into<PathBuf>) -> &mut Self {
        self.directory = Directory::OrRoot(directory.into());
        self
    }

    /// Has it lead a session of its own.
    pub fn session(&mut self) -> &mut Self {
        self.session = true;
        self
    }

    /// Has the kernel send it this signal when the thread that starts it ends.
    pub fn parent_death_signal(&mut self, signal: i32) -> &mut Self {
        self.parent_death_signal = Some(signal);
        self
    }

    /// Starts it and answers its process id, once the program itself runs.
    ///
    /// The caller reaps it. Every signal has its default effect in it, and none is blocked.
    pub fn start(&self) -> Result<i32, StartError> {
        let refused = |source| self.error(Step::Arguments, source);
        let strings = Strings::of(self).map_err(refused)?;
        let failed = |source| self.error(Step::Fork, source);
        let (reader, writer) = pipe::pair().map_err(failed)?;
        let mut plan = child::Plan::new(self, &strings, writer.as_raw_fd());
        let pid = fork_and_run(&mut plan).map_err(failed)?;
        drop(writer);
        let mut report = Vec::new();
        // Ends when exec closes the other end, or after the report of a failure.
        let failure = match File::from(reader).read_to_end(&mut report) {
            Ok(_) => child::decode_report(&report),
            Err(error) => Some((Step::Fork, error)),
        };
        let Some((step, source)) = failure else {
            return Ok(pid);
        };
        // Ours, not yet reaped, and on its way out: a failure to hasten that changes nothing.
        let _ = process::signal(pid, libc::SIGKILL);
        let _ = process::wait_for(pid);
        Err(self.error(step, source))
    }

    /// Becomes the program, in a process that was made for it by [`apart::start`]: comes back only to
    /// say why that cannot be.
    pub fn execute(&self, report: &apart::Report) -> StartError {
        let strings = match Strings::of(self) {
            Ok(strings) => strings,
            Err(error) => return self.error(Step::Arguments, error),
        };
        let mut plan = child::Plan::new(self, &strings, report.number());
        let (tried, step, source) = plan.carry_out();
        report.moved_to(plan.report());
        self.error_of(tried, step, source)
    }

    fn error(&self, step: Step, source: io::Error) -> StartError {
        self.error_of(0, step, source)
    }

    /// The error of a step that was done to the program of this number.
    fn error_of(&self, tried: usize, step: Step, source: io::Error) -> StartError {
        let program = tried.checked_sub(1).map(|index| &self.alternatives[index]);
        let program = program.unwrap_or(&self.program).display();
        let operand = match (step, &self.directory, &self.identity) {
            (Step::Directory, Directory::Required(path) | Directory::OrRoot(path), _) => {
                format!("{program}: {}", path.display())
            }
            (Step::Root, ..) => {
                let root = self.root.as_deref().unwrap_or(Path::new("/"));
                format!("{program} to {}", root.display())
            }
            (Step::User, _, Some(identity)) => format!("{program} to uid {}", identity.uid),
            (Step::Group, _, Some(identity)) => format!("{program} to gid {}", identity.gid),
            (Step::Execute, _, Some(identity)) => format!("{program} as uid {}", identity.uid),
            _ => program.to_string(),
        };
        StartError {
            step,
            operand,
            source,
        }
    }
}

/// Everything of a command that the new process reads, as C strings.
struct Strings {
    /// To be tried in order; not empty.
    programs: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    root: Option<CString>,
    directory: Option<CString>,
}

impl Strings {
    fn of(command: &Command<'_>) -> io::Result<Strings> {
        let programs = std::iter::once(&command.program).chain(&command.alternatives);
        let programs = programs.map(|path| c_string(path.as_os_str().as_bytes()));
        let programs = programs.collect::<io::Result<Vec<_>>>()?;
        // The first one is that of the program that is tried.
        let mut arguments = vec![CString::default()];
        for argument in &command.arguments {
            arguments.push(c_string(argument)?);
        }
        let environment = command.environment.iter().map(|entry| c_string(entry));
        let root = command.root.as_ref();
        let root = root.map(|path| c_string(path.as_os_str().as_bytes()));
        let directory = match &command.directory {
            Directory::Inherited => None,
            Directory::Required(path) | Directory::OrRoot(path) => {
                Some(c_string(path.as_os_str().as_bytes())?)
            }
        };
        Ok(Strings {
            programs,
            arguments,
            environment: environment.collect::<io::Result<_>>()?,
            root: root.transpose()?,
            directory,
        })
    }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// The null-terminated array of pointers that execve(2) takes; it lives as long as `strings`.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let all = strings.iter().map(|string| string.as_ptr());
    all.chain(std::iter::once(std::ptr::null())).collect()
}

/// Forks; the new process carries out the plan.
fn fork_and_run(plan: &mut child::Plan<'_>) -> io::Result<i32> {
    // SAFETY: the new process does nothing but `Plan::run`, which makes async-signal-safe calls only.
    unsafe { fork_masked(|| plan.run()) }
}

/// Forks with every signal blocked, so that no handler of this process runs in the new one, which
/// runs `body` and has its signals blocked until that changes it.
///
/// # Safety
/// `body` never returns, and does in a process whose other threads are gone only what may be done there
/// (signal-safety(7)).
unsafe fn fork_masked(body: impl FnOnce()) -> io::Result<i32> {
    let mask = signals::replace_mask(&signals::signal_set(true))?;
    // SAFETY: the new process does nothing but what the function's contract allows.
    let forked = check(unsafe { libc::fork() });
    if let Ok(0) = forked {
        body();
    }
    signals::replace_mask(&mask)?;
    forked
}
