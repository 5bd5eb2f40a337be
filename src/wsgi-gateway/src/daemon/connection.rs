//! One connection of an Apache child: frames in, frames out.
//!
//! Used by one request thread at a time, without the GIL. A request is looked at with MSG_PEEK and
//! stays in the socket until the application's code is about to run. When the process dies before
//! that, the kernel resets the connection because of the unread bytes, and the child knows that it
//! may give the request to another process (unix(7): a socket closed with unread data).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use thiserror::Error;
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::WireError;
use wsgi_wire::frame::{HEADER_BYTES, Header};
use wsgi_wire::head;
use wsgi_wire::secret::Secret;
use wsgi_wire::to_child;
use wsgi_wire::to_daemon::ToDaemonTag;

/// Room that holds almost every request, so that one look finds it whole.
const USUAL_REQUEST: usize = 32 << 10;

/// The largest request that is looked at again in a grown buffer; beyond it a request is larger
/// than a socket's buffer, so it cannot be there whole before some of it was taken.
const LARGEST_LOOK: usize = 128 << 10;

/// Why a connection has to be closed.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    /// A system call failed.
    #[error("cannot {action} an Apache child")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The peer sent something that is no message.
    #[error("unreadable message from an Apache child")]
    Wire(#[from] WireError),
    /// The peer sent a message that is not due.
    #[error("unexpected {0:?} message from an Apache child")]
    Unexpected(ToDaemonTag),
    /// The peer does not know the group's secret.
    #[error(
        "process {pid} of user {uid} sent a request without the group's secret, so it is none of Apache's"
    )]
    Impostor {
        /// The process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// The peer closed the connection inside a message.
    #[error("an Apache child closed its connection inside a message")]
    Cut,
}

impl ConnectionError {
    /// Whether the peer simply went away, which is nobody's fault.
    pub(super) fn is_peer_gone(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match self {
            ConnectionError::Io { source, .. } => {
                matches!(source.kind(), BrokenPipe | ConnectionReset)
            }
            ConnectionError::Cut => true,
            ConnectionError::Wire(_)
            | ConnectionError::Unexpected(_)
            | ConnectionError::Impostor { .. } => false,
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ConnectionError {
    move |source| ConnectionError::Io { action, source }
}

/// What a look at a readable connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A request of so many bytes, header included, all of them at the front of the buffer.
    Whole(usize),
    /// The beginning of a request of so many bytes.
    Beginning(usize),
    /// Nothing to read yet.
    Nothing,
    /// The peer has closed the connection.
    Closed,
}

/// How this process introduces itself on a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Introduction {
    /// The process id.
    pub(super) pid: u32,
    /// The process's row in the hint page.
    pub(super) slot: u32,
}

/// A connection of an Apache child.
#[derive(Debug)]
pub(super) struct Connection {
    /// Shared with whoever is about to arm its event, and with nobody else.
    socket: Arc<OwnedFd>,
    welcomed: bool,
}

impl Connection {
    /// A connection on which nothing was sent yet.
    pub(super) fn new(socket: OwnedFd) -> Connection {
        Connection {
            socket: Arc::new(socket),
            welcomed: false,
        }
    }

    /// The descriptor, which names the connection as long as it is open.
    pub(super) fn number(&self) -> u32 {
        self.socket.as_raw_fd().unsigned_abs()
    }

    /// The descriptor, kept open for a caller that gives the connection away meanwhile.
    pub(super) fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// The descriptor.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Why the peer is refused that does not know the secret.
    fn impostor(&self) -> ConnectionError {
        match socket::peer(self.as_fd()) {
            Ok(peer) => ConnectionError::Impostor {
                pid: peer.pid,
                uid: peer.uid,
            },
            Err(source) => ConnectionError::Io {
                action: "identify",
                source,
            },
        }
    }

    /// Appends a `Welcome` to what is to be sent first on this connection, and later nothing.
    pub(super) fn introduce(&mut self, process: Introduction, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.welcomed, true) {
            to_child::append_welcome(out, process.pid, process.slot);
        }
    }

    /// Sends a `Welcome` on a connection that had none.
    pub(super) fn introduce_now(&mut self, process: Introduction) -> Result<(), ConnectionError> {
        let mut welcome = Vec::new();
        self.introduce(process, &mut welcome);
        match welcome.is_empty() {
            true => Ok(()),
            false => self.send(&mut [IoSlice::new(&welcome)]),
        }
    }

