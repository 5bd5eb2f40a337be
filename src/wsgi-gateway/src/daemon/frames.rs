//! The [`Exchange`] of a daemon: a request and its response as frames on a connection.
//!
//! One per request thread, used again for its next request; threads that the application started may
//! hold it longer and then find it closed. Never called with the GIL held, but for
//! [`Exchange::started`] and [`Exchange::send_at_once`]. Small frames are held back until something
//! has to reach the child, so that a short response is one system call.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use wsgi_unix::socket::Side;
use wsgi_wire::Failure;
use wsgi_wire::frame::{self, HEADER_BYTES, MAX_DATA};
use wsgi_wire::head::Body;
use wsgi_wire::to_child::{self, FileSegment, ToChildTag};

use super::connection::{Connection, ConnectionError, Introduction};
use crate::exchange::{AtOnce, Exchange, Verdict};
use crate::log::ProcessLog;
use crate::running::Running;

mod answers;
mod intervention;

use answers::{Answer, receive_answer, receive_scoreboard, receive_variable};

/// How many bytes of frames are held back at most; a larger piece is sent from where it lies.
const HELD_BACK: usize = 32 << 10;

/// How many lines wait for a request's start at most; further ones go to the process's log.
const EARLY_LINES: usize = 1000;

/// How the request's body reaches us.
#[derive(Debug, Default)]
struct Incoming {
    /// The bytes that came with the head; the allocation is kept for the next request.
    inline: Vec<u8>,
    /// How many of them were read.
    taken: usize,
    /// Further bytes have to be asked for.
    pulled: bool,
    /// How many further bytes the client declared.
    remaining: Option<u64>,
    /// Why the child cannot give more. The response does not depend on it.
    failed: Option<Failure>,
}

impl Incoming {
    fn begin(&mut self, body: Body<'_>) {
        self.inline.clear();
        self.taken = 0;
        self.failed = None;
        (self.pulled, self.remaining) = match body {
            Body::None => (false, None),
            Body::Inline(bytes) => {
                self.inline.extend_from_slice(bytes);
                (false, None)
            }
            Body::Pulled(length) => (length != Some(0), length),
        };
    }

    fn take_inline(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.inline[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        count
    }

    fn arrived(&mut self, count: usize) {
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.saturating_sub(count as u64);
            self.pulled = *remaining > 0;
        }
    }
}

/// One request's state; between requests there is no connection.
#[derive(Debug, Default)]
struct Request {
    connection: Option<Connection>,
    /// Bytes of the request that are still in the socket.
    unread: usize,
    started: bool,
    body: Incoming,
    /// Frames held back.
    out: Vec<u8>,
    /// Lines logged before the start, when a log frame would already mean that it has happened.
    early: Vec<(u8, Vec<u8>)>,
    scratch: Vec<u8>,
    failed: Option<Failure>,
}

/// See the module.
pub(super) struct FrameExchange {
    introduction: Introduction,
    log: ProcessLog,
    request: Mutex<Request>,
    /// The request for the rest of the process.
    running: Running,
    /// Sends can be cut short, as reads can.
    timed: bool,
    waiting: Mutex<Option<Waiting>>,
    /// A wait of this request was cut short, so its connection carries no other.
    cut: AtomicBool,
}

/// A thread waits for the child, and by it for the client.
struct Waiting {
    socket: Arc<OwnedFd>,
    side: Side,
}

impl FrameExchange {
    /// An exchange of the calling thread without a request; `log` gets what no child can be told,
    /// `timed` tells whether there is a request-timeout.
    pub(super) fn new(
        introduction: Introduction,
        log: ProcessLog,
        running: Running,
        timed: bool,
    ) -> FrameExchange {
        FrameExchange {
            introduction,
            log,
            request: Mutex::new(Request::default()),
            running,
            timed,
            waiting: Mutex::new(None),
            cut: AtomicBool::new(false),
        }
    }

    /// The request as the rest of the process sees it.
    pub(super) fn seen(&self) -> &Running {
        &self.running
    }

    /// Begins a request, of which `unread` bytes were only looked at.
    pub(super) fn begin(&self, connection: Connection, unread: usize, body: Body<'_>) {
        let mut request = self.request.lock();
        request.connection = Some(connection);
        request.unread = unread;
        request.started = false;
        request.failed = None;
        request.out.clear();
        request.body.begin(body);
        self.cut.store(false, Ordering::Relaxed);
        self.running.begin();
    }

    /// Ends the request as its verdict says; `before_last` runs when only the last bytes are left to
    /// be sent. Returns the connection when it can carry another request.
    pub(super) fn end(&self, verdict: Verdict, before_last: impl FnOnce()) -> Option<Connection> {
        let mut request = self.request.lock();
        self.running.end();
        if verdict == Verdict::Replace && !request.started {
            self.refuse(&mut request);
            before_last();
            return None;
        }
        // A request that ended before the application's code ran has been dealt with all the same.
        let mut outcome = self.start(&mut request);
        match verdict {
            Verdict::Whole => to_child::append_end(&mut request.out),
            Verdict::Failed(failure) => to_child::append_failed(&mut request.out, failure),
            Verdict::Replace => to_child::append_failed(&mut request.out, Failure::Internal),
        }
        before_last();
        if outcome.is_ok() {
            outcome = self.flush(&mut request);
        }
        let connection = request.connection.take();
        outcome.ok().and(connection).filter(|_| !self.was_cut())
    }

