//! Starts one daemon: which interpreter, which arguments, which environment, as whom.
//!
//! Runs in the monitor. It does not watch what it started, and tries once per call.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wsgi_unix::accounts::{self, Account};
use wsgi_unix::spawn::{Command, Identity, StartError, Step};
use wsgi_unix::{memory, pipe};
use wsgi_wire::launch::{DaemonConfig, GroupSpec, Message, MonitorConfig, PythonFlags, daemon_fd};

use crate::config::GroupDescriptors;

/// What the interpreter executes: it loads the gateway from its path, so `sys.path` is left alone,
/// and never comes back. A free-threaded build would crash in a library of the stable ABI.
const BOOTSTRAP: &str = "import importlib.util as u,sys;\
    't' in sys.abiflags and sys.exit(sys.executable+' is a free-threaded build of Python, which \
    mod_wsgi_rs cannot use: name another one with python-home or WSGIPythonHome');\
    s=u.spec_from_file_location(\"_wsgi_gateway\",sys.argv[1]);\
    m=u.module_from_spec(s);s.loader.exec_module(m);m.run_daemon()";

/// Spaces as the last argument, bytes: room that the daemon overwrites with its title.
const TITLE_ROOM: usize = 128;

/// PATH of every daemon, and where an interpreter given by name is looked for.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The umask of groups without the option.
const DEFAULT_UMASK: u32 = 0o022;

/// The names an interpreter has under `python-home`, the usual one first.
const HOME_INTERPRETERS: [&str; 2] = ["bin/python", "bin/python3"];

/// Why a daemon did not start.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// No interpreter of this name is on the search path.
    #[error("no program {name:?} in {SEARCH_PATH}; name one with python-home")]
    NoInterpreter { name: String },
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
    /// The interpreter did not start; the error names the step and the path.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Starts daemons; holds what all of them share.
pub struct Launcher {
    gateway: Vec<u8>,
    default_python: Vec<u8>,
    client_uid: u32,
    nothing: File,
    error_log: OwnedFd,
    /// At its end for daemons when this process is gone, however it went.
    lifeline: OwnedFd,
    /// The other end, held and never written.
    _held: OwnedFd,
    /// Who this process runs as, for groups without an account of their own.
    own_account: Option<Account>,
    /// The server's locale and time zone: every daemon's, unless options say otherwise.
    locale: Vec<(String, Vec<u8>)>,
}

impl Launcher {
    /// Prepares what all daemons share.
    pub fn new(config: &MonitorConfig) -> io::Result<Launcher> {
        let (lifeline, held) = pipe::pair()?;
        Ok(Launcher {
            gateway: config.gateway.clone(),
            default_python: config.default_python.clone(),
            client_uid: config.client_uid,
            nothing: File::open("/dev/null")?,
            error_log: io::stderr().as_fd().try_clone_to_owned()?,
            lifeline,
            _held: held,
            own_account: accounts::by_uid(accounts::own_uid())?,
            locale: server_locale(),
        })
    }

    /// Starts the group's process number `slot` and answers its id.
    pub fn start(
        &self,
        spec: &GroupSpec,
        shared: &GroupDescriptors,
        slot: u32,
    ) -> Result<i32, LaunchError> {
        let message = self.daemon_config(spec, slot).to_bytes();
        let config = memory::sealed_blob(c"wsgi-daemon", &message).map_err(LaunchError::Config)?;
        let identity = spec.identity.as_ref().map(resolve).transpose()?;
        let mut missing = None;
        for program in self.interpreters(spec)? {
            let mut command = self.command(&program, spec, shared, config.as_fd());
            if let Some(identity) = &identity {
                command.identity(identity.clone());
            }
            match command.start() {
                Err(error) if is_missing(&error) => missing = missing.or(Some(error)),
                result => return Ok(result?),
            }
        }
        Err(missing.map_or_else(
            || LaunchError::NoInterpreter {
                name: String::from_utf8_lossy(&self.default_python).into_owned(),
            },
            LaunchError::Start,
        ))
    }

    fn daemon_config(&self, spec: &GroupSpec, slot: u32) -> DaemonConfig {
        DaemonConfig {
            gateway: spec.gateway.clone(),
            slot,
            client_uid: self.client_uid,
            settings: spec.daemon.clone(),
        }
    }

