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
use crate::options::{
    ApplicationType, FileOptions, LogOptions, PoolOptions, ServerOptions, ServiceOptions,
};

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
    /// A file that an option names is not there.
    #[error("{what} {} is not a file", .path.display())]
    NoFile {
        /// The option, or what the file is.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// An account or group for a service that is not there.
    #[error("{option} {name}: there is no --service-script of that name")]
    NoService {
        /// The option.
        option: &'static str,
        /// The name it gives.
        name: String,
    },
    /// A port for TLS, and nothing to prove who we are with.
    #[error(
        "--https-port needs --ssl-certificate, or --ssl-certificate-file and --ssl-certificate-key-file"
    )]
    NoCertificate,
    /// No program that rotates logs.
    #[error("rotatelogs was not found; name it with --rotatelogs-executable")]
    NoRotatelogs,
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
    /// Through a program that begins a new file when one has reached its size.
    Rotated {
        /// The program.
        program: PathBuf,
        /// The first file.
        file: PathBuf,
        /// The size in MB.
        megabytes: u32,
    },
}

/// A script that runs beside the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The script.
    pub script: PathBuf,
    /// The account it runs as, if it was said.
    pub user: Option<String>,
    /// The group it runs as, if it was said.
    pub group: Option<String>,
}

/// What a server proves who it is with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate.
    pub file: PathBuf,
    /// Its key.
    pub key: PathBuf,
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
    /// URLs and what is served below them.
    pub url_aliases: Vec<(String, PathBuf)>,
    /// Extensions of files and the scripts that answer for them.
    pub handlers: Vec<(String, PathBuf)>,
    /// Scripts that run beside the application.
    pub services: Vec<Service>,
    /// The types of files.
    pub mime_types: PathBuf,
    /// The certificate, if there is a port for TLS.
    pub certificate: Option<Certificate>,
    /// The shell code that sets up Apache's environment.
    pub envvars: PathBuf,
    /// The error log.
    pub error_log: Log,
    /// The access log.
    pub access_log: Option<Log>,
    /// The log of what goes wrong before the error log is open.
    pub startup_log: Option<PathBuf>,
}

impl Server {
    /// Decides all that the options leave open. `foreground` servers log to the terminal unless
    /// a directory was named.
    pub fn resolve(
        options: &ServerOptions,
        root: &ServerRoot,
        foreground: bool,
    ) -> Result<Self, ServerError> {
        let modules = modules_directory(&options.files)?;
        let httpd = match &options.files.httpd_executable {
            Some(program) => program.clone(),
            None => locate::httpd()?,
        };
        let logs = Logs::of(&options.logs, root, foreground, &httpd)?;
        check_files(options)?;
        let app = &options.app;
        let active_venv = || env::var_os("VIRTUAL_ENV").map(PathBuf::from);
        let python_home = app.python_home.clone().or_else(active_venv);
        Ok(Server {
            httpd,
            wsgi_module: locate::module(&modules)?,
            modules,
            root: root.path().to_owned(),
            identity: identity(&options.pool)?,
            script: script(options, root)?,
            working_directory: match &app.working_directory {
                Some(directory) => directory.clone(),
                None => absolute(Path::new("."))?,
            },
            python_home: python_home.as_deref().map(absolute).transpose()?,
            url_aliases: pairs(&options.content.url_alias)?,
            handlers: pairs(&options.content.add_handler)?,
            services: services(&options.services)?,
            mime_types: options
                .content
                .mime_types
                .clone()
                .unwrap_or_else(mime_types),
            certificate: certificate(options)?,
            envvars: match &options.files.envvars_script {
                Some(file) => file.clone(),
                None => root.file(layout::ENVVARS),
            },
            error_log: logs.target(&options.logs.error_log_name),
            access_log: (options.logs.access_log)
                .then(|| logs.target(&options.logs.access_log_name)),
            startup_log: (options.logs.startup_log).then(|| {
                let directory = logs.directory.as_deref().unwrap_or(root.path());
                directory.join(&options.logs.startup_log_name)
            }),
        })
    }
}

/// Where Apache's own modules are.
pub fn modules_directory(files: &FileOptions) -> Result<PathBuf, LocateError> {
    match &files.modules_directory {
        Some(directory) => Ok(directory.clone()),
        None => locate::modules_directory(),
    }
}

/// Where the logs go.
struct Logs {
    directory: Option<PathBuf>,
    rotation: Option<(PathBuf, u32)>,
}

