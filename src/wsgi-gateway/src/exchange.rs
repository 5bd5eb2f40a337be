//! How a request that runs in Python reaches its client, whatever lies between them.
//!
//! Implemented for both modes: by frames on a daemon's socket and by calls into the Apache module.
//! Used on the request's thread, and by threads of the application that read the body. Knows
//! nothing of Python.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use wsgi_wire::Failure;

use crate::running::Running;

/// One request's way to its client.
///
/// Called with the GIL released, but for [`Exchange::started`] and [`Exchange::send_at_once`]. The
/// implementation's own lock lets one call through at a time, since threads of the application may
/// read the body. After an error nothing more can be sent, and every further call gives the same error.
pub trait Exchange: Send + Sync {
    /// Tells that the application's code is about to run, so the request may not be given to another
    /// process any more. Called with the GIL held: must not block.
    fn started(&self) -> Result<(), Failure>;

    /// The request as the rest of its process sees it; nothing when embedded.
    fn running(&self) -> Option<&Running> {
        None
    }

    /// httpd's own `request_rec` for `apache.request_rec`, where the application is to get it.
    fn request_rec(&self) -> Option<NonNull<c_void>> {
        None
    }

    /// When the script was modified, microseconds since 1970, where somebody has looked already.
    fn script_modified(&self) -> Option<i64> {
        None
    }

    /// Reads at most `buffer.len()` bytes of the request body and waits until there is at least one;
    /// 0 is the body's end.
    fn read_body(&self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// Sends an encoded 1xx `ResponseHead` (RFC 9110 §15.2).
    fn send_interim(&self, head: &[u8]) -> Result<(), Failure>;

    /// Gives the response's encoded `ResponseHead`; it may be held back until the next call.
    fn send_head(&self, head: &[u8]) -> Result<(), Failure>;

    /// Sends a piece of the response body of any length. Without `flush`, little data may be held
    /// back so that it travels with the head and the response's end.
    fn send_data(&self, data: &[u8], flush: bool) -> Result<(), Failure>;

    /// Sends the head, if it is given, and a piece of the body as far as that needs no wait. Called with
    /// the GIL held: must not block. Whoever cannot tell refuses.
    fn send_at_once(&self, _head: Option<&[u8]>, _data: &[u8]) -> Result<AtOnce, Failure> {
        Ok(AtOnce::Refused)
    }

    /// Sends `length` bytes of a regular file from `offset`; the descriptor is lent for the call.
    fn send_file(&self, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Failure>;

    /// Gives what the functions returned that the head asked for, as encoded `Answer`s of at most
    /// `MAX_DATA` bytes; takes the place of a response.
    fn answer(&self, answers: &[u8]) -> Result<(), Failure>;

    /// A variable of the client's TLS connection, of a name of at most `MAX_NAME` bytes; for
    /// functions only.
    fn variable(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// The server's encoded `Scoreboard`, if this process may have it.
    fn scoreboard(&self) -> Option<Vec<u8>> {
        None
    }

    /// Writes text to the server's error log in the request's context, its lines as records that
    /// follow each other; `level` is Apache's number (`http_log.h`). What cannot be delivered is
    /// dropped.
    fn log(&self, level: u8, text: &[u8]);
}

/// What became of data that was to be sent without a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// All of it is on its way.
    Sent,
    /// Some of it is; the next call sends the rest first, also one for no data.
    Begun,
    /// Nothing was done.
    Refused,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The response is whole.
    Whole,
    /// The response is not whole; the reason has been logged.
    Failed(Failure),
    /// Nothing was started: this process has to be replaced (its script changed, or could not be
    /// loaded some time ago), and another may have the request.
    Replace,
}
