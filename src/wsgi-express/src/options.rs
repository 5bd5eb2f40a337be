//! The commands and options, in one table: clap's parser, help and checks all come from it.
//!
//! Names and defaults are those of mod_wsgi-express where the meaning is the same. An option of
//! the original that does not work here is absent, so that it is refused and never ignored.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Writes a ready server root for one application and runs Apache on it.
#[derive(Debug, Parser)]
#[command(name = "wsgi-express", version)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Write a server root and run Apache on it in the foreground
    #[command(args_override_self = true)]
    StartServer(Box<ServerOptions>),
    /// Write a server root and say how to run it
    #[command(args_override_self = true)]
    SetupServer(Box<ServerOptions>),
    /// Print the directives that load the module into another Apache
    ModuleConfig,
    /// Print the path of the module
    ModuleLocation,
}

/// How the positional argument names the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApplicationType {
    /// A file of Python code
    Script,
    /// The dotted name of a Python module
    Module,
}

/// Apache's ways to share work among processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mpm {
    /// Threads, idle connections without one
    Event,
    /// Threads, one per connection
    Worker,
    /// Processes, one per connection
    Prefork,
}

impl Mpm {
    /// The name as Apache's modules use it.
    pub fn name(self) -> &'static str {
        match self {
            Mpm::Event => "event",
            Mpm::Worker => "worker",
            Mpm::Prefork => "prefork",
        }
    }
}

/// Apache's log levels, by Apache's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Notice,
    Info,
    Debug,
    Trace1,
}