    fn refuse(&self, request: &mut Request) {
        for (level, text) in request.early.drain(..) {
            (self.log)(level, &text);
        }
        request.out.clear();
        to_child::append_retry(&mut request.out);
        // The failure is in the log, and the connection is closed in any case.
        let _ = self.flush(request);
        request.connection = None;
    }

    /// Gives the request and its connection up.
    pub(super) fn abandon(&self) {
        self.request.lock().connection = None;
        self.running.end();
        self.rescue_early_log();
    }

    /// Writes what a request logged before its start to the process's log: to be called when the
    /// process ends without waiting for it.
    pub(super) fn rescue_early_log(&self) {
        if let Some(mut request) = self.request.try_lock() {
            for (level, text) in request.early.drain(..) {
                (self.log)(level, &text);
            }
        }
    }

    fn start(&self, request: &mut Request) -> Result<(), Failure> {
        if request.started {
            return Ok(());
        }
        let Request {
            connection,
            unread,
            scratch,
            ..
        } = request;
        let Some(connection) = connection else {
            return Err(Failure::ClientGone);
        };
        let taken = connection.discard(std::mem::take(unread), scratch);
        self.check(request, taken)?;
        request.started = true;
        let Request { early, out, .. } = request;
        for (level, text) in early.drain(..) {
            to_child::append_log(out, level, &text);
        }
        Ok(())
    }

    /// Sends what was held back.
    fn flush(&self, request: &mut Request) -> Result<(), Failure> {
        self.send(request, &[], &[])
    }

    /// Sends what was held back, and then a frame's header and payload.
    fn send(&self, request: &mut Request, header: &[u8], payload: &[u8]) -> Result<(), Failure> {
        let (connection, out) = self.sending(request)?;
        let mut welcome = Vec::new();
        connection.introduce(self.introduction, &mut welcome);
        let mut parts = [&welcome[..], out, header, payload].map(IoSlice::new);
        let sent = match self.timed {
            true => self.wait(connection, Side::Both, || connection.send(&mut parts)),
            false => connection.send(&mut parts),
        };
        request.out.clear();
        self.check(request, sent)
    }

    fn sending<'r>(
        &self,
        request: &'r mut Request,
    ) -> Result<(&'r mut Connection, &'r [u8]), Failure> {
        match (request.failed, &mut request.connection) {
            (Some(failure), _) => Err(failure),
            (None, None) => Err(Failure::ClientGone),
            (None, Some(connection)) => Ok((connection, &request.out)),
        }
    }

    /// Turns an error of the connection into the failure that all further calls give.
    fn check<T>(
        &self,
        request: &mut Request,
        outcome: Result<T, ConnectionError>,
    ) -> Result<T, Failure> {
        outcome.map_err(|error| {
            let failure = self.judge(&error);
            request.failed = Some(failure);
            failure
        })
    }

    fn judge(&self, error: &ConnectionError) -> Failure {
        if error.is_peer_gone() {
            return Failure::ClientGone;
        }
        (self.log)(
            super::log::WARNING,
            super::log::with_causes(error).as_bytes(),
        );
        Failure::Internal
    }

    /// The request, if the caller may send or read.
    fn open(&self) -> Result<MutexGuard<'_, Request>, Failure> {
        let request = self.request.lock();
        match request.failed {
            Some(failure) => Err(failure),
            None if request.connection.is_none() => Err(Failure::ClientGone),
            None => Ok(request),
        }
    }

    /// Waits for the child in such a way that others can cut it short.
    fn wait<R>(&self, connection: &Connection, side: Side, wait: impl FnOnce() -> R) -> R {
        let socket = connection.socket();
        *self.waiting.lock() = Some(Waiting { socket, side });
        let result = wait();
        *self.waiting.lock() = None;
        result
    }

    fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Asks the child for body bytes and waits for its one answer.
    fn pull(&self, request: &mut Request, buffer: &mut [u8]) -> Result<usize, Failure> {
        let declared = request.body.remaining.unwrap_or(u64::MAX);
        let max = (buffer.len() as u64).min(declared).min(u64::from(MAX_DATA));
        to_child::append_body_wanted(&mut request.out, max);
        self.flush(request)?;
        let Some(connection) = &request.connection else {
            return Err(Failure::ClientGone);
        };
        let answer = self.wait(connection, Side::Reading, || {
            receive_answer(connection, &mut buffer[..max as usize])
        });
        if answer.is_err() && self.was_cut() {
            // The response can still go out.
            request.body.failed = Some(Failure::Interrupted);
            return Err(Failure::Interrupted);
        }
        match self.check(request, answer)? {
            Answer::Data(count) => {
                request.body.arrived(count);
                Ok(count)
            }
            Answer::End => {
                request.body.pulled = false;
                Ok(0)
            }
            Answer::Failed(failure) => {
                request.body.failed = Some(failure);
                Err(failure)
            }
        }
    }
}

