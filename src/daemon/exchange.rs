//! One request on one connection: the head goes out, then the daemon leads; it asks for the body
//! and sends the response.
//!
//! Runs in a child's request thread. What a daemon sends is checked before it reaches the client:
//! a daemon is somebody else's code.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use wsgi_unix::file;
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::Failure;
use wsgi_wire::frame::Header;
use wsgi_wire::head::EncodedHead;
use wsgi_wire::launch::Message;
use wsgi_wire::to_child::{FileSegment, ToChild};
use wsgi_wire::to_daemon::{
    ToDaemonTag, append_body_end, append_body_failed, append_scoreboard, append_variable,
};
use wsgi_wire::{WireError, frame};

use super::connection::{Connection, Patience, Peer};
use super::frames::{FrameError, Frames, Step};
use super::queue::Queued;
use super::{DaemonError, Group};
use crate::body::RequestBody;
use crate::httpd::log;
use crate::httpd::request::Request;
use crate::httpd::scoreboard;
use crate::httpd::status::Status;
use crate::response::{Response, Rules};

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// The response is whole; the connection can be used again.
    Answered {
        /// For httpd.
        status: Status,
        /// The connection.
        connection: Connection,
    },
    /// The request failed and may not be tried again.
    Failed(DaemonError),
    /// The process had no free thread.
    Busy,
    /// The process is being replaced.
    TurnedAway,
    /// The connection was lost before the application started.
    NotStarted {
        /// Whether it had carried a request before, so that it may have been closed as idle.
        reused: bool,
    },
}

/// What the daemon is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// An application's response, for the client.
    Response(Rules),
    /// The answers of functions, for us.
    Answers,
}

/// An attempt.
#[derive(Debug)]
pub struct Exchange<'x> {
    group: &'x Group,
    request: Request<'x>,
    purpose: Purpose,
    answers: Option<Vec<u8>>,
    response: Response<'x>,
    connection: Option<Connection>,
    peer: Option<Peer>,
    started: bool,
    /// When the client last got what there was.
    flushed: Option<Instant>,
    /// Until when it waits to be taken, and its place among those that wait.
    patience: Patience,
    queued: Option<Queued<'x>>,
    /// When a thread took it, where that is of interest.
    taken: Option<Instant>,
    /// connect-timeout has passed without a message, and somebody serves.
    queued_long: bool,
    out: Vec<u8>,
}

/// What a message leads to.
enum Next {
    GoOn,
    End,
    Stop(Outcome),
}

