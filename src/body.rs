//! The request body, read from the client only when the application asks for it.
//!
//! Runs in a child's request thread. Reading late makes `100 Continue`, back-pressure and time-outs
//! right: httpd's input filters answer the expectation at the first read and apply Timeout,
//! mod_reqtimeout and LimitRequestBody.

use wsgi_wire::Failure;
use wsgi_wire::head::Body;

use crate::httpd::brigade::{Brigade, Wait, body_error_status};
use crate::httpd::log::AprError;
use crate::httpd::request::Request;

/// A declared body up to this many bytes travels with the request's head if it is there already.
const INLINE_BYTES: u64 = 16 << 10;

/// The most that one read takes from the client, bytes: what the socket to a daemon holds.
const READ_BYTES: u64 = 128 << 10;

/// What the request's headers declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// No body.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// A chunked body.
    Unknown,
}

/// A request's body.
#[derive(Debug)]
pub struct RequestBody<'r> {
    request: Request<'r>,
    declared: Declared,
    /// What the last read gave.
    brigade: Option<Brigade<'r>>,
    /// What came before it was asked for.
    early: Vec<u8>,
    taken_early: usize,
    whole: bool,
    ended: bool,
    failed: Option<Failure>,
}

impl<'r> RequestBody<'r> {
    /// Looks whether a short body is there already; never waits, and reads nothing from a client
    /// that waits for `100 Continue`.
    pub fn open(request: Request<'r>, declared: Declared) -> Self {
        let mut body = RequestBody {
            request,
            declared,
            brigade: None,
            early: Vec::new(),
            taken_early: 0,
            whole: false,
            ended: declared == Declared::Nothing,
            failed: None,
        };
        if let Declared::Length(length) = declared
            && length <= INLINE_BYTES
            && !request.expects_continue()
        {
            body.read_early(length);
        }
        body
    }

    /// How the body travels.
    pub fn travels(&self) -> Body<'_> {
        match self.declared {
            Declared::Nothing => Body::None,
            Declared::Length(_) if self.whole => Body::Inline(&self.early),
            Declared::Length(length) => Body::Pulled(Some(length)),
            Declared::Unknown => Body::Pulled(None),
        }
    }

    fn read_early(&mut self, length: u64) {
        let brigade = self
            .brigade
            .get_or_insert_with(|| Brigade::new(self.request));
        let early = &mut self.early;
        while (early.len() as u64) < length {
            let wanted = length - early.len() as u64;
            let before = early.len();
            let outcome = brigade
                .read_body(wanted, Wait::No)
                .and_then(|()| brigade.for_each_data(|data| early.extend_from_slice(data)));
            brigade.clear();
            match outcome {
                Ok(true) => break,
                Ok(false) if early.len() > before => {}
                Ok(false) => return,
                Err(error) if error.is_again() => return,
                Err(error) => {
                    self.failed = Some(failure(error));
                    return;
                }
            }
        }
        self.whole = early.len() as u64 == length;
    }

    /// Waits for data and gives at most `max` bytes of it, in pieces that stay until the next read;
    /// none is the end of the body.
    pub fn read(&mut self, max: u64) -> Result<Vec<&[u8]>, Failure> {
        let most = usize::try_from(max.min(READ_BYTES)).unwrap_or(usize::MAX);
        if self.taken_early < self.early.len() {
            let start = self.taken_early;
            self.taken_early = self.early.len().min(start.saturating_add(most));
            return Ok(vec![&self.early[start..self.taken_early]]);
        }
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let read = self.read_from_client(most).map_err(failure);
        self.failed = read.as_ref().err().copied();
        let count = read?;
        match &self.brigade {
            Some(brigade) => brigade.pieces(count).map_err(failure),
            None => Ok(Vec::new()),
        }
    }

    /// Waits until there is something, and answers how much of the brigade it is; a filter may give
    /// more than it was asked for, which is kept for the next read.
    fn read_from_client(&mut self, most: usize) -> Result<usize, AprError> {
        let brigade = self
            .brigade
            .get_or_insert_with(|| Brigade::new(self.request));
        self.early.clear();
        self.taken_early = 0;
        brigade.clear();
        let mut count = 0;
        while count == 0 && !self.ended && !self.whole {
            brigade.clear();
            brigade.read_body(most as u64, Wait::Yes)?;
            let early = &mut self.early;
            self.ended = brigade.for_each_data(|data| {
                let (now, later) = data.split_at(data.len().min(most - count));
                count += now.len();
                early.extend_from_slice(later);
            })?;
        }
        Ok(count)
    }
}

/// What a failure to read means to the application.
fn failure(error: AprError) -> Failure {
    match body_error_status(error) {
        413 => Failure::BodyTooLarge,
        408 => Failure::BodyTimedOut,
        _ if error.is_disconnect() => Failure::ClientGone,
        _ => Failure::BodyMalformed,
    }
}