impl Exchange for FrameExchange {
    fn running(&self) -> Option<&Running> {
        Some(&self.running)
    }

    fn started(&self) -> Result<(), Failure> {
        let mut request = self.open()?;
        self.start(&mut request)
    }

    fn read_body(&self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let mut request = self.open()?;
        if let Some(failure) = request.body.failed {
            return Err(failure);
        }
        let inline = request.body.take_inline(buffer);
        if inline > 0 || buffer.is_empty() || !request.body.pulled {
            return Ok(inline);
        }
        self.pull(&mut request, buffer)
    }

    fn send_interim(&self, head: &[u8]) -> Result<(), Failure> {
        let mut request = self.open()?;
        to_child::append_interim(&mut request.out, head);
        self.flush(&mut request)
    }

    fn send_head(&self, head: &[u8]) -> Result<(), Failure> {
        let mut request = self.open()?;
        to_child::append_head(&mut request.out, head);
        Ok(())
    }

    fn send_data(&self, data: &[u8], flush: bool) -> Result<(), Failure> {
        let mut request = self.open()?;
        if !flush && request.out.len() + data.len() <= HELD_BACK {
            if !data.is_empty() {
                to_child::append_data(&mut request.out, data);
            }
            return Ok(());
        }
        for piece in data.chunks(MAX_DATA as usize) {
            let header = to_child::data_header(piece.len() as u32);
            self.send(&mut request, &header, piece)?;
        }
        if request.out.is_empty() {
            Ok(())
        } else {
            self.flush(&mut request)
        }
    }

    fn send_at_once(&self, head: Option<&[u8]>, data: &[u8]) -> Result<AtOnce, Failure> {
        let request = self.request.try_lock();
        let request = request.filter(|request| request.started && data.len() <= HELD_BACK);
        let Some(mut request) = request else {
            return Ok(AtOnce::Refused);
        };
        if let Some(head) = head {
            to_child::append_head(&mut request.out, head);
        }
        let header = to_child::data_header(data.len() as u32);
        let (connection, out) = self.sending(&mut request)?;
        let mut welcome = Vec::new();
        connection.introduce(self.introduction, &mut welcome);
        let parts = [&welcome[..], out, &header, data];
        let sent = connection.send_what_fits(&parts.map(IoSlice::new));
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let whole = matches!(sent, Ok(sent) if sent == length);
        let all = if whole { Vec::new() } else { parts.concat() };
        request.out.clear();
        let sent = self.check(&mut request, sent)?;
        if whole {
            return Ok(AtOnce::Sent);
        }
        request.out.extend_from_slice(&all[sent..]);
        Ok(AtOnce::Begun)
    }

    fn send_file(&self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Failure> {
        let mut request = self.open()?;
        // The descriptor belongs to its frame's first byte, so nothing may precede it.
        self.flush(&mut request)?;
        let mut frame =
            Vec::with_capacity(HEADER_BYTES + frame::Tag::limit(ToChildTag::File) as usize);
        to_child::append_file(&mut frame, FileSegment { offset, length });
        let Some(connection) = &request.connection else {
            return Err(Failure::ClientGone);
        };
        let sent = connection.send_with_descriptor(&frame, file);
        self.check(&mut request, sent)
    }

    fn variable(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let mut request = self.open()?;
        to_child::append_variable_wanted(&mut request.out, name);
        self.flush(&mut request)?;
        let Some(connection) = &request.connection else {
            return Err(Failure::ClientGone);
        };
        let value = receive_variable(connection);
        self.check(&mut request, value)
    }

    fn answer(&self, answers: &[u8]) -> Result<(), Failure> {
        let mut request = self.open()?;
        to_child::append_answer(&mut request.out, answers);
        Ok(())
    }

    fn scoreboard(&self) -> Option<Vec<u8>> {
        let mut request = self.open().ok().filter(|request| request.started)?;
        to_child::append_scoreboard_wanted(&mut request.out);
        self.flush(&mut request).ok()?;
        let answer = receive_scoreboard(request.connection.as_ref()?);
        self.check(&mut request, answer).ok()
    }

    fn log(&self, level: u8, text: &[u8]) {
        let mut request = self.request.lock();
        if request.connection.is_none() || request.failed.is_some() {
            (self.log)(level, text);
        } else if request.started {
            to_child::append_log(&mut request.out, level, text);
            // A line that cannot be delivered is dropped; the failure meets the next call.
            let _ = self.flush(&mut request);
        } else if request.early.len() < EARLY_LINES {
            request.early.push((level, text.to_vec()));
        } else {
            (self.log)(level, text);
        }
    }
}
