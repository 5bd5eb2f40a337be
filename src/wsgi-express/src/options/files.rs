//! Options about the server root and the programs that run on it.

use std::path::PathBuf;

use clap::Args;

use super::absolute;

/// Options about the server root.
#[derive(Debug, Clone, Args)]
pub struct FileOptions {
    /// The directory to write [default: /tmp/mod_wsgi_rs-host:port:uid]
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub server_root: Option<PathBuf>,

    /// The file of Apache's process id [default: httpd.pid in the server root]
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub pid_file: Option<PathBuf>,

    /// The start of the names of the daemons' sockets [default: wsgi in the server root]
    #[arg(long, value_name = "PREFIX", value_parser = absolute)]
    pub socket_prefix: Option<PathBuf>,

    /// Shell code that sets up Apache's environment [default: envvars in the server root]
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub envvars_script: Option<PathBuf>,

    /// Where Apache's own modules are
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub modules_directory: Option<PathBuf>,

    /// The Apache to run
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub httpd_executable: Option<PathBuf>,

    /// The shell that runs apachectl
    #[arg(long, value_name = "FILE", value_parser = absolute, default_value = "/bin/sh")]
    pub shell_executable: PathBuf,

    /// Write the server root and run nothing, as setup-server
    #[arg(long)]
    pub setup_only: bool,
}
