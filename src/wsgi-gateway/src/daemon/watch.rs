//! What the main thread of a daemon waits for: signals, the monitor, a wake-up, or a moment.
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
use super::succession::Monitor;

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
const MONITOR: u64 = 1;
const WAKE: u64 = 2;

/// See the module.
pub(super) struct Watch {
    epoll: Epoll,
    arrivals: Arrivals,
    pub(super) monitor: Monitor,
    wake: Arc<Wake>,
}

impl Watch {
    /// Takes over the process's signals: Python's handlers would wait for a main thread that never
    /// runs Python again.
    pub(super) fn new(monitor: OwnedFd, wake: Arc<Wake>) -> Result<Watch, DaemonStartError> {
        let arrivals = signals::notify(&SIGNALS_NOTICED).map_err(DaemonStartError::Signals)?;
        let watched = || {
            let epoll = Epoll::new()?;
            epoll.add(arrivals.as_fd(), SIGNALS, Interest::READ)?;
            epoll.add(monitor.as_fd(), MONITOR, Interest::READ)?;
            epoll.add(wake.as_fd(), WAKE, Interest::READ)?;
            Ok(epoll)
        };
        let epoll = watched().map_err(DaemonStartError::Watch)?;
        Ok(Watch {
            epoll,
            arrivals,
            monitor: Monitor::new(monitor),
            wake,
        })
    }

    /// Waits until something has happened or the time is up.
    pub(super) fn wait(&mut self, until: Option<Instant>) {
        if self.monitor.is_lost() {
            // It would be told again and again; a further removal finds nothing.
            let _ = self.epoll.remove(self.monitor.as_fd());
        }
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut room = [Event::EMPTY; 3];
        if let Err(error) = self.epoll.wait(&mut room, timeout) {
            log::line(
                Level::Crit,
                format_args!("cannot watch for signals: {error}"),
            );
            process::exit_now(FAILED);
        }
        // A wake that cannot be cleared comes again; what it stands for is looked at anyway.
        let _ = self.wake.clear();
    }

    /// Takes a signal that has come.
    pub(super) fn signal(&mut self) -> Option<i32> {
        self.arrivals.take().ok().flatten()
    }
}
