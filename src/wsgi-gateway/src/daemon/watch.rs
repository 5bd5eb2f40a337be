//! What the main thread of a daemon waits for: signals, the monitor's end, a wake-up, or a moment.
//!
//! Used by the main thread only, without the GIL. It tells what has happened and decides nothing.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use wsgi_unix::epoll::{Epoll, Event, Interest, Wake};
use wsgi_unix::log::{self, Level};
use wsgi_unix::process;
use wsgi_unix::signals::{self, Arrivals};

use super::ending::FAILED;
use super::start::DaemonStartError;

/// SIGHUP and SIGUSR2 are the applications', the others end the process.
const SIGNALS_NOTICED: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGXCPU,
    libc::SIGHUP,
    libc::SIGUSR2,
];

const SIGNALS: u64 = 0;
const LIFELINE: u64 = 1;
const WAKE: u64 = 2;

/// See the module.
pub(super) struct Watch {
    epoll: Epoll,
    arrivals: Arrivals,
    lifeline: OwnedFd,
    monitor_lost: bool,
    wake: Arc<Wake>,
}

impl Watch {
    /// Takes over the process's signals: Python's handlers would wait for a main thread that never
    /// runs Python again.
    pub(super) fn new(lifeline: OwnedFd, wake: Arc<Wake>) -> Result<Watch, DaemonStartError> {
        let arrivals = signals::notify(&SIGNALS_NOTICED).map_err(DaemonStartError::Signals)?;
        let watched = || {
            let epoll = Epoll::new()?;
            epoll.add(arrivals.as_fd(), SIGNALS, Interest::READ)?;
            epoll.add(lifeline.as_fd(), LIFELINE, Interest::READ)?;
            epoll.add(wake.as_fd(), WAKE, Interest::READ)?;
            Ok(epoll)
        };
        let epoll = watched().map_err(DaemonStartError::Watch)?;
        Ok(Watch {
            epoll,
            arrivals,
            lifeline,
            monitor_lost: false,
            wake,
        })
    }

    /// Waits until something has happened or the time is up.
    pub(super) fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut room = [Event::EMPTY; 3];
        let events = match self.epoll.wait(&mut room, timeout) {
            Ok(events) => events,
            Err(error) => {
                log::line(
                    Level::Crit,
                    format_args!("cannot watch for signals: {error}"),
                );
                process::exit_now(FAILED);
            }
        };
        if events.iter().any(|event| event.token() == LIFELINE) {
            // The monitor never writes, so this is the end. It would be told again and again.
            self.monitor_lost = true;
            let _ = self.epoll.remove(self.lifeline.as_fd());
        }
        // A wake that cannot be cleared comes again; what it stands for is looked at anyway.
        let _ = self.wake.clear();
    }

    /// Takes a signal that has come.
    pub(super) fn signal(&mut self) -> Option<i32> {
        self.arrivals.take().ok().flatten()
    }

    /// Whether the monitor is gone.
    pub(super) fn monitor_lost(&self) -> bool {
        self.monitor_lost
    }
}
