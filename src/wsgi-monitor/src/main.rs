//! `wsgi-monitor`: starts the daemons of one configuration, watches them, replaces those that
//! die, and ends them when the configuration's time is over.
//!
//! A process of its own with one thread, executed by httpd's parent; as root when httpd is. It
//! has no Python and no httpd in it, opens no socket to the network, and believes nothing a
//! daemon says: it acts on its own table of processes and on what the kernel tells of them. All
//! that a daemon can ask for is to be replaced.
//!
//! * [`config`] takes over what the parent left: the configuration and the descriptors.
//! * [`supervise`] is the loop: deaths, signals and lifelines.
//! * [`group`] decides for one process group what runs, [`replacement`] who follows whom;
//!   [`elastic`] how many there are, [`member`] is one slot of it, and [`restart`] says when it may run
//!   again; [`zygote`] is what its processes are forked from, if it is to be so.
//! * [`process`] starts one daemon, [`channel`] hears it; [`environment`] is what it finds in
//!   `os.environ`.
//! * [`obituary`] and [`memory_kills`] tell of those that have ended.
//! * [`templates`] makes groups on demand, as children ask for them; [`identity`] says as whom.

#![forbid(unsafe_code)]

mod channel;
mod config;
mod elastic;
mod environment;
mod group;
mod identity;
mod inheritance;
mod member;
mod memory_kills;
mod obituary;
mod process;
mod replacement;
mod restart;
mod supervise;
mod templates;
mod zygote;

use std::error::Error;
use std::process::ExitCode;

use wsgi_unix::log::{self, Level};
use wsgi_wire::WireError;
use wsgi_wire::launch::VERSION_STATUS;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(
                Level::Crit,
                format_args!("wsgi-monitor: {}", chain(error.as_ref())),
            );
            match error.downcast_ref::<config::ConfigError>() {
                Some(config::ConfigError::Message(WireError::Version { .. })) => {
                    ExitCode::from(VERSION_STATUS as u8)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // First of all, so that a signal to httpd's process group spares us and we can drain.
    wsgi_unix::process::lead_session()?;
    let launched = config::take()?;
    log::set_threshold(Level::from_number(launched.config.log_level));
    let title = format!("wsgi-monitor {}", launched.config.generation);
    // A title is a courtesy: /proc may be missing in a container.
    let _ = wsgi_unix::process::set_title(title.as_bytes());
    supervise::Supervisor::new(launched)?.run()?;
    Ok(())
}

/// An error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
