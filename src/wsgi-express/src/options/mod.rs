//! The commands and options, in one table: clap's parser, help and checks all come from it.
//!
//! Names and defaults are those of mod_wsgi-express where the meaning is the same. What belongs to
//! the daemon processes is taken over from the table of WSGIDaemonProcess ([`daemon`]); what the
//! original had and this command has not is listed, with the reason, in [`dropped`].

mod access;
mod application;
mod content;
mod daemon;
mod dropped;
mod files;
mod listener;
mod logs;
mod pool;
mod proxy;
mod services;
#[cfg(test)]
mod tests;
mod watching;

use std::io;
use std::path::{self, PathBuf};

use clap::{Args, Parser, Subcommand};

pub use access::{AccessOptions, AuthType};
pub use application::{ApplicationOptions, ApplicationType};
pub use content::ContentOptions;
pub use daemon::DaemonOptions;
pub use dropped::DroppedOptions;
pub use files::FileOptions;
pub use listener::{ListenerOptions, TlsOptions};
pub use logs::{LogLevel, LogOptions};
pub use pool::{Mpm, PoolOptions};
pub use proxy::ProxyOptions;
pub use services::ServiceOptions;
pub use watching::WatchingOptions;

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
    /// Check that the module is among Apache's own and print the directives that load it
    InstallModule {
        /// Where Apache's own modules are
        #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
        modules_directory: Option<PathBuf>,
    },
}

/// The options of a server.
#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    /// The application.
    #[command(flatten, next_help_heading = "Application")]
    pub app: ApplicationOptions,
    /// Where it is reached.
    #[command(flatten, next_help_heading = "Listening")]
    pub listener: ListenerOptions,
    /// Where it is reached by TLS.
    #[command(flatten, next_help_heading = "TLS")]
    pub tls: TlsOptions,
    /// Apache's processes.
    #[command(flatten, next_help_heading = "Processes and limits")]
    pub pool: PoolOptions,
    /// The daemon processes.
    #[command(flatten, next_help_heading = "Daemon processes")]
    pub daemon: DaemonOptions,
    /// Programs beside the application.
    #[command(flatten, next_help_heading = "Services")]
    pub services: ServiceOptions,
    /// Files and pages.
    #[command(flatten, next_help_heading = "Files and pages")]
    pub content: ContentOptions,
    /// Other servers.
    #[command(flatten, next_help_heading = "Proxying")]
    pub proxy: ProxyOptions,
    /// Who may come in.
    #[command(flatten, next_help_heading = "Access, decided by Python")]
    pub access: AccessOptions,
    /// What can be observed.
    #[command(flatten, next_help_heading = "Observation")]
    pub watching: WatchingOptions,
    /// The logs.
    #[command(flatten, next_help_heading = "Logs")]
    pub logs: LogOptions,
    /// The server root.
    #[command(flatten, next_help_heading = "Server root and programs")]
    pub files: FileOptions,
    /// Options the original had.
    #[command(flatten)]
    pub dropped: DroppedOptions,
}

impl ServerOptions {
    /// Whether requests can come without TLS: not if TLS has the only port.
    pub fn plain_http(&self) -> bool {
        self.tls.https_port != Some(self.listener.port)
    }

    /// The name of the daemon processes.
    pub fn process_group(&self) -> String {
        let usual = || format!("{}:{}", self.listener.host_name(), self.listener.port);
        self.app.process_group.clone().unwrap_or_else(usual)
    }
}

/// A path as an option's value, made absolute: the server's directory is another one.
fn absolute(value: &str) -> io::Result<PathBuf> {
    path::absolute(value)
}

/// A number from 0 to 1 as an option's value.
fn fraction(value: &str) -> Result<f64, String> {
    match value.parse() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to 1".to_owned()),
    }
}
