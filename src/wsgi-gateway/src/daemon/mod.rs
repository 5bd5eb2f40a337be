//! The daemon: the process behind a process group's socket.
//!
//! Runs inside of an interpreter that the monitor has exec'ed; entered once, on its main thread, by
//! the Python function `run_daemon`, and never left. It knows nothing of WSGI: requests go to
//! [`Host::serve`] with a [`frames::FrameExchange`] as their way back.
//!
//! * [`start`] takes over what the monitor left open, [`control`] is the main thread afterwards: it
//!   waits by [`watch`] and [`timers`] for what ends the process by [`ending`]. [`overdue`] is about
//!   requests that run too long and [`deadlock`] about a GIL that nobody gets, for both of which
//!   [`deputy`] takes the GIL.
//! * [`zygote`] is what becomes of it instead, when the group's daemons are to be forked from it.
//! * [`succession`] is how another process follows this one without a gap.
//! * [`threads`] and [`worker`] are the request threads, as many as [`elastic`] says; [`service`] is
//!   what they share, and [`permits`] says who may run; [`activity`] is when they last did.
//! * [`program`] takes the place of all that where a group has no request threads.
//! * [`connection`] and [`frames`] move one request and its response.

mod activity;
mod connection;
mod control;
mod deadlock;
mod deputy;
mod elastic;
mod ending;
mod frames;
mod log;
mod overdue;
mod permits;
mod program;
mod service;
mod start;
mod succession;
mod threads;
mod timers;
mod watch;
mod worker;
mod zygote;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::ffi;
use wsgi_unix::log::Level;
use wsgi_unix::{accounts, process};
use wsgi_wire::launch::DaemonSettings;

use self::connection::Introduction;
use self::control::Control;
use self::ending::FAILED;
use self::permits::Permits;
use self::service::{Clients, Service};
use self::start::{DaemonStartError, Inherited};
use self::threads::Crew;
use self::timers::Limits;
use self::watch::Watch;
use crate::host::Host;
use crate::stacks;

/// The body of the Python function `run_daemon`: serves requests until the process ends.
///
/// Called with the GIL held, on the interpreter's main thread, which never gets back to Python code.
pub fn run() -> ! {
    // The configuration says which lines are wanted; until it is read, all that matter are.
    let _ = log::open(Level::Info as u8);
    let outcome = catch_unwind(AssertUnwindSafe(serve));
    if let Ok(Err(error)) = outcome {
        let cause = log::with_causes(&error);
        wsgi_unix::log::line(Level::Error, format_args!("daemon cannot start: {cause}"));
        process::exit_now(error.status());
    }
    process::exit_now(FAILED)
}

/// Whether requests that are stuck will be noticed, and the threads' stacks wanted.
fn watches_requests(settings: &DaemonSettings) -> bool {
    !settings.deadlock_timeout.is_zero() || !settings.request_timeout.is_zero()
}

fn serve() -> Result<Infallible, DaemonStartError> {
    let mut inherited = Inherited::take()?;
    let log = log::open(inherited.config.gateway.log_level);
    start::show_title(&inherited.config);
    start::set_locale(&inherited.config);
    if watches_requests(&inherited.config.settings) {
        stacks::open().map_err(DaemonStartError::Stacks)?;
    }
    let host = Host::adopt(inherited.config.gateway.clone(), Arc::clone(&log))
        .map_err(DaemonStartError::Python)?;
    // SAFETY: this thread holds the GIL (see `run`); its thread state is not used again but through
    // the host, which has adopted it.
    unsafe { ffi::PyEval_SaveThread() };
    if inherited.config.zygote {
        inherited = zygote::run(inherited, &host)?;
        stacks::part().map_err(DaemonStartError::Stacks)?;
    }
    host.begin();
    let row = inherited.row()?;
    let Inherited {
        mut config,
        listener,
        monitor,
        ..
    } = inherited;
    if config.gateway.threads == 0 {
        return program::run(&host, &config, monitor);
    }

    let inheritance = config.inheritance.take();
    let wake = Arc::new(start::main_wake()?);
    if let Some(replacement) = host.replacement() {
        replacement.report_to(Arc::clone(&wake));
    }
    let watch = Watch::new(monitor, Arc::clone(&wake))?;
    let introduction = Introduction {
        pid: std::process::id(),
        slot: config.slot,
    };
    let clients = Clients {
        client_uid: config.client_uid,
        own_uid: accounts::own_uid(),
        secret: config.secret,
    };
    let threads = config.gateway.threads;
    let limits = Limits::draw(&config.settings, threads);
    let at_first = limits.bounds.map_or(threads, |bounds| bounds.least());
    let permits = Permits::new(at_first, limits.bounds.is_some(), limits.requests, row);
    let service = Service::new(
        host,
        log,
        permits,
        introduction,
        clients,
        listener,
        Arc::clone(&wake),
    );
    let service = service
        .map_err(DaemonStartError::Service)?
        .with_connections_as(&config.settings);
    let settings = &config.settings;
    let watched = settings.shows_use || !settings.inactivity_timeout.is_zero();
    let service = match watched {
        false => service,
        true => service.watching_activity(settings.shows_use),
    };
    let service = Arc::new(match settings.request_timeout.is_zero() {
        true => service,
        false => service.timing_requests(),
    });
    let crew = Crew::new(wake, config.settings.stack_size);
    crew.start(&service, at_first)
        .map_err(DaemonStartError::Thread)?;
    if config.gateway.interpreters.frees_signals() {
        threads::load_scripts(&service, inheritance);
    } else {
        crew.start_loading(&service, inheritance)
            .map_err(DaemonStartError::Thread)?;
    }
    Control::new(service, config, watch, crew, limits).run()
}
