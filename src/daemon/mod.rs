//! The client of a daemon group: an Apache child's side of the group's socket.
//!
//! Runs in children's request threads; the parent only makes the [`Group`]. A group is shared by
//! all threads of a child: its one lock guards the list of idle connections.
//!
//! * [`connection`] connects, keeps idle connections and chooses among them.
//! * [`error`] is why there was no answer, and what the client is told then.
//! * [`frames`] reads messages.
//! * [`queue`] is what waits for a thread, where queue-timeout says for how long; [`refusals`] says how
//!   often the log tells of what may not wait.
//! * [`exchange`] is one request on one connection.
//! * [`template`] knows the groups that were made on demand, and asks the monitor for others.

mod connection;
mod error;
mod exchange;
mod frames;
mod queue;
mod refusals;
mod template;

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use wsgi_unix::hints::HintPage;
use wsgi_wire::head::{Attempts, EncodedHead};
use wsgi_wire::secret::Secret;

use crate::body::{Declared, RequestBody};
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;
use crate::httpd::server::Server;
use crate::httpd::status::Status;
use crate::response::Rules;
use connection::Connection;
pub use error::DaemonError;
use exchange::{Exchange, Outcome, Purpose};
use queue::Queue;
pub use template::{Template, TemplateParts};

/// A daemon group as children see it.
#[derive(Debug)]
pub struct Group {
    name: Vec<u8>,
    servers: Vec<Server<'static>>,
    socket: PathBuf,
    secret: Secret,
    processes: u32,
    threads: u32,
    server_metrics: bool,
    connect_timeout: Duration,
    socket_timeout: Duration,
    /// There with queue-timeout only.
    queue: Option<Queue>,
    relay: Relay,
    idle_limit: usize,
    page: HintPage,
    idle: Mutex<Vec<Connection>>,
}

// SAFETY: the server pointers are read only, to compare and to read their constant names (SAFETY.md,
// "Configuration is read-only"); everything else is Send and Sync by itself.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

/// How responses travel from a daemon to the client, as the group's options say.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// How long the client may take to accept bytes; `None`: Apache's Timeout.
    pub client_timeout: Option<Duration>,
    /// Bytes of the send buffer of connections to daemons; 0: the system's choice.
    pub send_buffer: usize,
    /// Bytes of the receive buffer of connections to daemons; 0: the system's choice.
    pub receive_buffer: usize,
    /// Bytes of the longest header, if there is a bound.
    pub header_bytes: Option<usize>,
    /// Bytes of a response after which Apache's filters are flushed.
    pub flush_bytes: u64,
    /// How long after a flush further pieces are waited for, to be sent together.
    pub flush_delay: Duration,
}

/// What the parent knows of a group when it makes one.
#[derive(Debug)]
pub struct GroupParts {
    /// The group's name.
    pub name: Vec<u8>,
    /// The servers it was defined in.
    pub servers: Vec<Server<'static>>,
    /// Its socket.
    pub socket: PathBuf,
    /// What its daemons know requests by.
    pub secret: Secret,
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
    /// How long a request may wait for a thread; zero: any time.
    pub queue_timeout: Duration,
    /// How its responses travel.
    pub relay: Relay,
    /// Its hint page.
    pub page: HintPage,
}

/// How often a request is tried again after a connection was lost before the application started.
const LOST_TRIES: u32 = 3;

impl Group {
    /// Makes a group, in the parent.
    pub fn new(parts: GroupParts) -> std::io::Result<Group> {
        let queue = match parts.queue_timeout {
            Duration::ZERO => None,
            timeout => Some(Queue::new(timeout)?),
        };
        let idle_limit = parts.processes.saturating_mul(parts.threads) as usize;
        Ok(Group {
            name: parts.name,
            servers: parts.servers,
            socket: parts.socket,
            secret: parts.secret,
            processes: parts.processes,
            threads: parts.threads,
            server_metrics: parts.server_metrics,
            connect_timeout: parts.connect_timeout,
            socket_timeout: parts.socket_timeout,
            queue,
            relay: parts.relay,
            idle_limit,
            page: parts.page,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether a request of `server` may use it.
    pub fn is_open_to(&self, server: Server<'_>) -> bool {
        server.may_use_what_is_of(&self.servers)
    }

    /// Lets a daemon of the group answer the request.
    pub fn serve(
        &self,
        request: Request<'_>,
        head: &mut EncodedHead,
        body: &mut RequestBody<'_>,
        rules: Rules,
    ) -> Result<Status, DaemonError> {
        let rules = Rules {
            client_timeout: self.relay.client_timeout,
            flush_bytes: Some(self.relay.flush_bytes),
            ..rules
        };
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
        head.set_secret(&self.secret);
        if self.threads == 0 {
            let group = self.display_name();
            return Err(DaemonError::NoThreads { group });
        }
        let patience = self.patience();
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
            let connection = self.connection(queue, patience)?;
            let mut exchange = Exchange::new(self, request, purpose, connection, patience);
            match exchange.run(head, body) {
                Outcome::Answered { status, connection } => {
                    self.keep(connection);
                    if let Some(queue) = &self.queue {
                        self.note_answered(queue, exchange.service(), request);
                    }
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

    /// What a group with a queue learns from a request that was answered.
    fn note_answered(&self, queue: &Queue, service: Option<Duration>, request: Request<'_>) {
        if let Some(service) = service {
            queue.note_service(service);
        }
        if let Some(others) = queue.refusals().overdue() {
            let group = self.display_name();
            let line = format!(
                "group '{group}' has refused {others} more requests that would have waited for too long"
            );
            log::request(request, Level::Error, line);
        }
    }

    fn display_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}
