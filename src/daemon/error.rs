//! Why a daemon did not answer a request: its status, its line in the log, and what httpd's page and
//! headers tell the client.
//!
//! Runs in a child's request thread. The client learns nothing of groups and processes, only when to
//! come back, and the id by which the log names the request.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use wsgi_wire::control::Refusal;
use wsgi_wire::{Blame, Failure, WireError};

use super::refusals::Telling;
use crate::httpd::log::{self, Level};
use crate::httpd::pool::PoolStr;
use crate::httpd::request::Request;

/// When to come back after a moment in which processes are exchanged, seconds.
const SOON: u32 = 1;

/// When to come back while no process serves: about as long as the monitor waits before it tries again
/// to start one that failed, seconds.
const LATER: u32 = 5;

/// The longest time that is worth naming, seconds: nobody can tell what will be then.
const LONGEST: u32 = 60;

/// Why a daemon did not answer a request.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The group runs a program and serves no requests.
    #[error("the process group '{group}' has threads=0 and answers no requests")]
    NoThreads {
        /// The group.
        group: String,
    },
    /// No daemon took the request in time.
    #[error("no daemon of group '{group}' took the request within {} s", waited.as_secs())]
    Queue {
        /// The group.
        group: String,
        /// The option connect-timeout.
        waited: Duration,
    },
    /// The threads were busy for as long as the request may wait for one.
    #[error(
        "no thread of group '{group}' came free within queue-timeout ({} s){telling}",
        waited.as_secs()
    )]
    Expired {
        /// The group.
        group: String,
        /// The option queue-timeout.
        waited: Duration,
        /// How the log tells of it.
        telling: Telling,
    },
    /// So many wait that the request would wait for too long.
    #[error(
        "group '{group}' is overloaded: a thread would come free in {:.1} s, which is over the \
         {:.1} s that are left of queue-timeout{telling}",
        expected.as_secs_f64(), left.as_secs_f64()
    )]
    Overloaded {
        /// The group.
        group: String,
        /// How long it would wait.
        expected: Duration,
        /// What is left of queue-timeout.
        left: Duration,
        /// How the log tells of it.
        telling: Telling,
    },
    /// The socket cannot be reached.
    #[error("cannot connect to the daemons of group '{group}' at {}: {source}", socket.display())]
    Connect {
        /// The group.
        group: String,
        /// The socket's path.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The monitor did not make the group.
    #[error("process group '{group}' is not made: {reason}")]
    NotMade {
        /// The group.
        group: String,
        /// What kind of reason.
        refusal: Refusal,
        /// The monitor's sentence.
        reason: String,
    },
    /// The monitor cannot be asked for the group.
    #[error("process group '{group}' is not made: the monitor cannot be asked: {source}")]
    Monitor {
        /// The group.
        group: String,
        /// What the system said, or that no answer came.
        source: io::Error,
    },
    /// Every attempt met a daemon that was about to be replaced.
    #[error(
        "the daemons of group '{group}' were replaced {attempts} times while the request waited"
    )]
    Replaced {
        /// The group.
        group: String,
        /// How many times the request was turned away.
        attempts: u32,
    },
    /// The daemon died after the application had started.
    #[error("daemon process {pid} of group '{group}' ended before its response was complete")]
    Lost {
        /// The group.
        group: String,
        /// The process, or 0 if it had not said its id yet.
        pid: u32,
    },
    /// The daemon was silent for too long.
    #[error("daemon process {pid} of group '{group}' sent nothing for {} s", waited.as_secs())]
    TimedOut {
        /// The group.
        group: String,
        /// The process, or 0.
        pid: u32,
        /// The option socket-timeout.
        waited: Duration,
    },
    /// The connection failed in another way.
    #[error("the connection to daemon process {pid} of group '{group}' failed: {source}")]
    Socket {
        /// The group.
        group: String,
        /// The process, or 0.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon sent what is no message.
    #[error("daemon process {pid} of group '{group}' broke the protocol: {source}")]
    Protocol {
        /// The group.
        group: String,
        /// The process, or 0.
        pid: u32,
        /// What was wrong.
        source: WireError,
    },
    /// A header is longer than the group's may be.
    #[error(
        "the response's header '{name}' is longer than header-buffer-size of group '{group}' \
         ({limit} bytes)"
    )]
    Header {
        /// The group.
        group: String,
        /// The header's name.
        name: String,
        /// The option header-buffer-size.
        limit: usize,
    },
    /// The gateway in the daemon failed the request and has said why.
    #[error("the application failed: {0:?}")]
    Gateway(Failure),
}

