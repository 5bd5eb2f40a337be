//! The response on its way to httpd's filters: status, headers, data, its end or its failure.
//!
//! Runs in a child's request thread; the same for both modes. Small data is held back until there
//! is more, a flush or the end, so that a short response passes the filters once, with its length.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use wsgi_wire::Failure;
use wsgi_wire::response::ResponseHead;

use crate::httpd::brigade::Brigade;
use crate::httpd::client;
use crate::httpd::date;
use crate::httpd::log::{self, AprError, Level};
use crate::httpd::pool::PoolStr;
use crate::httpd::request::Request;
use crate::httpd::status::Status;

/// How much data is held back at most, bytes.
const HELD_BYTES: usize = 8 << 10;

/// A response being sent.
#[derive(Debug)]
pub struct Response<'r> {
    request: Request<'r>,
    brigade: Brigade<'r>,
    held: usize,
    begun: bool,
    passed: bool,
    /// The client asks for a range, which httpd must not cut from what it is given.
    ranged: bool,
    /// A file is held back until the end, so that httpd can serve a range of it.
    file_held: bool,
    body: BodyRule<'r>,
    /// Bytes that went to the filters since they were last flushed.
    unflushed: u64,
    rules: Rules,
}

/// What may happen to a response besides being sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// A 200 with a local `Location` lets that path answer: the rule of CGI (RFC 3875 §6.2.2).
    pub redirects: bool,
    /// An error is answered by httpd and its ErrorDocument (WSGIErrorOverride).
    pub error_override: bool,
    /// The kernel may send files (WSGIEnableSendfile).
    pub sendfile: bool,
    /// How long the client may take to accept bytes; `None`: Apache's Timeout.
    pub client_timeout: Option<Duration>,
    /// Bytes after which the filters are flushed; `None`: they keep what they want to.
    pub flush_bytes: Option<u64>,
}

/// What happens to the application's data.
#[derive(Debug, Clone, Copy)]
enum BodyRule<'r> {
    /// It is sent.
    Sent,
    /// The status has no body (RFC 9110 §6.4.1).
    None,
    /// Another request answers instead.
    Redirected(PoolStr<'r>),
    /// httpd answers with its page for this status instead.
    Overridden(u16),
}

impl<'r> Response<'r> {
    /// A response of which nothing is known.
    pub fn new(request: Request<'r>, rules: Rules) -> Self {
        Response {
            request,
            brigade: Brigade::new(request),
            held: 0,
            begun: false,
            passed: false,
            ranged: false,
            file_held: false,
            body: BodyRule::Sent,
            unflushed: 0,
            rules,
        }
    }

    /// Whether the head was given.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sends a 1xx response.
    pub fn interim(&mut self, head: &ResponseHead<'_>) {
        // httpd sends the headers that are set and forgets them; those of the final response are
        // not set yet.
        self.set_status(head);
        for (name, value) in head.headers() {
            self.add_header(name, value);
        }
        self.request.send_interim();
        self.request.set_status(200, None);
    }

    /// Sets status and headers.
    pub fn head(&mut self, head: &ResponseHead<'_>) {
        self.begun = true;
        self.set_status(head);
        for (name, value) in head.headers() {
            self.header(name, value);
        }
        if let BodyRule::Redirected(_) = self.body
            && (!self.rules.redirects || head.status != 200)
        {
            self.body = BodyRule::Sent;
        }
        // An ErrorDocument that is an application's may have the status it stands for.
        let overrides = self.rules.error_override && !self.request.is_error_page();
        if overrides && (400..600).contains(&head.status) {
            self.body = BodyRule::Overridden(head.status);
        }
        if matches!(head.status, 100..=199 | 204 | 304) {
            self.body = BodyRule::None;
        }
        self.ranged = head.status == 200 && self.request.asks_for_range();
    }

    fn set_status(&self, head: &ResponseHead<'_>) {
        let line = (!head.reason.is_empty()).then(|| {
            let mut line = format!("{} ", head.status).into_bytes();
            line.extend_from_slice(head.reason);
            self.request.pool().string(&line)
        });
        self.request.set_status(head.status, line);
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        let pool = self.request.pool();
        if name.eq_ignore_ascii_case(b"Content-Type") {
            self.request.set_content_type(pool.string(value));
        } else if name.eq_ignore_ascii_case(b"Content-Length") {
            if let Some(length) = parse_length(value) {
                self.request.set_content_length(length);
            }
        } else if name.eq_ignore_ascii_case(b"WWW-Authenticate") {
            // httpd replaces the headers of a 401 by these when it writes its own page.
            let table = self.request.err_headers_out();
            table.add(pool.string(name), pool.string(value));
        } else if name.eq_ignore_ascii_case(b"Last-Modified") {
            // A server must not date what it sends into the future (RFC 9110 §8.8.2.1).
            let present = date::present_instead_of(pool.string(value));
            self.add_header(name, present.as_ref().map_or(value, |date| date));
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            // Framing is httpd's (PEP 3333, "Other HTTP Features").
        } else {
            if name.eq_ignore_ascii_case(b"Location") && value.starts_with(b"/") {
                self.body = BodyRule::Redirected(pool.string(value));
            }
            self.add_header(name, value);
        }
    }

