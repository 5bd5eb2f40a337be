//! What the options mean on this machine: every path absolute, every default decided.
//!
//! Runs in the command. Between the options, which are what the user wrote, and the rendering,
//! which asks nothing of the machine, so that it can be tested.

use std::env;
use std::fs::OpenOptions;
use std::io;
use std::path::{self, Path, PathBuf};

use wsgi_unix::accounts;

use crate::layout::{self, ServerRoot};
use crate::locate::{self, LocateError};
use crate::options::{ApplicationType, ServerOptions};

/// Accounts Apache runs as: Debian, RHEL, Arch, others.
const APACHE_USERS: &[&str] = &["www-data", "apache", "http", "daemon", "nobody"];

/// Where systems keep the types of files.
const MIME_TYPES: &[&str] = &[
    "/etc/mime.types",
    "/etc/apache2/mime.types",
    "/etc/httpd/conf/mime.types",
];

/// The options cannot be met on this machine.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A part of Apache or of ours is missing.
    #[error("the server cannot be set up")]
    Locate(#[from] LocateError),
    /// A path could not be made absolute.
    #[error("the path {} cannot be made absolute", .path.display())]
    Absolute {
        /// The path as it was written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The script is not there.
    #[error("the script {} is not a file", .path.display())]
    NoScript {
        /// The script.
        path: PathBuf,
    },
    /// The account database could not be read.
    #[error("the account '{name}' cannot be looked up")]
    Lookup {
        /// The account or group.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such account.
    #[error("there is no account '{name}'")]
    NoAccount {
        /// What was looked for.
        name: String,
    },
    /// Another account was asked for by one that cannot change to it.
    #[error("only root can run the server as '{name}'")]
    NotRoot {
        /// The account or group asked for.
        name: String,
    },
}

/// Whom Apache's children run as; only for a server that root starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: String,
    /// The group: a name, or `#` and a number.
    pub group: String,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Log {
    /// To a file or device.
    File(PathBuf),
    /// Through a process to standard error, which is a socket and cannot be opened by name.
    Piped,
}

/// A server as it will run.
#[derive(Debug)]
pub struct Server {
    /// The httpd program.
    pub httpd: PathBuf,
    /// The directory of Apache's modules.
    pub modules: PathBuf,
    /// Our module.
    pub wsgi_module: PathBuf,
    /// The server root.
    pub root: PathBuf,
    /// Whom Apache's children run as.
    pub identity: Option<Identity>,
    /// The script to load.
    pub script: PathBuf,
    /// The application starts here.
    pub working_directory: PathBuf,
    /// What runs the application, if it was said.
    pub python_home: Option<PathBuf>,
    /// Further directories to import from.
    pub python_path: Vec<PathBuf>,
    /// Documents.
    pub document_root: Option<PathBuf>,
    /// URLs and what is served below them.
    pub url_aliases: Vec<(String, PathBuf)>,
    /// Files with further directives.
    pub includes: Vec<PathBuf>,
    /// The types of files.
    pub mime_types: PathBuf,
    /// The error log.
    pub error_log: Log,
    /// The access log.
    pub access_log: Option<Log>,
}

impl Server {
    /// Decides all that the options leave open. `foreground` servers log to the terminal unless
    /// a directory was named.
    pub fn resolve(
        options: &ServerOptions,
        root: &ServerRoot,
        foreground: bool,
    ) -> Result<Self, ServerError> {
        let modules = match &options.modules_directory {
            Some(directory) => absolute(directory)?,
            None => locate::modules_directory()?,
        };
        let log_directory = match &options.log_directory {
            Some(directory) => Some(absolute(directory)?),
            None if foreground || options.log_to_terminal => None,
            None => Some(root.path().to_owned()),
        };
        let log = |name| match &log_directory {
            Some(directory) => Log::File(directory.join(name)),
            None => terminal(),
        };
        let active_venv = env::var_os("VIRTUAL_ENV").map(PathBuf::from);
        let python_home = options.python_home.clone().or(active_venv);
        let working_directory = options.working_directory.as_deref();
        Ok(Server {
            httpd: match &options.httpd_executable {
                Some(program) => absolute(program)?,
                None => locate::httpd()?,
            },
            wsgi_module: locate::module(&modules)?,
            modules,
            root: root.path().to_owned(),
            identity: identity(options)?,
            script: script(options, root)?,
            working_directory: absolute(working_directory.unwrap_or(Path::new(".")))?,
            python_home: python_home.as_deref().map(absolute).transpose()?,
            python_path: all_absolute(&options.python_path)?,
            document_root: options.document_root.as_deref().map(absolute).transpose()?,
            url_aliases: url_aliases(&options.url_alias)?,
            includes: all_absolute(&options.include_file)?,
            mime_types: mime_types(),
            error_log: log("error_log"),
            access_log: options.access_log.then(|| log("access_log")),
        })
    }
}

/// The path from the root, without `.` in it; links in it are left as they are.
pub fn absolute(path: &Path) -> Result<PathBuf, ServerError> {
    path::absolute(path).map_err(|source| ServerError::Absolute {
        path: path.to_owned(),
        source,
    })
}

fn all_absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ServerError> {
    paths.iter().map(|path| absolute(path)).collect()
}

fn url_aliases(words: &[String]) -> Result<Vec<(String, PathBuf)>, ServerError> {
    let pair = |pair: &[String]| Ok((pair[0].clone(), absolute(Path::new(&pair[1]))?));
    words.chunks_exact(2).map(pair).collect()
}

fn script(options: &ServerOptions, root: &ServerRoot) -> Result<PathBuf, ServerError> {
    match &options.application {
        Some(path) if options.application_type == ApplicationType::Script => {
            let path = absolute(Path::new(path))?;
            if path.is_file() {
                Ok(path)
            } else {
                Err(ServerError::NoScript { path })
            }
        }
        _ => Ok(root.file(layout::SCRIPT)),
    }
}

fn mime_types() -> PathBuf {
    let found = MIME_TYPES.iter().map(Path::new).find(|path| path.is_file());
    found.unwrap_or(Path::new("/dev/null")).to_owned()
}

/// Standard error by name, so that Apache opens it itself; systemd hands out a socket, which
/// cannot be opened.
fn terminal() -> Log {
    let device = Path::new("/dev/stderr");
    match OpenOptions::new().append(true).open(device) {
        Ok(_) => Log::File(device.to_owned()),
        Err(_) => Log::Piped,
    }
}

fn identity(options: &ServerOptions) -> Result<Option<Identity>, ServerError> {
    let account = |name: &str| {
        accounts::by_name(name.as_bytes()).map_err(|source| ServerError::Lookup {
            name: name.to_owned(),
            source,
        })
    };
    if !accounts::is_root() {
        let user = options.user.as_deref();
        let own = |name: &str| account(name).map(|found| found.map(|found| found.uid));
        return match (user, options.group.as_deref()) {
            (Some(name), _) if own(name)? != Some(accounts::own_uid()) => {
                let name = name.to_owned();
                Err(ServerError::NotRoot { name })
            }
            (_, Some(name)) => {
                let name = name.to_owned();
                Err(ServerError::NotRoot { name })
            }
            _ => Ok(None),
        };
    }
    let candidates = match options.user.as_deref() {
        Some(user) => vec![user],
        None => APACHE_USERS.to_vec(),
    };
    for name in &candidates {
        if let Some(found) = account(name)? {
            let primary = format!("#{}", found.gid);
            return Ok(Some(Identity {
                user: (*name).to_owned(),
                group: options.group.clone().unwrap_or(primary),
            }));
        }
    }
    Err(ServerError::NoAccount {
        name: candidates.join("', '"),
    })
}
