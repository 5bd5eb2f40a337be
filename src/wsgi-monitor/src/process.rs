//! Starts one daemon: which interpreter, which arguments, which environment, as whom.
//!
//! Runs in the monitor, and what may have to wait for files in the process that becomes the daemon
//! ([`apart`]). It does not watch what it started, and tries once per call.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;
use wsgi_config::env_file::Variable;
use wsgi_unix::accounts::{self, Account};
use wsgi_unix::log::{self, Level};
use wsgi_unix::spawn::apart::{self, Begun};
use wsgi_unix::spawn::{Command, Identity, Limit, Resource};
use wsgi_unix::{memory, packet};
use wsgi_wire::launch::{
    DaemonConfig, GroupSpec, HOME_INTERPRETERS, Message, MonitorConfig, PythonFlags, SEARCH_PATH,
    daemon_fd,
};
use wsgi_wire::supervision::Inheritance;

use crate::chain;
use crate::config::{self, GroupDescriptors};
use crate::environment::{self, EnvironmentError};

/// What the interpreter executes: it loads the gateway from its path, so `sys.path` is left alone,
/// and never comes back. `importlib.util` has the same functions of the import system, but a tenth of a
/// process's start is spent on importing it. A free-threaded build would crash in a library of the
/// stable ABI, and an old Python, which must understand this line, would say no more than that a
/// symbol is missing. After a fatal signal Python's stack is in the log.
const BOOTSTRAP: &str = "import sys;\
    sys.version_info<(3,10) and sys.exit(sys.executable+' is Python %d.%d'%sys.version_info[:2]+\
    ', and mod_wsgi_rs needs 3.10 or later: name another one with python-home or WSGIPythonHome');\
    import _frozen_importlib as i,_frozen_importlib_external as e;\
    't' in sys.abiflags and sys.exit(sys.executable+' is a free-threaded build of Python, which \
    mod_wsgi_rs cannot use: name another one with python-home or WSGIPythonHome');\
    import faulthandler as f;f.enable();\
    s=e.spec_from_file_location(\"_wsgi_gateway\",sys.argv[1]);\
    m=i.module_from_spec(s);s.loader.exec_module(m);m.run_daemon()";

/// Spaces as the last argument, bytes: room that the daemon overwrites with its title.
const TITLE_ROOM: usize = 128;

/// The umask of groups without the option.
const DEFAULT_UMASK: u32 = 0o022;

/// How long the start of a process is waited for, which usually takes milliseconds. One that takes
/// longer counts as started; should it fail, its end tells.
const PATIENCE: Duration = Duration::from_secs(1);

/// The same for a while after one was not waited for: whatever holds it up may hold up more.
const LITTLE_PATIENCE: Duration = Duration::from_millis(50);

/// That while.
const SLOW: Duration = Duration::from_secs(60);