    fn add_header(&self, name: &[u8], value: &[u8]) {
        let pool = self.request.pool();
        self.request
            .headers_out()
            .add(pool.string(name), pool.string(value));
    }

    /// Sends data in pieces that follow each other; with `flush` the client gets it without delay.
    pub fn data<'d>(
        &mut self,
        pieces: impl Iterator<Item = &'d [u8]> + Clone,
        flush: bool,
    ) -> Result<(), Failure> {
        if !matches!(self.body, BodyRule::Sent) {
            return Ok(());
        }
        let length: usize = pieces.clone().map(<[u8]>::len).sum();
        self.unflushed = self.unflushed.saturating_add(length as u64);
        let full = self
            .rules
            .flush_bytes
            .is_some_and(|bytes| self.unflushed >= bytes);
        let flush = flush || full;
        if self.held + length <= HELD_BYTES && !flush {
            pieces.for_each(|piece| self.brigade.append_copy(piece));
            self.held += length;
            return Ok(());
        }
        for piece in pieces {
            // SAFETY: the brigade is passed on before this function returns, while the pieces are
            // borrowed.
            unsafe { self.brigade.append_borrowed(piece) };
        }
        if flush {
            self.append_flush();
        }
        self.pass()
    }

    /// Sends `length` bytes of `file` from `offset`.
    pub fn file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<(), Failure> {
        if !matches!(self.body, BodyRule::Sent) || length == 0 {
            return Ok(());
        }
        self.brigade
            .append_file(file, offset, length, self.rules.sendfile)
            .map_err(|_| Failure::Internal)?;
        if self.ranged && !self.passed && self.held == 0 {
            // httpd serves ranges of files, given whole, and goes on as usual if more follows.
            self.ranged = false;
            self.file_held = true;
            return Ok(());
        }
        self.pass()
    }

    /// Sends what is held back.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if !self.begun || !matches!(self.body, BodyRule::Sent) {
            return Ok(());
        }
        // Of a file whose range is asked for, or may yet come, nothing goes ahead.
        if self.file_held || (self.ranged && !self.passed && self.held == 0) {
            return Ok(());
        }
        self.append_flush();
        self.pass()
    }

    fn append_flush(&mut self) {
        self.unflushed = 0;
        self.brigade.append_flush();
    }

    /// Ends a whole response.
    pub fn finish(&mut self) -> Status {
        if let BodyRule::Redirected(location) = self.body {
            self.request.headers_out().remove(c"Content-Length");
            self.request.set_status(200, None);
            self.request.redirect_internally(location);
            return Status::OK;
        }
        if let BodyRule::Overridden(status) = self.body {
            self.request.set_status(200, None);
            return Status::http(status);
        }
        self.brigade.append_end();
        // The client may be gone by now; httpd's access log tells how much it got.
        let _ = self.pass();
        Status::OK
    }

    /// Ends a response that cannot become whole: an error page if the client has seen nothing yet,
    /// else the connection breaks off so that it does not take a part for the whole. An application
    /// that failed in the middle has said what it said: its part is sent in any case.
    pub fn fail(&mut self, failure: Option<Failure>, status: u16) -> Status {
        if let BodyRule::Overridden(_) = self.body {
            return self.finish();
        }
        let own = matches!(self.body, BodyRule::Sent | BodyRule::None);
        let cut = failure == Some(Failure::Incomplete) && self.begun && own;
        if !self.passed && !cut {
            self.brigade.clear();
            self.request.set_status(200, None);
            return Status::http(status);
        }
        self.request.announce_close();
        // The header filter would answer with a page if it met the error before the headers.
        self.brigade.append_flush();
        let _ = self.pass();
        self.request.close_connection();
        // By this status the chunk filter knows to withhold the last chunk (httpd, http_filters.c).
        self.brigade.append_error(502);
        self.brigade.append_end();
        // Whether the client is still there makes no difference any more, here and above.
        let _ = self.pass();
        Status::OK
    }

    fn pass(&mut self) -> Result<(), Failure> {
        if !self.passed {
            // The final status is decided: a client that still waits to send its body need not.
            self.request.drop_expectation();
            if self.ranged {
                self.request.leave_ranges();
            }
        }
        self.passed = true;
        self.held = 0;
        self.file_held = false;
        let outcome: Result<(), AprError> = match self.rules.client_timeout {
            None => self.brigade.pass(),
            Some(timeout) => self.pass_within(timeout),
        };
        match outcome {
            Ok(()) if !self.request.is_aborted() => Ok(()),
            _ => Err(Failure::ClientGone),
        }
    }

    fn pass_within(&mut self, timeout: Duration) -> Result<(), AprError> {
        let begun = Instant::now();
        let brigade = &mut self.brigade;
        let outcome = client::with_timeout(self.request, timeout, || brigade.pass());
        let failed = outcome.is_err() || self.request.is_aborted();
        if failed && begun.elapsed() >= timeout {
            let seconds = timeout.as_secs();
            let line = format_args!("the client accepted no data for {seconds} s, and is given up");
            log::request(self.request, Level::Info, line);
        }
        outcome
    }
}

/// A Content-Length's value (RFC 9110 §8.6).
fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
