//! The client of a daemon group: an Apache child's side of the group's socket.
//!
//! Runs in children's request threads; the parent only makes the [`Group`]. A group is shared by
//! all threads of a child: its one lock guards the list of idle connections.
//!
//! * [`connection`] connects, keeps idle connections and chooses among them.
//! * [`frames`] reads messages.
//! * [`exchange`] is one request on one connection.

mod connection;
mod exchange;
mod frames;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use thiserror::Error;
use wsgi_unix::hints::HintPage;
use wsgi_wire::head::{Attempts, EncodedHead};
use wsgi_wire::{Blame, Failure, WireError};

use crate::body::{Declared, RequestBody};
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;
use crate::httpd::server::Server;
use crate::httpd::status::Status;
use crate::response::Rules;
use connection::Connection;
use exchange::{Exchange, Outcome, Purpose};

/// A daemon group as children see it.
#[derive(Debug)]
pub struct Group {
    name: Vec<u8>,
    server: Server<'static>,
    socket: PathBuf,
    processes: u32,
    server_metrics: bool,
    connect_timeout: Duration,
    socket_timeout: Duration,
    idle_limit: usize,
    hints: OwnedFd,
    page: OnceCell<Option<HintPage>>,
    idle: Mutex<Vec<Connection>>,
}

// SAFETY: the server pointer is read only, to compare and to read its constant name (SAFETY.md,
// "Configuration is read-only"); everything else is Send and Sync by itself.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

/// What the parent knows of a group when it makes one.
#[derive(Debug)]
pub struct GroupParts {
    /// The group's name.
    pub name: Vec<u8>,
    /// The server it was defined in.
    pub server: Server<'static>,
    /// Its socket.
    pub socket: PathBuf,
    /// Its processes.
    pub processes: u32,
    /// Threads of each process.
    pub threads: u32,
    /// Its applications may ask for the server's scoreboard.
    pub server_metrics: bool,
    /// How long a request may wait for a daemon to take it.
    pub connect_timeout: Duration,
    /// How long a daemon may be silent.
    pub socket_timeout: Duration,
    /// Its hint page.
    pub hints: OwnedFd,
}

/// Why a daemon did not answer a request.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// No daemon took the request in time.
    #[error("no daemon of group '{group}' took the request within {} s", waited.as_secs())]
    Queue {
        /// The group.
        group: String,
        /// The option connect-timeout.
        waited: Duration,
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
    /// The gateway in the daemon failed the request and has said why.
    #[error("the application failed: {0:?}")]
    Gateway(Failure),
}

impl DaemonError {
    /// The HTTP status for the client.
    pub fn status(&self) -> u16 {
        match self {
            DaemonError::Queue { .. } | DaemonError::Connect { .. } => 503,
            DaemonError::Replaced { .. } => 503,
            DaemonError::Lost { .. } | DaemonError::Socket { .. } => 502,
            DaemonError::TimedOut { .. } => 504,
            DaemonError::Protocol { .. } => 500,
            DaemonError::Gateway(failure) => failure.status(),
        }
    }

    /// The level to log at, or `None` when the gateway has logged it in the request's context.
    pub fn level(&self) -> Option<Level> {
        match self {
            DaemonError::Gateway(failure) if failure.blame() == Blame::Client => Some(Level::Debug),
            DaemonError::Gateway(_) => None,
            _ => Some(Level::Error),
        }
    }
}

/// How often a request is tried again after a connection was lost before the application started.
const LOST_TRIES: u32 = 3;

impl Group {
    /// Makes a group, in the parent.
    pub fn new(parts: GroupParts) -> Group {
        let idle_limit = parts.processes.saturating_mul(parts.threads) as usize;
        Group {
            name: parts.name,
            server: parts.server,
            socket: parts.socket,
            processes: parts.processes,
            server_metrics: parts.server_metrics,
            connect_timeout: parts.connect_timeout,
            socket_timeout: parts.socket_timeout,
            idle_limit,
            hints: parts.hints,
            page: OnceCell::new(),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether a request of `server` may use it: a virtual host's group is for hosts of its name.
    pub fn is_open_to(&self, server: Server<'_>) -> bool {
        !self.server.is_virtual() || self.server.hostname() == server.hostname()
    }

    /// Lets a daemon of the group answer the request.
    pub fn serve(
        &self,
        request: Request<'_>,
        head: &mut EncodedHead,
        body: &mut RequestBody<'_>,
        rules: Rules,
    ) -> Result<Status, DaemonError> {
        let (status, _) = self.converse(request, Purpose::Response(rules), head, body)?;
        Ok(status)
    }

    /// Lets a daemon of the group call functions: gives their encoded answers.
    pub fn ask(
        &self,
        request: Request<'_>,
        head: &mut EncodedHead,
    ) -> Result<Vec<u8>, DaemonError> {
        let mut body = RequestBody::open(request, Declared::Nothing);
        let (_, answers) = self.converse(request, Purpose::Answers, head, &mut body)?;
        Ok(answers)
    }

    fn converse(
        &self,
        request: Request<'_>,
        purpose: Purpose,
        head: &mut EncodedHead,
        body: &mut RequestBody<'_>,
    ) -> Result<(Status, Vec<u8>), DaemonError> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut lost = 0;
        let mut turned_away = 0;
        let mut queue = false;
        let mut made = 0u16;
        loop {
            made = made.saturating_add(1);
            head.set_attempts(Attempts {
                made,
                turned_away: u16::try_from(turned_away).unwrap_or(u16::MAX),
            });
            let connection = self.connection(queue, deadline)?;
            let mut exchange = Exchange::new(self, request, purpose, connection);
            match exchange.run(head, body) {
                Outcome::Answered { status, connection } => {
                    self.keep(connection);
                    return Ok((status, exchange.into_answers()));
                }
                Outcome::Failed(error) => {
                    return exchange.fail(error).map(|status| (status, Vec::new()));
                }
                Outcome::Busy => queue = true,
                Outcome::TurnedAway => {
                    turned_away += 1;
                    queue = true;
                }
                Outcome::NotStarted { reused } => lost += u32::from(!reused),
            }
            if turned_away > 2 * self.processes + 1 {
                let group = self.display_name();
                return Err(DaemonError::Replaced {
                    group,
                    attempts: turned_away,
                });
            }
            if lost > LOST_TRIES {
                return Err(DaemonError::Lost {
                    group: self.display_name(),
                    pid: 0,
                });
            }
            log::request(
                request,
                Level::Debug,
                "the daemon did not take the request; once more",
            );
        }
    }

    fn display_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}
