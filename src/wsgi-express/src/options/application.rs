//! Options about the application and the interpreter that runs it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::absolute;

/// How the positional argument names the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApplicationType {
    /// A file of Python code
    Script,
    /// The dotted name of a Python module
    Module,
    /// A configuration file of PasteDeploy
    Paste,
    /// None: only the document root is served
    Static,
}

/// When an application sees a HEAD request as GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapHead {
    /// Never
    Off,
    /// Always
    On,
    /// When a filter of Apache works on the response
    Auto,
}

impl MapHead {
    /// The value as WSGIMapHEADToGET takes it.
    pub fn name(self) -> &'static str {
        match self {
            MapHead::Off => "Off",
            MapHead::On => "On",
            MapHead::Auto => "Auto",
        }
    }
}

/// Options about the application.
#[derive(Debug, Clone, Args)]
pub struct ApplicationOptions {
    /// The application: a script, or what --application-type says; absent: a page that says the
    /// server works
    pub application: Option<String>,

    /// The application, for those who prefer an option
    #[arg(long, value_name = "APPLICATION", conflicts_with = "application")]
    pub entry_point: Option<String>,

    /// How the application is named
    #[arg(
        long,
        value_enum,
        default_value = "script",
        requires_if("static", "document_root")
    )]
    pub application_type: ApplicationType,

    /// The global of the script or module that is called
    #[arg(long, value_name = "NAME", default_value = "application")]
    pub callable_object: String,

    /// The directory the application starts in and imports from first [default: the current one]
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
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

    /// Run the application inside Apache's own processes
    #[arg(long)]
    pub embedded_mode: bool,

    /// The virtual environment or prefix that runs the application [default: the active virtual
    /// environment, else python3 of the system]
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub python_home: Option<PathBuf>,

    /// A directory to import from; may be repeated
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub python_path: Vec<PathBuf>,

    /// A filter of Python's warnings, as of its option -W; may be repeated
    #[arg(long, value_name = "FILTER")]
    pub python_warnings: Vec<String>,

    /// End without finalizing Python: exit functions do not run
    #[arg(long)]
    pub orphan_interpreter: bool,

    /// Leave the GIL disabled in a free-threaded Python
    #[arg(long)]
    pub free_threading: bool,

    /// A variable of every request's environ; may be repeated
    #[arg(long, num_args = 2, value_names = ["NAME", "VALUE"])]
    pub setenv: Vec<String>,

    /// A variable of the server's environment for every request's environ; may be repeated
    #[arg(long, value_name = "NAME")]
    pub passenv: Vec<String>,

    /// The locale of the application
    #[arg(long, value_name = "NAME", conflicts_with = "embedded_mode")]
    pub locale: Option<String>,

    /// Accept request bodies without a declared length
    #[arg(long)]
    pub chunked_request: bool,

    /// When the application sees HEAD as GET
    #[arg(long, value_enum, ignore_case = true, default_value = "auto")]
    pub map_head_to_get: MapHead,

    /// Let the kernel send the files of wsgi.file_wrapper
    #[arg(long)]
    pub enable_sendfile: bool,

    /// Load the application again when a module of it has changed
    #[arg(long)]
    pub reload_on_changes: bool,

    /// Keep running an application whose script has changed
    #[arg(long)]
    pub disable_reloading: bool,
}

impl ApplicationOptions {
    /// The application, named either way.
    pub fn name(&self) -> Option<&str> {
        self.application.as_deref().or(self.entry_point.as_deref())
    }
}
