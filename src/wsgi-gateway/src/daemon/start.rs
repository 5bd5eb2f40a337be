//! What a daemon finds when it starts: its configuration and its descriptors.
//!
//! Runs on the main thread before any other thread exists, with the GIL held.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use thiserror::Error;
use wsgi_unix::epoll::Wake;
use wsgi_unix::hints::HintPage;
use wsgi_unix::log::{self, Level};
use wsgi_unix::process;
use wsgi_wire::WireError;
use wsgi_wire::launch::{DaemonConfig, Message, VERSION_STATUS, daemon_fd};

use super::ending::FAILED;
use super::permits::Row;
use super::service::ServiceError;
use crate::host;

/// Why a daemon could not start.
#[derive(Debug, Error)]
pub(super) enum DaemonStartError {
    /// The monitor's descriptor is not there.
    #[error("cannot take over descriptor {number}: daemons are started by the monitor only")]
    Descriptor {
        /// Its number.
        number: RawFd,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be read.
    #[error("cannot read the configuration")]
    Read(#[source] io::Error),
    /// The configuration makes no sense.
    #[error("cannot understand the configuration")]
    Config(#[source] WireError),
    /// The hint page cannot be used.
    #[error("cannot map the hint page")]
    Hints(#[source] io::Error),
    /// The hint page has no row for this process.
    #[error("the hint page has no row {0}")]
    Row(u32),
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// The main thread cannot wait.
    #[error("cannot watch for signals and the monitor")]
    Watch(#[source] io::Error),
    /// The stacks of threads cannot be looked at later.
    #[error("cannot make room for the stacks of threads")]
    Stacks(#[source] io::Error),
    /// Python refused.
    #[error("cannot start Python")]
    Python(#[source] host::StartError),
    /// The socket cannot be served.
    #[error("cannot serve requests")]
    Service(#[source] ServiceError),
    /// A thread cannot be started.
    #[error("cannot start a request thread")]
    Thread(#[source] io::Error),
}

impl DaemonStartError {
    /// The exit status that tells the monitor what it has to know.
    pub(super) fn status(&self) -> i32 {
        match self {
            DaemonStartError::Config(WireError::Version { .. }) => VERSION_STATUS,
            _ => FAILED,
        }
    }
}

/// What the monitor left open for this process.
#[derive(Debug)]
pub(super) struct Inherited {
    /// The configuration.
    pub(super) config: DaemonConfig,
    /// The group's listening socket.
    pub(super) listener: OwnedFd,
    /// The socket to the monitor.
    pub(super) monitor: OwnedFd,
    hints: OwnedFd,
}

impl Inherited {
    /// Takes everything over. To be called once.
    pub(super) fn take() -> Result<Inherited, DaemonStartError> {
        Ok(Inherited {
            config: read_config(take_over(daemon_fd::CONFIG)?)?,
            listener: take_over(daemon_fd::LISTENER)?,
            hints: take_over(daemon_fd::HINTS)?,
            monitor: take_over(daemon_fd::MONITOR)?,
        })
    }

    /// What a process has that is about to be forked from this one.
    pub(super) fn forked(
        &self,
        config: OwnedFd,
        monitor: OwnedFd,
    ) -> Result<Inherited, DaemonStartError> {
        let kept = |fd: &OwnedFd, number| {
            fd.try_clone()
                .map_err(|source| DaemonStartError::Descriptor { number, source })
        };
        Ok(Inherited {
            config: read_config(config)?,
            listener: kept(&self.listener, daemon_fd::LISTENER)?,
            hints: kept(&self.hints, daemon_fd::HINTS)?,
            monitor,
        })
    }

    /// This process's row in the hint page.
    pub(super) fn row(&self) -> Result<Row, DaemonStartError> {
        let page = HintPage::map(self.hints.as_fd()).map_err(DaemonStartError::Hints)?;
        Row::new(page, self.config.slot).ok_or(DaemonStartError::Row(self.config.slot))
    }
}

fn read_config(config: OwnedFd) -> Result<DaemonConfig, DaemonStartError> {
    let mut bytes = Vec::new();
    File::from(config)
        .read_to_end(&mut bytes)
        .map_err(DaemonStartError::Read)?;
    DaemonConfig::from_bytes(&bytes).map_err(DaemonStartError::Config)
}

/// An inherited descriptor under a new number: one that programs of the application do not inherit.
fn take_over(number: RawFd) -> Result<OwnedFd, DaemonStartError> {
    // SAFETY: the launch record gives this number to us, nothing in this process has opened or
    // closed it since exec, and it is taken once. A number that is not open fails below.
    let inherited = unsafe { OwnedFd::from_raw_fd(number) };
    match inherited.try_clone() {
        Ok(ours) => Ok(ours),
        Err(source) => {
            // There is nothing to close.
            std::mem::forget(inherited);
            Err(DaemonStartError::Descriptor { number, source })
        }
    }
}

/// Shows the configured name in the process list.
pub(super) fn show_title(config: &DaemonConfig) {
    let Some(name) = &config.settings.display_name else {
        return;
    };
    if let Err(error) = process::set_title(name) {
        log::line(
            Level::Info,
            format_args!("cannot show the display name: {error}"),
        );
    }
}

/// Gives the configured locale to the C library; Python has set LC_CTYPE only.
pub(super) fn set_locale(config: &DaemonConfig) {
    let Some(name) = &config.settings.locale else {
        return;
    };
    let shown = String::from_utf8_lossy(name);
    let Ok(name) = CString::new(name.as_slice()) else {
        log::line(
            Level::Warn,
            format_args!("the locale {shown:?} holds a NUL byte"),
        );
        return;
    };
    // SAFETY: `name` is a C string that outlives the call, and no other thread runs yet (setlocale(3)
    // is not safe against concurrent use of the locale).
    let accepted = unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) };
    if accepted.is_null() {
        log::line(
            Level::Warn,
            format_args!("this system has no locale {shown:?}"),
        );
    }
}

/// A wake-up for the main thread.
pub(super) fn main_wake() -> Result<Wake, DaemonStartError> {
    Wake::new().map_err(DaemonStartError::Watch)
}
