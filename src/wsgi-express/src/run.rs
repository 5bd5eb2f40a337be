//! The commands: write the server root, then run Apache on it or say how.
//!
//! The command ends by becoming httpd (`exec`), so that signals and the exit status are httpd's.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layout::{self, LayoutError, ServerRoot};
use crate::locate::{self, LocateError};
use crate::options::ServerOptions;
use crate::quote::QuoteError;
use crate::render;
use crate::server::{self, Log, Server, ServerError};

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
    let (root, server) = write_root(options, true)?;
    describe(options, &root, &server);
    let source = Command::new(&server.httpd)
        .arg("-f")
        .arg(root.file(layout::CONFIG))
        .arg("-DFOREGROUND")
        .exec();
    Err(RunError::Exec {
        program: server.httpd,
        source,
    })
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
    let path = match &options.server_root {
        Some(path) => server::absolute(path)?,
        None => ServerRoot::default_path(render::host(options), options.port),
    };
    let root = ServerRoot::prepare(&path)?;
    let server = Server::resolve(options, &root, foreground)?;
    // Everything is rendered before anything is written, so a refused option leaves all as it was.
    let config = render::httpd_conf(options, &server)?;
    if let Some(script) = render::script(options)? {
        root.write(layout::SCRIPT, 0o644, &script)?;
    }
    root.write(layout::CONFIG, 0o644, &config)?;
    root.write(layout::APACHECTL, 0o755, &render::apachectl(&server))?;
    Ok((root, server))
}

fn describe(options: &ServerOptions, root: &ServerRoot, server: &Server) {
    let log = match &server.error_log {
        Log::File(path) if path != Path::new("/dev/stderr") => path.display().to_string(),
        _ => "the terminal".to_owned(),
    };
    let host = match render::host(options) {
        address if address.contains(':') => format!("[{address}]"),
        name => name.to_owned(),
    };
    eprintln!("Server URL:  http://{host}:{}/", options.port);
    eprintln!("Server root: {}", root.path().display());
    eprintln!("Error log:   {log}");
}