/// Why a process cannot become a daemon.
#[derive(Debug, Error)]
enum PrepareError {
    /// No interpreter of this name is on the search path.
    #[error("no program {name:?} in {SEARCH_PATH}; name one with python-home")]
    NoInterpreter { name: String },
    /// Its environment cannot be made.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

/// Why a daemon did not start.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The account's groups cannot be found.
    #[error("cannot find the groups of account {account:?}")]
    Groups {
        account: String,
        #[source]
        source: io::Error,
    },
    /// The daemon's configuration cannot be handed over.
    #[error("cannot hand the daemon its configuration")]
    Config(#[source] io::Error),
    /// There is no way to hear of the daemon.
    #[error("cannot make the daemon's channel")]
    Channel(#[source] io::Error),
    /// There is no process for it.
    #[error("cannot make a process")]
    Fork(#[source] io::Error),
    /// The process could not become a daemon, and has said why.
    #[error("{0}")]
    Failed(String),
}

/// A daemon that was started.
pub struct Started {
    /// Its process id.
    pub pid: i32,
    /// Our end of its channel. Daemons see its end when this process is gone, however it went.
    pub channel: OwnedFd,
}

/// What a process is started as.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// One that serves requests.
    Daemon {
        /// Its row in the hint page.
        slot: u32,
        /// What it is to load because others of its group have.
        inheritance: Option<&'a Inheritance>,
    },
    /// One from which others are forked.
    Zygote,
}

/// What a new process is handed, and our end of its channel.
pub struct Handed {
    /// Its configuration.
    pub config: OwnedFd,
    /// Its end.
    pub theirs: OwnedFd,
    /// Ours.
    pub channel: OwnedFd,
}

/// Starts daemons; holds what all of them share.
pub struct Launcher {
    gateway: Vec<u8>,
    default_python: Vec<u8>,
    client_uid: u32,
    /// How many descriptors a daemon may have open.
    open_files: u64,
    nothing: File,
    error_log: OwnedFd,
    /// Who this process runs as, for groups without an account of their own.
    own_account: Option<Account>,
    /// The server's locale and time zone: every daemon's, unless options say otherwise.
    locale: Vec<Variable>,
    /// Until then starts are waited for with little patience.
    slow_until: Cell<Option<Instant>>,
}

impl Launcher {
    /// Prepares what all daemons share.
    pub fn new(config: &MonitorConfig) -> io::Result<Launcher> {
        Ok(Launcher {
            gateway: config.gateway.clone(),
            default_python: config.default_python.clone(),
            client_uid: config.client_uid,
            open_files: config.open_files,
            nothing: File::open("/dev/null")?,
            error_log: io::stderr().as_fd().try_clone_to_owned()?,
            own_account: accounts::by_uid(accounts::own_uid())?,
            locale: environment::server_locale(),
            slow_until: Cell::new(None),
        })
    }

    /// Makes what a process of the group is handed.
    pub fn hand(&self, spec: &GroupSpec, part: Part<'_>) -> Result<Handed, LaunchError> {
        let message = self.daemon_config(spec, part).to_bytes();
        let config = memory::sealed_blob(c"wsgi-daemon", &message).map_err(LaunchError::Config)?;
        let (channel, theirs) = packet::pair().map_err(LaunchError::Channel)?;
        Ok(Handed {
            config,
            theirs,
            channel,
        })
    }

    /// Starts a process of the group.
    pub fn start(
        &self,
        spec: &GroupSpec,
        shared: &GroupDescriptors,
        part: Part<'_>,
    ) -> Result<Started, LaunchError> {
        let Handed {
            config,
            theirs,
            channel,
        } = self.hand(spec, part)?;
        let handed = [config.as_fd(), theirs.as_fd()];
        let identity = identity_of(spec)?;
        let kept = [
            self.nothing.as_fd(),
            self.log_of(shared),
            shared.listener.as_fd(),
            shared.hints.as_fd(),
            config.as_fd(),
            theirs.as_fd(),
        ];
        let begun = apart::start(self.patience(), &kept, |report| {
            match self.prepare(spec, identity, shared, handed) {
                Ok(command) => chain(&command.execute(report)),
                Err(error) => chain(&error),
            }
        });
        match begun.map_err(LaunchError::Fork)? {
            Begun::Running(pid) => Ok(Started { pid, channel }),
            Begun::Preparing(pid) => {
                self.slow_until.set(Some(Instant::now() + SLOW));
                let group = config::name_of(spec);
                let line = format!(
                    "process group '{group}': process {pid} is held up before it is a daemon, \
                     perhaps by a file system that does not answer; nobody waits for it"
                );
                log::line_to(self.log_of(shared), Level::Warn, &line);
                Ok(Started { pid, channel })
            }
            Begun::Failed(reason) => Err(LaunchError::Failed(reason)),
        }
    }

    fn patience(&self) -> Duration {
        match self
            .slow_until
            .get()
            .is_some_and(|until| Instant::now() < until)
        {
            true => LITTLE_PATIENCE,
            false => PATIENCE,
        }
    }

    /// Where the group's processes write what nobody else takes.
    fn log_of<'a>(&'a self, shared: &'a GroupDescriptors) -> BorrowedFd<'a> {
        shared.error_log.as_ref().unwrap_or(&self.error_log).as_fd()
    }

    /// What the new process becomes. Runs there: files are read and links followed that may be anywhere.
    fn prepare<'a>(
        &'a self,
        spec: &'a GroupSpec,
        identity: Option<Identity>,
        shared: &'a GroupDescriptors,
        handed: [BorrowedFd<'a>; 2],
    ) -> Result<Command<'a>, PrepareError> {
        let own = self.own_account.as_ref();
        let environment = environment::of_group(spec, identity.as_ref(), own, &self.locale)?;
        let mut programs = self.interpreters(spec).into_iter();
        let Some(first) = programs.next() else {
            let name = String::from_utf8_lossy(&self.default_python).into_owned();
            return Err(PrepareError::NoInterpreter { name });
        };
        let mut command = self.command(&first, spec, shared, handed, &environment);
        for program in programs {
            command.or_program(program);
        }
        if let Some(identity) = identity {
            command.identity(identity);
        }
        Ok(command)
    }

    fn daemon_config(&self, spec: &GroupSpec, part: Part<'_>) -> DaemonConfig {
        let (slot, inheritance) = match part {
            Part::Daemon { slot, inheritance } => (slot, inheritance),
            Part::Zygote => (0, None),
        };
        DaemonConfig {
            gateway: spec.gateway.clone(),
            slot,
            client_uid: spec.socket_uid.unwrap_or(self.client_uid),
            secret: spec.secret,
            settings: spec.daemon.clone(),
            inheritance: inheritance.cloned(),
            zygote: matches!(part, Part::Zygote),
        }
    }

    /// The paths to try, in order. The path tells Python which environment it belongs to, so it
    /// must be the environment's own and not what the link `bin/python` there points at.
    fn interpreters(&self, spec: &GroupSpec) -> Vec<PathBuf> {
        if let Some(home) = &spec.python_home {
            let home = Path::new(OsStr::from_bytes(home));
            // A link may lead to another environment tomorrow, from which a process that runs today
            // must not import; inside of a new root only the process could follow it.
            let resolved = match &spec.process.chroot {
                None => home.canonicalize().ok(),
                Some(_) => None,
            };
            let home = resolved.as_deref().unwrap_or(home);
            return HOME_INTERPRETERS.map(|name| home.join(name)).into();
        }
        let name = Path::new(OsStr::from_bytes(&self.default_python));
        if spec.process.chroot.is_some() {
            // What a link below the new root leads to is known there only.
            let directories = SEARCH_PATH.split(':').map(Path::new);
            return directories.map(|directory| directory.join(name)).collect();
        }
        if self.default_python.contains(&b'/') {
            return vec![name.to_owned()];
        }
        search(name).into_iter().collect()
    }

    fn command<'a>(
        &'a self,
        program: &Path,
        spec: &GroupSpec,
        shared: &'a GroupDescriptors,
        [config, channel]: [BorrowedFd<'a>; 2],
        environment: &[Variable],
    ) -> Command<'a> {
        let log = self.log_of(shared);
        let mut command = Command::new(program);
        add_flags(&mut command, &spec.python);
        command
            .argument("-c")
            .argument(BOOTSTRAP)
            .argument(self.gateway.clone())
            .argument(vec![b' '; TITLE_ROOM])
            .descriptor(self.nothing.as_fd(), 0)
            .descriptor(log, 1)
            .descriptor(log, 2)
            .descriptor(config, daemon_fd::CONFIG)
            .descriptor(shared.listener.as_fd(), daemon_fd::LISTENER)
            .descriptor(shared.hints.as_fd(), daemon_fd::HINTS)
            .descriptor(channel, daemon_fd::MONITOR)
            .umask(spec.process.umask.unwrap_or(DEFAULT_UMASK))
            .open_files(self.open_files)
            .session()
            .parent_death_signal(libc::SIGTERM);
        for (name, value) in environment {
            command.variable(name, value);
        }
        set_bounds(&mut command, spec);
        if let Some(root) = &spec.process.chroot {
            command.root(OsStr::from_bytes(root));
        }
        self.set_directory(&mut command, spec);
        command
    }