impl<'x> Exchange<'x> {
    /// An attempt on this connection.
    pub fn new(
        group: &'x Group,
        request: Request<'x>,
        purpose: Purpose,
        (connection, queued): (Connection, Option<Queued<'x>>),
        patience: Patience,
    ) -> Self {
        let rules = match purpose {
            Purpose::Response(rules) => rules,
            Purpose::Answers => Rules::default(),
        };
        Exchange {
            group,
            request,
            purpose,
            answers: None,
            response: Response::new(request, rules),
            peer: connection.peer,
            connection: Some(connection),
            started: false,
            flushed: None,
            patience,
            queued,
            taken: None,
            queued_long: false,
            out: Vec::new(),
        }
    }

    /// Runs it to its end.
    pub fn run(&mut self, head: &EncodedHead, body: &mut RequestBody<'_>) -> Outcome {
        let Some(mut connection) = self.connection.take() else {
            return Outcome::NotStarted { reused: false };
        };
        if let Err(error) = send_head(&connection, head) {
            return self.lost(FrameError::Socket(error), connection.reused);
        }
        if connection.answered {
            // It leads to a process that had a free thread.
            self.is_taken();
        }
        let mut frames = Frames::new();
        let mut wait = Wait::Yes;
        loop {
            let step = match frames.next(&connection, wait) {
                Ok(step) => step,
                Err(error) => match self.wait_on(error, &mut connection) {
                    Ok(()) => continue,
                    Err(outcome) => return outcome,
                },
            };
            if !connection.answered {
                connection.answered = true;
                self.is_taken();
                if let Err(error) = self
                    .group
                    .set_patience(&mut connection, self.group.socket_timeout)
                {
                    return Outcome::Failed(error);
                }
            }
            wait = Wait::No;
            let next = match step {
                Step::Nothing => match self.more_comes(&connection) {
                    Ok(true) => Next::GoOn,
                    Ok(false) => {
                        // The client shall have what there is.
                        wait = Wait::Yes;
                        self.flushed = Some(Instant::now());
                        self.client(|response| response.flush())
                    }
                    Err(source) => Next::Stop(Outcome::Failed(self.socket_error(source))),
                },
                Step::Data(_) if self.is_asking() || !self.response.has_begun() => {
                    return self.out_of_order();
                }
                Step::Data(data) => {
                    self.started = true;
                    self.client(|response| response.data(data.iter(), false))
                }
                Step::Message(message, descriptor) => {
                    if matches!(
                        message,
                        ToChild::BodyWanted { .. } | ToChild::ScoreboardWanted
                    ) {
                        wait = Wait::Yes;
                    }
                    self.message(message, descriptor, &connection, body)
                }
            };
            match next {
                Next::GoOn => {}
                Next::Stop(outcome) => return outcome,
                Next::End if !frames.is_drained() => {
                    return self.protocol(WireError::Trailing(1));
                }
                Next::End => return self.finish(connection),
            }
        }
    }

    /// Whether the daemon sends more within response-flush-delay of the last flush. A piece after a pause
    /// goes at once; many that follow each other closely travel together.
    fn more_comes(&self, connection: &Connection) -> io::Result<bool> {
        let Some(flushed) = self.flushed.filter(|_| self.response.has_begun()) else {
            return Ok(false);
        };
        let delay = self.group.relay.flush_delay;
        let rest = delay.saturating_sub(flushed.elapsed());
        Ok(!rest.is_zero() && socket::wait_readable(connection.as_fd(), Some(rest))?)
    }

    /// A thread has the request. Where the queue is counted a daemon says so at once, by its first
    /// message on a new connection.
    fn is_taken(&mut self) {
        self.queued = None;
        if let Some(queue) = &self.group.queue {
            queue.note_taken();
            self.taken = Some(Instant::now());
        }
    }

    /// How long the request has occupied a thread; known where the queue is counted.
    pub fn service(&self) -> Option<Duration> {
        self.taken.map(|taken| taken.elapsed())
    }

    /// A queue may be long, so silence before the first message means nothing while a process of
    /// the group serves: the rest of socket-timeout is waited. While none does, nobody will come.
    fn wait_on(&mut self, error: FrameError, connection: &mut Connection) -> Result<(), Outcome> {
        let group = self.group;
        if !error.is_timeout() || connection.answered {
            return Err(self.lost(error, connection.reused));
        }
        if self.patience.has_expired() || group.is_deserted() {
            return Err(Outcome::Failed(group.queue_error(self.patience)));
        }
        let rest = group.socket_timeout.saturating_sub(group.connect_timeout);
        if rest.is_zero() || self.queued_long {
            return Err(self.lost(error, connection.reused));
        }
        self.queued_long = true;
        group
            .set_patience(connection, self.patience.bounded(rest))
            .map_err(Outcome::Failed)
    }

    /// Ends the response of a failed attempt: an error for the dispatcher if the client has seen
    /// nothing, else a broken-off response.
    pub fn fail(&mut self, error: DaemonError) -> Result<Status, DaemonError> {
        if self.is_asking() {
            return Err(error);
        }
        let failure = match error {
            DaemonError::Gateway(failure) => Some(failure),
            _ => None,
        };
        let status = self.response.fail(failure, error.status());
        if status == Status::OK {
            // The dispatcher learns of a response only, so this is the place to log why it is cut.
            if let Some(level) = error.level() {
                log::request(self.request, level, &error);
            }
            return Ok(status);
        }
        Err(error)
    }

    fn is_asking(&self) -> bool {
        matches!(self.purpose, Purpose::Answers)
    }

    /// What the functions returned, encoded; nothing if the purpose was another.
    pub fn into_answers(self) -> Vec<u8> {
        self.answers.unwrap_or_default()
    }

    fn finish(&mut self, mut connection: Connection) -> Outcome {
        if self.is_asking() {
            if self.answers.is_none() {
                return self.protocol(WireError::Short("answers of functions"));
            }
            connection.peer = self.peer;
            return Outcome::Answered {
                status: Status::OK,
                connection,
            };
        }
        if !self.response.has_begun() {
            return self.protocol(WireError::Short("response head"));
        }
        connection.peer = self.peer;
        Outcome::Answered {
            status: self.response.finish(),
            connection,
        }
    }

    fn message(
        &mut self,
        message: ToChild<'_>,
        descriptor: Option<OwnedFd>,
        connection: &Connection,
        body: &mut RequestBody<'_>,
    ) -> Next {
        match message {
            ToChild::Welcome { pid, slot } => {
                self.peer = Some(Peer { pid, slot });
                return Next::GoOn;
            }
            ToChild::Busy if !self.started => return Next::Stop(Outcome::Busy),
            ToChild::Retry if !self.started => return Next::Stop(Outcome::TurnedAway),
            _ => self.started = true,
        }
        match message {
            ToChild::End => Next::End,
            ToChild::Failed(failure) => Next::Stop(Outcome::Failed(DaemonError::Gateway(failure))),
            ToChild::Log { level, text } => {
                log::request_line(self.request, level, text.to_vec());
                Next::GoOn
            }
            ToChild::Answer(answers) if self.is_asking() && self.answers.is_none() => {
                self.answers = Some(answers.to_vec());
                Next::GoOn
            }
            ToChild::VariableWanted(name) if self.is_asking() => {
                self.send_variable(connection, name)
            }
            // A daemon must not reach the client of a request that others still decide about.
            _ if self.is_asking() => Next::Stop(self.out_of_order()),
            ToChild::BodyWanted { max } => self.send_body(connection, body, max),
            ToChild::ScoreboardWanted => self.send_scoreboard(connection),
            // 100 and 101 are about the connection, which is httpd's (RFC 9110 §15.2).
            ToChild::Interim(head)
                if !self.response.has_begun() && (102..200).contains(&head.status) =>
            {
                self.response.interim(&head);
                Next::GoOn
            }
            ToChild::Head(head) if !self.response.has_begun() && head.status >= 200 => {
                if let Some(limit) = self.group.relay.header_bytes
                    && let Some(name) = head.header_over(limit)
                {
                    return Next::Stop(self.too_long(name, limit));
                }
                self.response.head(&head);
                Next::GoOn
            }
            ToChild::File(segment) if self.response.has_begun() => self.file(segment, descriptor),
            _ => Next::Stop(self.out_of_order()),
        }
    }

    /// Passes on to the client; a client that is gone ends the attempt, and by it the connection,
    /// from which the daemon learns.
    fn client(&mut self, send: impl FnOnce(&mut Response<'x>) -> Result<(), Failure>) -> Next {
        match send(&mut self.response) {
            Ok(()) => Next::GoOn,
            Err(failure) => Next::Stop(Outcome::Failed(DaemonError::Gateway(failure))),
        }
    }

    /// A passed descriptor is hostile until checked: only a regular file can be sent without
    /// waiting for whoever made it, and its length is what it has now.
    fn file(&mut self, segment: FileSegment, descriptor: Option<OwnedFd>) -> Next {
        let Some(descriptor) = descriptor else {
            return Next::Stop(self.protocol(WireError::Short("file descriptor")));
        };
        let length = match file::sendable_length(descriptor.as_fd()) {
            Ok(Some(length)) => length,
            Ok(None) => return Next::Stop(self.protocol(WireError::Short("regular file"))),
            Err(source) => return Next::Stop(Outcome::Failed(self.socket_error(source))),
        };
        let available = length.saturating_sub(segment.offset);
        let count = segment.length.min(available);
        if count < segment.length {
            let failure = Failure::Incomplete;
            return Next::Stop(Outcome::Failed(DaemonError::Gateway(failure)));
        }
        self.client(|response| response.file(descriptor, segment.offset, count))
    }

    /// Answers one `ScoreboardWanted`; whether the group may have it is the configuration's to say,
    /// not the daemon's.
    fn send_scoreboard(&mut self, connection: &Connection) -> Next {
        let allowed = self.group.server_metrics.then(scoreboard::read).flatten();
        let encoded = allowed.map_or_else(Vec::new, |scoreboard| scoreboard.to_bytes());
        self.out.clear();
        append_scoreboard(&mut self.out, &encoded);
        match socket::send_all(connection.as_fd(), &mut [IoSlice::new(&self.out)]) {
            Ok(()) => Next::GoOn,
            Err(error) => Next::Stop(self.lost(FrameError::Socket(error), connection.reused)),
        }
    }

    /// Answers one `BodyWanted` with exactly one message.
    fn send_body(&mut self, connection: &Connection, body: &mut RequestBody<'_>, max: u64) -> Next {
        // Whoever talks in turns may wait for our part before it sends the next of its own.
        if let Err(failure) = self.response.flush() {
            return Next::Stop(Outcome::Failed(DaemonError::Gateway(failure)));
        }
        let pieces = body.read(max);
        let failed = pieces.is_err();
        let sent = match pieces {
            Ok(pieces) if !pieces.is_empty() => send_body_data(connection, &pieces),
            end => {
                self.out.clear();
                match end {
                    Ok(_) => append_body_end(&mut self.out),
                    Err(failure) => append_body_failed(&mut self.out, failure),
                }
                socket::send_all(connection.as_fd(), &mut [IoSlice::new(&self.out)])
            }
        };
        match sent {
            // A daemon that takes no more of the body may have said why, so it is read on; if it has
            // gone, that shows there.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Next::GoOn,
            Err(_) if failed => Next::GoOn,
            Err(error) => Next::Stop(self.lost(FrameError::Socket(error), connection.reused)),
            Ok(()) => Next::GoOn,
        }
    }

    fn send_variable(&mut self, connection: &Connection, name: &[u8]) -> Next {
        self.out.clear();
        append_variable(&mut self.out, self.request.tls_variable(name));
        match socket::send_all(connection.as_fd(), &mut [IoSlice::new(&self.out)]) {
            Ok(()) => Next::GoOn,
            Err(error) => Next::Stop(self.lost(FrameError::Socket(error), connection.reused)),
        }
    }

    /// What a lost connection means. The daemon takes the head off its socket right before it
    /// calls the application, so data left unread there (ECONNRESET) and a connection that was
    /// closed before we sent (EPIPE) tell that nothing has started.
    fn lost(&self, error: FrameError, reused: bool) -> Outcome {
        let pid = self.peer.map_or(0, |peer| peer.pid);
        let group = self.group.display_name();
        let error = match error {
            FrameError::Protocol(source) => return self.protocol(source),
            FrameError::End => DaemonError::Lost { group, pid },
            FrameError::Socket(source) => match source.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if !self.started => {
                    return Outcome::NotStarted { reused };
                }
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    DaemonError::Lost { group, pid }
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => DaemonError::TimedOut {
                    group,
                    pid,
                    waited: self.group.socket_timeout,
                },
                _ => DaemonError::Socket { group, pid, source },
            },
        };
        Outcome::Failed(error)
    }

    fn socket_error(&self, source: io::Error) -> DaemonError {
        let pid = self.peer.map_or(0, |peer| peer.pid);
        DaemonError::Socket {
            group: self.group.display_name(),
            pid,
            source,
        }
    }

    fn too_long(&self, name: &[u8], limit: usize) -> Outcome {
        Outcome::Failed(DaemonError::Header {
            group: self.group.display_name(),
            name: String::from_utf8_lossy(name).into_owned(),
            limit,
        })
    }

    fn out_of_order(&self) -> Outcome {
        self.protocol(WireError::Value {
            field: "message order",
            value: 0,
        })
    }

    fn protocol(&self, source: WireError) -> Outcome {
        let pid = self.peer.map_or(0, |peer| peer.pid);
        let group = self.group.display_name();
        Outcome::Failed(DaemonError::Protocol { group, pid, source })
    }
}

/// Sends a part of the body from where it lies.
fn send_body_data(connection: &Connection, pieces: &[&[u8]]) -> io::Result<()> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let header = Header {
        tag: ToDaemonTag::BodyData,
        length: length as u32,
    }
    .encode();
    let mut parts = Vec::with_capacity(1 + pieces.len());
    parts.push(IoSlice::new(&header));
    parts.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
    socket::send_all(connection.as_fd(), &mut parts)
}

/// Sends the request's head, the body included if it travels inline.
fn send_head(connection: &Connection, head: &EncodedHead) -> io::Result<()> {
    let bytes = head.as_bytes();
    let too_long = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the request's head is too long",
        )
    };
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length <= frame::MAX_HEAD);
    let length = length.ok_or_else(too_long)?;
    let header = Header {
        tag: ToDaemonTag::Request,
        length,
    }
    .encode();
    let parts = &mut [IoSlice::new(&header), IoSlice::new(bytes)];
    socket::send_all(connection.as_fd(), parts)
}
