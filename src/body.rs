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

/// The most that one read takes from the client, bytes.
const READ_BYTES: u64 = 64 << 10;

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

    /// Waits for data and gives at most `max` bytes of it to `each`, in pieces; answers their
    /// count, 0 at the end of the body.
    pub fn read(&mut self, max: u64, mut each: impl FnMut(&[u8])) -> Result<usize, Failure> {
        if self.taken_early < self.early.len() {
            let left = &self.early[self.taken_early..];
            let count = left.len().min(usize::try_from(max).unwrap_or(usize::MAX));
            each(&left[..count]);
            self.taken_early += count;
            return Ok(count);
        }
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let outcome = self.read_from_client(max.min(READ_BYTES), each);
        self.failed = outcome.as_ref().err().copied();
        outcome
    }

    fn read_from_client(
        &mut self,
        max: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let brigade = self
            .brigade
            .get_or_insert_with(|| Brigade::new(self.request));
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        while !self.ended && !self.whole {
            let mut count = 0;
            let early = &mut self.early;
            early.clear();
            self.taken_early = 0;
            let outcome = brigade.read_body(max, Wait::Yes).and_then(|()| {
                brigade.for_each_data(|data| {
                    // A filter may give more than it was asked for.
                    let (now, later) = data.split_at(data.len().min(most - count));
                    count += now.len();
                    each(now);
                    early.extend_from_slice(later);
                })
            });
            brigade.clear();
            self.ended = outcome.map_err(failure)?;
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
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
