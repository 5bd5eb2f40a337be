//! A process without request threads (`threads=0`): its one script is the program.
//!
//! The script runs on the main thread with Python's own handling of signals, so that it can be
//! whatever a program is; a thread beside it, which knows no Python, sees to the monitor's end and to
//! restart-interval. The socket of the group is not served.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};
use wsgi_unix::{process, socket};
use wsgi_wire::launch::{DaemonConfig, REPLACED_STATUS};

use super::ending::{self, FAILED};
use super::start::DaemonStartError;
use super::timers::Limits;
use crate::host::Host;

/// As long as anybody looks ahead.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The time a program has to end when no time-out is configured.
const UNBOUNDED: Duration = Duration::from_secs(60);

/// Runs the program and ends the process after it. Called without the GIL, on the main thread.
pub(super) fn run(
    host: &Host,
    config: &DaemonConfig,
    monitor: OwnedFd,
) -> Result<Infallible, DaemonStartError> {
    let restart = Limits::draw(&config.settings, 0).restart;
    let patience = match config.settings.shutdown_timeout {
        Duration::ZERO => UNBOUNDED,
        timeout => timeout,
    };
    thread::Builder::new()
        .name("wsgi-program".to_owned())
        .spawn(move || attend(&monitor, restart, patience))
        .map_err(DaemonStartError::Thread)?;
    let ended = host.run_program();
    let status = ended.status.unwrap_or(REPLACED_STATUS);
    let reason = &ended.reason;
    log::line(
        Level::Info,
        format_args!("the program has ended ({reason})"),
    );
    ending::end_within(patience, status);
    host.shutdown(reason);
    process::exit_now(status)
}

/// Waits for the monitor's end, which never writes, or for the time of a restart, and sees to it that
/// the process ends then.
fn attend(monitor: &OwnedFd, restart: Option<Instant>, patience: Duration) {
    loop {
        let left = restart.map_or(DAY, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            log::line(
                Level::Info,
                format_args!("restart-interval is over: the program is to be replaced"),
            );
            return end(Some(libc::SIGUSR1), REPLACED_STATUS, patience);
        }
        match socket::wait_readable(monitor.as_fd(), Some(left.min(DAY))) {
            Ok(false) => {}
            // The kernel has sent the signal that ends the program: see the monitor's spawning.
            Ok(true) | Err(_) => return end(None, FAILED, patience),
        }
    }
}

/// Asks the program to end, and ends the process if it does not.
fn end(signal: Option<i32>, status: i32, patience: Duration) {
    if let Some(signal) = signal {
        // Where Python has a handler for it; the process ends in any case.
        let _ = process::signal_main_thread(signal);
    }
    ending::end_within(patience, status);
}