impl DaemonError {
    /// The HTTP status for the client.
    pub fn status(&self) -> u16 {
        match self {
            DaemonError::Queue { .. } | DaemonError::Connect { .. } => 503,
            DaemonError::Replaced { .. } | DaemonError::Overloaded { .. } => 503,
            DaemonError::Monitor { .. } => 503,
            DaemonError::NotMade { refusal, .. } => match refusal {
                Refusal::Full | Refusal::System => 503,
                Refusal::Forbidden => 403,
                Refusal::Broken => 500,
            },
            DaemonError::Lost { .. } | DaemonError::Socket { .. } => 502,
            DaemonError::TimedOut { .. } | DaemonError::Expired { .. } => 504,
            DaemonError::Protocol { .. }
            | DaemonError::Header { .. }
            | DaemonError::NoThreads { .. } => 500,
            DaemonError::Gateway(failure) => failure.status(),
        }
    }

    /// Whether nobody listens at the group's socket any more.
    pub fn is_gone(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, DaemonError::Connect { source, .. }
            if matches!(source.kind(), NotFound | ConnectionRefused))
    }

    /// The level to log at, or `None` when the gateway has logged it in the request's context.
    pub fn level(&self) -> Option<Level> {
        match self {
            DaemonError::Gateway(failure) if failure.blame() == Blame::Client => Some(Level::Debug),
            DaemonError::Gateway(_) => None,
            DaemonError::Overloaded { telling, .. } | DaemonError::Expired { telling, .. }
                if *telling == Telling::Softly =>
            {
                Some(Level::Debug)
            }
            _ => Some(Level::Error),
        }
    }

    /// When the client should try again, seconds; only with status 503 (RFC 9110 §10.2.3).
    fn retry_after(&self) -> Option<u32> {
        match self {
            DaemonError::Replaced { .. } => Some(SOON),
            DaemonError::Queue { .. } | DaemonError::Connect { .. } => Some(LATER),
            DaemonError::Overloaded { expected, .. } => {
                let seconds = u32::try_from(expected.as_secs()).unwrap_or(LONGEST);
                Some(seconds.saturating_add(1).min(LONGEST))
            }
            DaemonError::NotMade { .. } if self.status() == 503 => Some(LATER),
            DaemonError::Monitor { .. } => Some(LATER),
            _ => None,
        }
    }

    /// Logs it, and gives httpd's page for its status what the client may know.
    pub fn tell(&self, request: Request<'_>) {
        let pool = request.pool();
        if let Some(seconds) = self.retry_after() {
            let value = pool.string(seconds.to_string().as_bytes());
            let headers = request.err_headers_out();
            headers.set(PoolStr::constant(c"Retry-After"), value);
        }
        let Some(level) = self.level() else {
            return;
        };
        if self.status() != 502 {
            return log::request(request, level, self);
        }
        // httpd puts these notes into its page for 502, and into ERROR_NOTES of an ErrorDocument.
        let id = String::from_utf8_lossy(request.public_id()).into_owned();
        let notes = pool.string(format!("Request id: {id}").as_bytes());
        request
            .notes()
            .set(PoolStr::constant(c"error-notes"), notes);
        log::request(request, level, format_args!("{self} (request {id})"));
    }
}
