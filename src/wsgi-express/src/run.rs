//! The commands: write the server root, then run Apache on it or say how.
//!
//! The command ends by becoming httpd (`exec`), so that signals and the exit status are httpd's.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::{self, LayoutError, ServerRoot};
use crate::locate::{self, LocateError};
use crate::options::{DroppedOptions, ServerOptions};
use crate::quote::QuoteError;
use crate::render;
use crate::server::{Log, Server, ServerError};

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something is not installed.
    #[error("the module cannot be found")]
    Locate(#[from] LocateError),
    /// The options cannot be met.
    #[error("the options cannot be met")]
    Server(#[from] ServerError),
    /// The server root cannot be used.
    #[error("the server root is not usable")]
    Layout(#[from] LayoutError),
    /// A configuration cannot be written.
    #[error("the configuration cannot be written")]
    Render(#[from] QuoteError),
    /// The module is somewhere else.
    #[error(
        "{} is not in {}; run apxs/install of the source tree, which puts it there with all it needs",
        .module.display(), .modules.display()
    )]
    NotInstalled {
        /// The module.
        module: PathBuf,
        /// Apache's modules.
        modules: PathBuf,
    },
    /// Apache does not start.
    #[error("{} cannot be run", .program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes a server root and becomes its httpd; returns only on failure.
pub fn start_server(options: &ServerOptions) -> Result<(), RunError> {
    if options.files.setup_only {
        return setup_server(options);
    }
    let (root, server) = write_root(options, true)?;
    describe(options, &root, &server);
    let program = root.file(layout::APACHECTL);
    let source = Command::new(&program)
        .args(["start", "-DFOREGROUND"])
        .exec();
    Err(RunError::Exec { program, source })
}

/// Writes a server root and says how to run it.
pub fn setup_server(options: &ServerOptions) -> Result<(), RunError> {
    let (root, server) = write_root(options, false)?;
    describe(options, &root, &server);
    eprintln!(
        "Start with:  {} start",
        root.file(layout::APACHECTL).display()
    );
    Ok(())
}

/// Prints the directives that load the module, if Apache finds it among its own.
pub fn install_module(modules: Option<&Path>) -> Result<(), RunError> {
    let modules = match modules {
        Some(directory) => directory.to_owned(),
        None => locate::modules_directory()?,
    };
    let module = locate::module(&modules)?;
    if module.parent() != Some(&modules) {
        return Err(RunError::NotInstalled { module, modules });
    }
    module_config()
}

/// Prints the directives that load the module.
pub fn module_config() -> Result<(), RunError> {
    let module = installed_module()?;
    let venv = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    print!("{}", render::module_config(&module, venv.as_deref())?);
    Ok(())
}

/// Prints the module's path.
pub fn module_location() -> Result<(), RunError> {
    println!("{}", installed_module()?.display());
    Ok(())
}

fn installed_module() -> Result<PathBuf, LocateError> {
    let modules = locate::modules_directory()?;
    locate::module(&modules)
}

fn write_root(options: &ServerOptions, foreground: bool) -> Result<(ServerRoot, Server), RunError> {
    warn(&options.dropped);
    let path = match &options.files.server_root {
        Some(path) => path.clone(),
        None => ServerRoot::default_path(options.listener.host_name(), options.listener.port),
    };
    let root = ServerRoot::prepare(&path)?;
    let server = Server::resolve(options, &root, foreground)?;
    // Everything is rendered before anything is written, so a refused option leaves all as it was.
    let config = render::httpd_conf(options, &server)?;
    if let Some(script) = render::script(&options.app)? {
        root.write(layout::SCRIPT, 0o644, &script)?;
    }
    root.write(layout::CONFIG, 0o644, &config)?;
    let control = render::apachectl(options, &server)?;
    root.write(layout::APACHECTL, 0o755, &control)?;
    root.write_once(layout::ENVVARS, 0o644, include_str!("templates/envvars"))?;
    Ok((root, server))
}

fn warn(dropped: &DroppedOptions) {
    for warning in &dropped.warnings {
        eprintln!("wsgi-express: {warning}");
    }
}

fn describe(options: &ServerOptions, root: &ServerRoot, server: &Server) {
    let log = match &server.error_log {
        Log::File(path) if path != Path::new("/dev/stderr") => path.display().to_string(),
        Log::Rotated { file, .. } => file.display().to_string(),
        _ => "the terminal".to_owned(),
    };
    let listener = &options.listener;
    let name = listener
        .server_name
        .as_deref()
        .unwrap_or(listener.host_name());
    let host = match name {
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    if options.plain_http() {
        eprintln!("Server URL:  http://{host}:{}/", listener.port);
    }
    if let Some(port) = options.tls.https_port {
        eprintln!("Server URL:  https://{host}:{port}/");
    }
    eprintln!("Server root: {}", root.path().display());
    eprintln!("Error log:   {log}");
}