/// The options of a server.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// The application: a script, or a module with --application-type module; absent: a page
    /// that says the server works
    pub application: Option<String>,

    /// How the application is named
    #[arg(long, value_enum, default_value = "script")]
    pub application_type: ApplicationType,

    /// The global of the script or module that is called
    #[arg(long, value_name = "NAME", default_value = "application")]
    pub callable_object: String,

    /// The directory the application starts in and imports from first [default: the current one]
    #[arg(long, value_name = "DIRECTORY")]
    pub working_directory: Option<PathBuf>,

    /// The URL below which the application answers
    #[arg(long, value_name = "URL", default_value = "/")]
    pub mount_point: String,

    /// The interpreter: %{GLOBAL} is the main one
    #[arg(long, value_name = "NAME", default_value = "%{GLOBAL}")]
    pub application_group: String,

    /// The name of the daemon processes [default: host:port]
    #[arg(long, value_name = "NAME", conflicts_with = "embedded_mode")]
    pub process_group: Option<String>,

    /// The address to listen on [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,

    /// The port to listen on
    #[arg(long, default_value_t = 8000)]
    pub port: u16,

    /// The name of the server, for redirects and logs [default: the host, or localhost]
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,

    /// Seconds a connection is kept for another request
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub keep_alive_timeout: u32,

    /// Connections that may wait for Apache
    #[arg(long, value_name = "NUMBER", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub server_backlog: u32,

    /// How Apache shares connections among processes and threads
    #[arg(
        long = "server-mpm",
        visible_alias = "mpm",
        value_enum,
        default_value = "event"
    )]
    pub mpm: Mpm,

    /// Processes that run the application; stating it makes wsgi.multiprocess true
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub processes: Option<u32>,

    /// Requests each of them runs at once
    #[arg(long, value_name = "NUMBER", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub threads: u32,

    /// Connections Apache handles at once [default: 10 and half as many again as run at once]
    #[arg(long, value_name = "NUMBER", conflicts_with = "embedded_mode",
          value_parser = clap::value_parser!(u32).range(1..=20000))]
    pub max_clients: Option<u32>,

    /// Largest request body in bytes; 0: any
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760)]
    pub limit_request_body: u64,

    /// Run the application inside Apache's own processes
    #[arg(long)]
    pub embedded_mode: bool,

    /// The virtual environment or prefix that runs the application [default: the active virtual
    /// environment, else python3 of the system]
    #[arg(long, value_name = "DIRECTORY")]
    pub python_home: Option<PathBuf>,

    /// A directory to import from; may be repeated
    #[arg(long, value_name = "DIRECTORY")]
    pub python_path: Vec<PathBuf>,

    /// The account to run as when started by root [default: Apache's on this system]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// The group to run as when started by root [default: the primary group of the account]
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    /// The locale of the application
    #[arg(long, value_name = "NAME", conflicts_with = "embedded_mode")]
    pub locale: Option<String>,

    /// Seconds the application may take to load; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub startup_timeout: u32,

    /// Seconds running requests have at shutdown; 0: any
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub shutdown_timeout: u32,

    /// Seconds running requests have when a process is replaced
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub graceful_timeout: u32,

    /// Seconds a request may wait for a place in the queue
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub connect_timeout: u32,

    /// Seconds Apache waits for bytes of a client or of the application
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub socket_timeout: u32,

    /// Requests that may wait for the application
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub daemon_backlog: u32,

    /// Files of this directory are served before the application is asked
    #[arg(long, value_name = "DIRECTORY")]
    pub document_root: Option<PathBuf>,

    /// A directory or file served below a URL; may be repeated
    #[arg(long, num_args = 2, value_names = ["URL", "PATH"])]
    pub url_alias: Vec<String>,

    /// Accept request bodies without a declared length
    #[arg(long)]
    pub chunked_request: bool,

    /// Load the application again when a module of it has changed
    #[arg(long)]
    pub reload_on_changes: bool,

    /// Keep running an application whose script has changed
    #[arg(long)]
    pub disable_reloading: bool,

    /// Further directives for Apache; may be repeated
    #[arg(long, value_name = "FILE")]
    pub include_file: Vec<PathBuf>,

    /// The directory to write [default: /tmp/mod_wsgi_rs-host:port:uid]
    #[arg(long, value_name = "DIRECTORY")]
    pub server_root: Option<PathBuf>,

    /// Where Apache's own modules are
    #[arg(long, value_name = "DIRECTORY")]
    pub modules_directory: Option<PathBuf>,

    /// The Apache to run
    #[arg(long, value_name = "FILE")]
    pub httpd_executable: Option<PathBuf>,

    /// The least severe message that is logged
    #[arg(long, value_enum, default_value = "warn")]
    pub log_level: LogLevel,

    /// Log every request
    #[arg(long)]
    pub access_log: bool,

    /// Log to the terminal, as start-server does by default
    #[arg(long, conflicts_with = "log_directory")]
    pub log_to_terminal: bool,

    /// Log to error_log and access_log in this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub log_directory: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn options_of_the_original_that_do_not_work_are_refused() {
        for option in [
            "--maximum-requests=5",
            "--https-port=8443",
            "--queue-timeout=3",
        ] {
            let parsed = Command::try_parse_from(["wsgi-express", "start-server", option]);
            assert!(parsed.is_err(), "{option}");
        }
    }

    #[test]
    fn the_last_value_of_an_option_counts_and_lists_grow() {
        let words = [
            "--port=1",
            "--port=2",
            "--python-path=/a",
            "--python-path=/b",
        ];
        let command = ["wsgi-express", "setup-server"];
        let parsed = Command::try_parse_from(command.iter().chain(&words));
        let Action::SetupServer(options) = parsed.expect("parsed").action else {
            panic!("setup-server");
        };
        assert_eq!((options.port, options.python_path.len()), (2, 2));
    }

    #[test]
    fn the_mpm_has_the_originals_name_and_a_short_one() {
        for option in ["--server-mpm=prefork", "--mpm=prefork"] {
            let parsed = Command::try_parse_from(["wsgi-express", "start-server", option]);
            let Action::StartServer(options) = parsed.expect("parsed").action else {
                panic!("start-server");
            };
            assert_eq!(options.mpm, Mpm::Prefork);
        }
    }
}
