//! wsgi-express: sets up and runs Apache for one WSGI application. Also installed as
//! mod_wsgi-express, so that scripts written for that command keep working.
//!
//! A short-lived command that ends as httpd. It must not change anything outside the server root
//! it writes, and never the system's Apache.
#![forbid(unsafe_code)]

mod layout;
mod locate;
mod options;
mod quote;
mod render;
mod run;
mod server;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::options::{Action, Command};

fn main() -> ExitCode {
    let result = match Command::parse().action {
        Action::StartServer(options) => run::start_server(&options),
        Action::SetupServer(options) => run::setup_server(&options),
        Action::ModuleConfig => run::module_config(),
        Action::ModuleLocation => run::module_location(),
        Action::InstallModule { modules_directory } => {
            run::install_module(modules_directory.as_deref())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("wsgi-express: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
