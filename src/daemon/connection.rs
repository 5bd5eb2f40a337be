//! Connections of a child to a daemon group: made when needed, kept while they are idle.
//!
//! A kept connection leads to one process and is used again only while that process has a free
//! thread; otherwise a new connection joins the listening socket's backlog, which is the group's
//! queue and gives each process what it can take.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use wsgi_unix::hints::HintPage;
use wsgi_unix::socket;

use super::{DaemonError, Group};

/// A connection to one daemon process.
#[derive(Debug)]
pub struct Connection {
    fd: OwnedFd,
    /// The process behind it, once it has said so.
    pub peer: Option<Peer>,
    /// Whether it carried a request before.
    pub reused: bool,
    /// Whether anything came over it; until then it may wait in a queue that nobody serves.
    pub answered: bool,
}

/// The process at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its process id.
    pub pid: u32,
    /// Its row in the hint page.
    pub slot: u32,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Group {
    /// A connection whose process probably has a free thread; with `queue`, a new one in any case.
    pub(super) fn connection(
        &self,
        queue: bool,
        deadline: Instant,
    ) -> Result<Connection, DaemonError> {
        if !queue && let Some(connection) = self.idle_connection() {
            return Ok(connection);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timed_out = || self.queue_error();
        if left.is_zero() {
            return Err(timed_out());
        }
        let fd = socket::connect(&self.socket, left).map_err(|source| match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => timed_out(),
            _ => DaemonError::Connect {
                group: self.display_name(),
                socket: self.socket.clone(),
                source,
            },
        })?;
        let connection = Connection {
            fd,
            peer: None,
            reused: false,
            answered: false,
        };
        let first_wait = self.connect_timeout.min(self.socket_timeout);
        self.set_patience(&connection, first_wait)?;
        Ok(connection)
    }

    /// No daemon took the request within connect-timeout.
    pub(super) fn queue_error(&self) -> DaemonError {
        DaemonError::Queue {
            group: self.display_name(),
            waited: self.connect_timeout,
        }
    }

    /// Sets how long the daemon may be silent from now on.
    pub(super) fn set_patience(
        &self,
        connection: &Connection,
        timeout: Duration,
    ) -> Result<(), DaemonError> {
        let fd = connection.as_fd();
        socket::set_receive_timeout(fd, Some(timeout))
            .and_then(|()| socket::set_send_timeout(fd, Some(timeout)))
            .map_err(|source| DaemonError::Socket {
                group: self.display_name(),
                pid: 0,
                source,
            })
    }

    /// Whether no process of the group serves: none has started, or all have died.
    pub(super) fn is_deserted(&self) -> bool {
        let Some(page) = self.hint_page() else {
            return false;
        };
        (0..page.slots())
            .filter_map(|index| page.slot(index))
            .all(|slot| !slot.is_open())
    }

    /// The idle connection used last whose process has a free thread: last in, first out keeps few
    /// processes and threads warm.
    fn idle_connection(&self) -> Option<Connection> {
        let page = self.hint_page();
        let mut idle = self.idle.lock();
        let has_room = |connection: &Connection| {
            let slot = connection.peer.and_then(|peer| page?.slot(peer.slot));
            slot.is_none_or(|slot| slot.has_room())
        };
        let at = idle.iter().rposition(has_room)?;
        Some(idle.remove(at))
    }

    /// Keeps a connection for a later request.
    pub(super) fn keep(&self, mut connection: Connection) {
        connection.reused = true;
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_limit {
            idle.push(connection);
        }
    }

    /// The group's hint page, mapped once in each child; without it every process seems free.
    fn hint_page(&self) -> Option<&HintPage> {
        let page = self
            .page
            .get_or_init(|| HintPage::map_read_only(self.hints.as_fd()).ok());
        page.as_ref()
    }
}