impl Logs {
    fn of(
        options: &LogOptions,
        root: &ServerRoot,
        foreground: bool,
        httpd: &Path,
    ) -> Result<Self, ServerError> {
        let directory = match &options.log_directory {
            Some(directory) => Some(directory.clone()),
            None if options.log_to_terminal => None,
            None if foreground && !options.rotate_logs => None,
            None => Some(root.path().to_owned()),
        };
        let rotation = match (options.rotate_logs, &options.rotatelogs_executable) {
            (false, _) => None,
            (true, Some(program)) => Some(program.clone()),
            (true, None) => Some(locate::rotatelogs(httpd).ok_or(ServerError::NoRotatelogs)?),
        };
        Ok(Logs {
            directory,
            rotation: rotation.map(|program| (program, options.max_log_size)),
        })
    }

    fn target(&self, name: &str) -> Log {
        let Some(directory) = &self.directory else {
            return terminal();
        };
        let file = directory.join(name);
        match &self.rotation {
            None => Log::File(file),
            Some((program, megabytes)) => Log::Rotated {
                program: program.clone(),
                file,
                megabytes: *megabytes,
            },
        }
    }
}

/// Refuses what httpd would refuse later, with the name of the option.
fn check_files(options: &ServerOptions) -> Result<(), ServerError> {
    let (tls, access, files) = (&options.tls, &options.access, &options.files);
    let named = [
        ("--ssl-ca-certificate-file", &tls.ssl_ca_certificate_file),
        (
            "--ssl-certificate-chain-file",
            &tls.ssl_certificate_chain_file,
        ),
        ("--host-access-script", &access.host_access_script),
        ("--auth-user-script", &access.auth_user_script),
        ("--auth-group-script", &access.auth_group_script),
        ("--rewrite-rules", &options.content.rewrite_rules),
        ("--mime-types", &options.content.mime_types),
        ("--envvars-script", &files.envvars_script),
        ("--httpd-executable", &files.httpd_executable),
        (
            "--rotatelogs-executable",
            &options.logs.rotatelogs_executable,
        ),
    ];
    for (what, path) in named {
        if let Some(path) = path {
            file(what, path)?;
        }
    }
    for path in &options.content.include_file {
        file("--include-file", path)?;
    }
    Ok(())
}

fn file(what: &'static str, path: &Path) -> Result<PathBuf, ServerError> {
    let path = path.to_owned();
    if path.is_file() {
        Ok(path)
    } else {
        Err(ServerError::NoFile { what, path })
    }
}

fn certificate(options: &ServerOptions) -> Result<Option<Certificate>, ServerError> {
    let tls = &options.tls;
    if tls.https_port.is_none() {
        return Ok(None);
    }
    let with = |stem: &Path, extension: &str| {
        let mut name = stem.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let (certificate, key) = match (
        &tls.ssl_certificate,
        &tls.ssl_certificate_file,
        &tls.ssl_certificate_key_file,
    ) {
        (Some(stem), ..) => (with(stem, ".crt"), with(stem, ".key")),
        (None, Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => return Err(ServerError::NoCertificate),
    };
    Ok(Some(Certificate {
        file: file("the certificate", &certificate)?,
        key: file("the certificate's key", &key)?,
    }))
}

/// The path from the root, without `.` in it; links in it are left as they are.
pub fn absolute(path: &Path) -> Result<PathBuf, ServerError> {
    path::absolute(path).map_err(|source| ServerError::Absolute {
        path: path.to_owned(),
        source,
    })
}

fn pairs(words: &[String]) -> Result<Vec<(String, PathBuf)>, ServerError> {
    let pair = |pair: &[String]| Ok((pair[0].clone(), absolute(Path::new(&pair[1]))?));
    words.chunks_exact(2).map(pair).collect()
}

fn services(options: &ServiceOptions) -> Result<Vec<Service>, ServerError> {
    let of = |words: &[String], name: &str| {
        let mut pairs = words.chunks_exact(2);
        pairs
            .rfind(|pair| pair[0] == name)
            .map(|pair| pair[1].clone())
    };
    let mut services = Vec::new();
    for (name, script) in pairs(&options.service_script)? {
        services.push(Service {
            script: file("--service-script", &script)?,
            user: of(&options.service_user, &name),
            group: of(&options.service_group, &name),
            name,
        });
    }
    let named = [
        ("--service-user", &options.service_user),
        ("--service-group", &options.service_group),
    ];
    for (option, words) in named {
        for pair in words.chunks_exact(2) {
            if !services.iter().any(|service| service.name == pair[0]) {
                let name = pair[0].clone();
                return Err(ServerError::NoService { option, name });
            }
        }
    }
    Ok(services)
}

fn script(options: &ServerOptions, root: &ServerRoot) -> Result<PathBuf, ServerError> {
    match options.app.name() {
        Some(path) if options.app.application_type == ApplicationType::Script => {
            file("the script", &absolute(Path::new(path))?)
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

fn identity(options: &PoolOptions) -> Result<Option<Identity>, ServerError> {
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