    /// The option `home` must do; an account's home is taken if it is there, and an account that
    /// is Apache's own stays out of it, as the document root is often its home.
    fn set_directory(&self, command: &mut Command<'_>, spec: &GroupSpec) {
        match (&spec.gateway.home, &spec.identity) {
            (Some(home), _) => command.directory(OsStr::from_bytes(home)),
            (None, Some(identity)) if identity.uid != self.client_uid => {
                command.directory_or_root(OsStr::from_bytes(&identity.home))
            }
            _ => command.directory("/"),
        };
    }
}

/// What Python is told by options, which the programs that an application starts do not inherit.
fn add_flags(command: &mut Command<'_>, flags: &PythonFlags) {
    for _ in 0..flags.optimize {
        command.argument("-O");
    }
    if flags.dont_write_bytecode {
        command.argument("-B");
    }
    for filter in &flags.warnings.0 {
        command.argument("-W").argument(filter.clone());
    }
}

/// What the group's options bound.
fn set_bounds(command: &mut Command<'_>, spec: &GroupSpec) {
    let process = &spec.process;
    if let Some(priority) = process.cpu_priority {
        command.priority(priority);
    }
    for (resource, bytes) in [
        (Resource::Data, process.memory_limit),
        (Resource::AddressSpace, process.virtual_memory_limit),
    ] {
        if bytes > 0 {
            command.limit(Limit {
                resource,
                soft: bytes,
                hard: bytes,
            });
        }
    }
    if process.cpu_time_limit > 0 {
        let soft = u64::from(process.cpu_time_limit);
        // The daemon ends by itself at the soft limit, within its shutdown-timeout.
        let hard = soft + spec.daemon.shutdown_timeout.as_secs() + 1;
        command.limit(Limit {
            resource: Resource::CpuTime,
            soft,
            hard,
        });
    }
}

/// Whom the group's next process runs as. An account's groups are found now, so that a change of
/// membership counts for it; an account that is gone has none but the one it was configured with.
fn identity_of(spec: &GroupSpec) -> Result<Option<Identity>, LaunchError> {
    let Some(identity) = &spec.identity else {
        return Ok(None);
    };
    let groups = match &spec.process.supplementary_groups {
        Some(groups) => Ok(groups.0.clone()),
        None => accounts::supplementary_groups(&identity.name, identity.gid),
    };
    let groups = groups.map_err(|source| LaunchError::Groups {
        account: String::from_utf8_lossy(&identity.name).into_owned(),
        source,
    })?;
    Ok(Some(Identity {
        uid: identity.uid,
        gid: identity.gid,
        groups,
    }))
}

/// The first executable file of this name on the search path.
fn search(name: &Path) -> Option<PathBuf> {
    let directories = SEARCH_PATH.split(':').map(Path::new);
    let executable = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|status| status.is_file() && status.permissions().mode() & 0o111 != 0)
    };
    directories
        .map(|directory| directory.join(name))
        .find(executable)
}
