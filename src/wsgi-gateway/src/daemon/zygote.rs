//! The process that a group's daemons are forked from: it loads the application and waits for orders.
//!
//! Runs on the main thread, before any other thread exists, and comes back from [`run`] once in every
//! process that it forks. It serves no request, runs no exit function, and knows nothing of those
//! processes once they are there: they are the monitor's.

use std::os::fd::{AsFd, OwnedFd};

use wsgi_unix::fork::Orphan;
use wsgi_unix::log::{self, Level};
use wsgi_unix::packet::{self, Received};
use wsgi_unix::{attached, process, signals};
use wsgi_wire::launch::UNLOADABLE_STATUS;
use wsgi_wire::supervision::{Order, Report};

use super::ending::{FAILED, ORDERLY};
use super::start::{self, DaemonStartError, Inherited};
use crate::host::{Host, Preloaded};
use crate::python::Side;

/// Room for an order, bytes; a longer packet is none.
const ORDER_ROOM: usize = 16;

/// What the kernel sends a daemon when the monitor ends, as it does to those that are not forked.
const DEATH_SIGNAL: i32 = libc::SIGTERM;

/// The signals that have their default effect here, whatever the application has asked for.
const SIGNALS: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGHUP,
    libc::SIGXCPU,
];

/// Loads the application and forks processes until the monitor is gone. Comes back in each of them,
/// with what that one has inherited.
pub(super) fn run(inherited: Inherited, host: &Host) -> Result<Inherited, DaemonStartError> {
    let monitor = process::parent_pid();
    match host.preload() {
        Preloaded::Ready => {}
        Preloaded::Failed => process::exit_now(UNLOADABLE_STATUS),
        Preloaded::Unforkable(why) => cannot_fork(&inherited, &why),
    }
    for signal in SIGNALS {
        // Nobody waits for this process, so nothing is lost when it ends at once.
        signals::set_default(signal).map_err(DaemonStartError::Signals)?;
    }
    report(&inherited.monitor, &Report::Ready);
    loop {
        let [config, channel] = next_order(&inherited);
        let next = inherited.forked(config, channel)?;
        match host.fork(|orphan| join(orphan, monitor, &next)) {
            Ok(Side::New) => {
                // The zygote's descriptors are closed with `inherited`.
                start::show_title(&next.config);
                return Ok(next);
            }
            Ok(Side::Old) => {}
            Err(error) => cannot_fork(&inherited, &error.to_string()),
        }
    }
}

/// Waits until a process is to be forked; what that one is handed.
fn next_order(inherited: &Inherited) -> [OwnedFd; attached::DESCRIPTORS] {
    let mut room = [0; ORDER_ROOM];
    match attached::receive(inherited.monitor.as_fd(), &mut room) {
        Ok((Received::Packet(packet), Some(handed)))
            if Order::from_bytes(packet) == Ok(Order::Fork) =>
        {
            handed
        }
        Ok((Received::End, _)) => process::exit_now(ORDERLY),
        // A monitor that cannot be understood is as good as gone.
        Ok(_) | Err(_) => process::exit_now(FAILED),
    }
}

/// In the new process: becomes the monitor's child and says so. No Python runs yet.
fn join(orphan: Orphan, monitor: i32, handed: &Inherited) {
    // Without the monitor there is nobody to serve for, and nobody to tell.
    if orphan.join(monitor, DEATH_SIGNAL).is_err() {
        process::exit_now(FAILED);
    }
    report(&handed.monitor, &Report::Hello);
}

fn report(monitor: &OwnedFd, report: &Report) {
    if packet::send(monitor.as_fd(), &report.to_bytes()).is_err() {
        process::exit_now(FAILED);
    }
}

/// Says why and ends: the monitor has the group's processes load the application themselves.
fn cannot_fork(inherited: &Inherited, why: &str) -> ! {
    log::line(Level::Info, format_args!("cannot be forked: {why}"));
    let told = Report::CannotFork(why.as_bytes().to_vec());
    report(&inherited.monitor, &told);
    process::exit_now(ORDERLY)
}