    /// The paths to try, in order. The path tells Python which environment it belongs to, so it
    /// must be the environment's own and not what a link there points at.
    fn interpreters(&self, spec: &GroupSpec) -> Result<Vec<PathBuf>, LaunchError> {
        if let Some(home) = &spec.python_home {
            let home = Path::new(OsStr::from_bytes(home));
            return Ok(HOME_INTERPRETERS.map(|name| home.join(name)).into());
        }
        let name = Path::new(OsStr::from_bytes(&self.default_python));
        if self.default_python.contains(&b'/') {
            return Ok(vec![name.to_owned()]);
        }
        Ok(search(name).into_iter().collect())
    }

    fn command<'a>(
        &'a self,
        program: &Path,
        spec: &GroupSpec,
        shared: &'a GroupDescriptors,
        config: BorrowedFd<'a>,
    ) -> Command<'a> {
        let mut command = Command::new(program);
        add_flags(&mut command, &spec.python);
        command
            .argument("-c")
            .argument(BOOTSTRAP)
            .argument(self.gateway.clone())
            .argument(vec![b' '; TITLE_ROOM])
            .descriptor(self.nothing.as_fd(), 0)
            .descriptor(self.error_log.as_fd(), 1)
            .descriptor(self.error_log.as_fd(), 2)
            .descriptor(config, daemon_fd::CONFIG)
            .descriptor(shared.listener.as_fd(), daemon_fd::LISTENER)
            .descriptor(shared.hints.as_fd(), daemon_fd::HINTS)
            .descriptor(self.lifeline.as_fd(), daemon_fd::LIFELINE)
            .umask(spec.process.umask.unwrap_or(DEFAULT_UMASK))
            .session()
            .parent_death_signal(libc::SIGTERM);
        self.set_environment(&mut command, spec);
        self.set_directory(&mut command, spec);
        command
    }

    /// Nothing of httpd's environment but where it is and how it speaks.
    fn set_environment(&self, command: &mut Command<'_>, spec: &GroupSpec) {
        command.variable("PATH", SEARCH_PATH.as_bytes());
        let account = match (&spec.identity, &self.own_account) {
            (Some(identity), _) => Some((&identity.name, &identity.home)),
            (None, Some(own)) => Some((&own.name, &own.home)),
            (None, None) => None,
        };
        if let Some((name, home)) = account {
            command.variable("HOME", home);
            command.variable("USER", name).variable("LOGNAME", name);
        }
        for (name, value) in spec.python.variables() {
            command.variable(name, value);
        }
        // LC_ALL and the LC_ variables outrank LANG, so an option replaces all of the server's.
        let replaced = spec.daemon.lang.is_some() || spec.daemon.locale.is_some();
        for (name, value) in &self.locale {
            if !replaced || name == "TZ" {
                command.variable(name, value);
            }
        }
        for (name, value) in [("LANG", &spec.daemon.lang), ("LC_ALL", &spec.daemon.locale)] {
            if let Some(value) = value {
                command.variable(name, value);
            }
        }
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

/// Finds an account's groups now, so that a change of membership counts for the next process.
fn resolve(identity: &wsgi_wire::launch::Identity) -> Result<Identity, LaunchError> {
    let groups = accounts::supplementary_groups(&identity.name, identity.gid);
    let groups = groups.map_err(|source| LaunchError::Groups {
        account: String::from_utf8_lossy(&identity.name).into_owned(),
        source,
    })?;
    Ok(Identity {
        uid: identity.uid,
        gid: identity.gid,
        groups,
    })
}

fn is_missing(error: &StartError) -> bool {
    error.step == Step::Execute && error.source.kind() == io::ErrorKind::NotFound
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

/// LANG, TZ and the LC_ variables of this process, which httpd's parent passed on.
fn server_locale() -> Vec<(String, Vec<u8>)> {
    let wanted = |name: &str| matches!(name, "LANG" | "TZ") || name.starts_with("LC_");
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.as_bytes().to_vec())))
        .filter(|(name, _)| wanted(name))
        .collect()
}
