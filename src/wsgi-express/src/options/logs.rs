//! Options about the logs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::absolute;

/// Apache's log levels, by Apache's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Emerg,
    Alert,
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
    Trace1,
    Trace2,
    Trace3,
    Trace4,
    Trace5,
    Trace6,
    Trace7,
    Trace8,
}

/// Options about the logs.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// The least severe message that is logged
    #[arg(long, value_enum, default_value = "warn")]
    pub log_level: LogLevel,

    /// Log every request
    #[arg(long)]
    pub access_log: bool,

    /// Log what goes wrong before the error log is open
    #[arg(long)]
    pub startup_log: bool,

    /// Log to the terminal, as start-server does by default
    #[arg(long, conflicts_with = "log_directory")]
    pub log_to_terminal: bool,

    /// The directory of the logs [default: the server root]
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub log_directory: Option<PathBuf>,

    /// The file of the error log
    #[arg(long, value_name = "FILE", default_value = "error_log")]
    pub error_log_name: String,

    /// The file of the access log
    #[arg(long, value_name = "FILE", default_value = "access_log")]
    pub access_log_name: String,

    /// The file of the startup log
    #[arg(long, value_name = "FILE", default_value = "startup_log")]
    pub startup_log_name: String,

    /// The lines of the error log, as ErrorLogFormat
    #[arg(long, value_name = "FORMAT")]
    pub error_log_format: Option<String>,

    /// The lines of the access log: common, combined, or as LogFormat
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    pub access_log_format: String,

    /// Begin new log files when they have reached a size
    #[arg(long, conflicts_with = "log_to_terminal")]
    pub rotate_logs: bool,

    /// That size in MB
    #[arg(long, value_name = "MB", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_log_size: u32,

    /// The program that does it [default: Apache's rotatelogs]
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub rotatelogs_executable: Option<PathBuf>,
}
