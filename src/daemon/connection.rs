//! Connections of a child to a daemon group: made when needed, kept while they are idle.
//!
//! A kept connection leads to one process and is used again only while that process has a free
//! thread; otherwise a new connection joins the listening socket's backlog, which is the group's
//! queue and gives each process what it can take.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use wsgi_unix::socket;

use super::queue::{MARGIN, Queue, Queued};
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
    /// How long the daemon may be silent; `None`: any time.
    pub silence: Option<Duration>,
}

/// Until when a request waits to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a place in the queue: connect-timeout.
    connect: Instant,
    /// For a thread: queue-timeout, where there is one.
    expiry: Option<Instant>,
}

impl Patience {
    /// Until when it waits for a place in the queue.
    fn until(self) -> Instant {
        self.expiry
            .map_or(self.connect, |expiry| self.connect.min(expiry))
    }

    /// How much longer it may wait for a thread; nothing once a daemon would refuse it.
    fn time_in_queue(self) -> Duration {
        let until = self.expiry.and_then(|expiry| expiry.checked_sub(MARGIN));
        until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// Whether it has waited for a thread for too long.
    pub fn has_expired(self) -> bool {
        self.expiry.is_some_and(|expiry| Instant::now() >= expiry)
    }

    /// As much of `wait` as is left for a thread to take it, and never nothing: a time-out of zero
    /// would mean any time.
    pub fn bounded(self, wait: Duration) -> Duration {
        let Some(expiry) = self.expiry else {
            return wait;
        };
        let left = expiry.saturating_duration_since(Instant::now());
        wait.min(left).max(Duration::from_millis(1))
    }
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
    /// A new one has a place in the group's queue, where that is counted.
    pub(super) fn connection(
        &self,
        queue: bool,
        patience: Patience,
    ) -> Result<(Connection, Option<Queued<'_>>), DaemonError> {
        if !queue && let Some(connection) = self.idle_connection() {
            return Ok((connection, None));
        }
        let now = Instant::now();
        let left = patience.until().saturating_duration_since(now);
        let timed_out = || self.queue_error(patience);
        if left.is_zero() {
            return Err(timed_out());
        }
        let queued = match &self.queue {
            Some(queue) => Some(self.join(queue, patience)?),
            None => None,
        };
        let fd = socket::connect(&self.socket, left).map_err(|source| match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => timed_out(),
            _ => DaemonError::Connect {
                group: self.display_name(),
                socket: self.socket.clone(),
                source,
            },
        })?;
        let mut connection = Connection {
            fd,
            peer: None,
            reused: false,
            answered: false,
            silence: None,
        };
        self.set_buffers(&connection)?;
        let first_wait = self.connect_timeout.min(self.socket_timeout);
        self.set_patience(&mut connection, patience.bounded(first_wait))?;
        Ok((connection, queued))
    }

    /// A place in the queue, if a thread is likely to come free in time.
    fn join<'q>(&'q self, queue: &'q Queue, patience: Patience) -> Result<Queued<'q>, DaemonError> {
        let left = patience.time_in_queue();
        if left.is_zero() {
            return Err(self.expired(queue));
        }
        let joined = queue.join(&self.page, left);
        joined.map_err(|expected| DaemonError::Overloaded {
            group: self.display_name(),
            expected,
            left,
            telling: queue.refusals().note(),
        })
    }

    fn expired(&self, queue: &Queue) -> DaemonError {
        DaemonError::Expired {
            group: self.display_name(),
            waited: queue.timeout(),
            telling: queue.refusals().note(),
        }
    }

    /// How long a request that comes now may wait.
    pub(super) fn patience(&self) -> Patience {
        Patience {
            connect: Instant::now() + self.connect_timeout,
            expiry: self.queue.as_ref().map(|queue| queue.expiry()),
        }
    }

    /// No daemon took the request in time.
    pub(super) fn queue_error(&self, patience: Patience) -> DaemonError {
        match &self.queue {
            Some(queue) if patience.has_expired() => self.expired(queue),
            _ => DaemonError::Queue {
                group: self.display_name(),
                waited: self.connect_timeout,
            },
        }
    }

    /// send-buffer-size and receive-buffer-size.
    fn set_buffers(&self, connection: &Connection) -> Result<(), DaemonError> {
        let fd = connection.as_fd();
        let sent = match self.relay.send_buffer {
            0 => Ok(()),
            bytes => socket::set_send_buffer(fd, bytes),
        };
        let received = || match self.relay.receive_buffer {
            0 => Ok(()),
            bytes => socket::set_receive_buffer(fd, bytes),
        };
        sent.and_then(|()| received())
            .map_err(|source| DaemonError::Socket {
                group: self.display_name(),
                pid: 0,
                source,
            })
    }

    /// Sets how long the daemon may be silent from now on, and may take nothing.
    pub(super) fn set_patience(
        &self,
        connection: &mut Connection,
        timeout: Duration,
    ) -> Result<(), DaemonError> {
        connection.silence = Some(timeout).filter(|timeout| !timeout.is_zero());
        let set = socket::set_send_timeout(connection.as_fd(), Some(timeout));
        set.map_err(|source| DaemonError::Socket {
            group: self.display_name(),
            pid: 0,
            source,
        })
    }

    /// Whether no process of the group serves: none has started, or all have died.
    pub(super) fn is_deserted(&self) -> bool {
        (0..self.page.slots())
            .filter_map(|index| self.page.slot(index))
            .all(|slot| !slot.is_open())
    }

    /// The idle connection used last whose process has a free thread: last in, first out keeps few
    /// processes and threads warm.
    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let has_room = |connection: &Connection| {
            let slot = connection.peer.and_then(|peer| self.page.slot(peer.slot));
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
}