    /// Looks at the next request without taking it; `buffer` has some room and may be grown. One
    /// without the group's secret gets no further: it takes no thread and starts no clock.
    pub(super) fn look(
        &self,
        buffer: &mut Vec<u8>,
        secret: &Secret,
    ) -> Result<Arrival, ConnectionError> {
        if buffer.len() < USUAL_REQUEST {
            buffer.resize(USUAL_REQUEST, 0);
        }
        let seen = match socket::peek(self.as_fd(), buffer, Wait::No) {
            Ok(0) => return Ok(Arrival::Closed),
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Arrival::Nothing),
            Err(error) => return Err(failed("look at the request of")(error)),
        };
        // A child sends header and secret in one piece, so all of it can be seen or nothing.
        let Some((header, head)) = buffer[..seen].split_first_chunk::<HEADER_BYTES>() else {
            return Err(self.impostor());
        };
        let total = HEADER_BYTES + request_length(header)?;
        if !head::secret_in(head).is_some_and(|shown| secret.is(&shown)) {
            return Err(self.impostor());
        }
        if seen == buffer.len() && total > seen && total <= LARGEST_LOOK {
            buffer.resize(total, 0);
            return self.look(buffer, secret);
        }
        Ok(if seen >= total {
            Arrival::Whole(total)
        } else {
            Arrival::Beginning(total)
        })
    }

    /// Takes a request that is too long to be looked at whole: all of it but its last byte, which
    /// is only looked at. Afterwards `buffer` begins with the whole request of the returned length.
    pub(super) fn take_all_but_last(&self, buffer: &mut Vec<u8>) -> Result<usize, ConnectionError> {
        self.receive_exactly(&mut buffer[..HEADER_BYTES])?;
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&buffer[..HEADER_BYTES]);
        let total = HEADER_BYTES + request_length(&header)?;
        if total == HEADER_BYTES {
            return Err(WireError::Short("request").into());
        }
        if buffer.len() < total {
            buffer.resize(total, 0);
        }
        self.receive_exactly(&mut buffer[HEADER_BYTES..total - 1])?;
        match socket::peek(self.as_fd(), &mut buffer[total - 1..total], Wait::Yes) {
            Ok(0) => Err(ConnectionError::Cut),
            Ok(_) => Ok(total),
            Err(error) => Err(failed("look at the request of")(error)),
        }
    }

    /// Takes `length` bytes that were looked at before; does not wait.
    pub(super) fn discard(
        &self,
        length: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<(), ConnectionError> {
        if scratch.len() < USUAL_REQUEST {
            scratch.resize(USUAL_REQUEST, 0);
        }
        let mut left = length;
        while left > 0 {
            let room = left.min(scratch.len());
            match socket::receive(self.as_fd(), &mut scratch[..room], Wait::No) {
                Ok(0) => return Err(ConnectionError::Cut),
                Ok(taken) => left -= taken,
                Err(error) => return Err(failed("take the request of")(error)),
            }
        }
        Ok(())
    }

    /// Waits for the child, at first or after something was sent to it: in a receive the thread would
    /// also be woken when the child takes that.
    pub(super) fn wait_readable(&self) -> Result<(), ConnectionError> {
        let waited = socket::wait_readable(self.as_fd(), None);
        waited.map(drop).map_err(failed("read from"))
    }

    /// Fills `buffer` from the connection.
    pub(super) fn receive_exactly(&self, buffer: &mut [u8]) -> Result<(), ConnectionError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match socket::receive(self.as_fd(), &mut buffer[filled..], Wait::Yes) {
                Ok(0) => return Err(ConnectionError::Cut),
                Ok(count) => filled += count,
                Err(error) => return Err(failed("read from")(error)),
            }
        }
        Ok(())
    }

    /// Waits and receives what is there into two buffers, one after the other; at least one byte.
    pub(super) fn receive_into(&self, parts: [&mut [u8]; 2]) -> Result<usize, ConnectionError> {
        let mut parts = parts.map(IoSliceMut::new);
        match socket::receive_parts(self.as_fd(), &mut parts) {
            Ok(0) => Err(ConnectionError::Cut),
            Ok(count) => Ok(count),
            Err(error) => Err(failed("read from")(error)),
        }
    }

    /// Sends all parts.
    pub(super) fn send(&self, parts: &mut [IoSlice<'_>]) -> Result<(), ConnectionError> {
        socket::send_all(self.as_fd(), parts).map_err(failed("write to"))
    }

    /// Sends as much as there is room for, and never waits; answers how many bytes went.
    pub(super) fn send_what_fits(&self, parts: &[IoSlice<'_>]) -> Result<usize, ConnectionError> {
        socket::send_what_fits(self.as_fd(), parts).map_err(failed("write to"))
    }

    /// Sends a frame with a descriptor.
    pub(super) fn send_with_descriptor(
        &self,
        frame: &[u8],
        passed: BorrowedFd<'_>,
    ) -> Result<(), ConnectionError> {
        socket::send_with_descriptor(self.as_fd(), frame, passed).map_err(failed("pass a file to"))
    }
}

fn request_length(header: &[u8; HEADER_BYTES]) -> Result<usize, ConnectionError> {
    let header = Header::<ToDaemonTag>::decode(header)?;
    match header.tag {
        ToDaemonTag::Request => Ok(header.length as usize),
        other => Err(ConnectionError::Unexpected(other)),
    }
}
