//! The error log, with httpd's levels and the context of a request or server.
//!
//! Any thread that may use the request or server. Nothing is formatted for a level that is off.

use std::ffi::{CStr, CString, c_int};
use std::fmt::{self, Display};

use parking_lot::Mutex;

use crate::ffi;
use crate::httpd::request::Request;
use crate::httpd::server::Server;

/// httpd's levels (`http_log.h`, `APLOG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The server cannot do its work.
    Critical = 2,
    /// A request or a part of the configuration failed.
    Error = 3,
    /// Worth an administrator's look.
    Warning = 4,
    /// What happens in the normal course of things.
    Info = 6,
    /// For whoever looks for a fault.
    Debug = 7,
}

impl Level {
    fn code(self) -> c_int {
        c_int::from(self as u8)
    }
}

/// Logs one line in the request's context.
pub fn request(request: Request<'_>, level: Level, text: impl Display) {
    if request_logs(request, level) {
        request_line(request, level as u8, text.to_string().into_bytes());
    }
}

/// Whether this level is on for the request.
pub fn request_logs(request: Request<'_>, level: Level) -> bool {
    // SAFETY: the view's request is alive.
    unsafe { ffi::wsgi_request_logs(request.as_ptr(), level.code()) != 0 }
}

/// Held while several lines that belong together are logged.
static BLOCK: Mutex<()> = Mutex::new(());

/// Logs each line of `text` by itself, and no other of this process's blocks between them.
fn each_line(text: Vec<u8>, mut log: impl FnMut(&CStr)) {
    if !text.contains(&b'\n') {
        return log(&without_nul(text));
    }
    let _block = BLOCK.lock();
    for line in text.split(|byte| *byte == b'\n') {
        log(&without_nul(line.to_vec()));
    }
}

/// Logs text that came from elsewhere (a daemon, the gateway) in the request's context, a record for
/// each line; `level` is httpd's number.
pub fn request_line(request: Request<'_>, level: u8, text: Vec<u8>) {
    each_line(text, |line| {
        // SAFETY: request and line are alive for the call.
        unsafe { ffi::wsgi_log_request(request.as_ptr(), c_int::from(level), 0, line.as_ptr()) }
    });
}

/// Logs one line in the server's context.
pub fn server(server: Server<'_>, level: Level, text: impl Display) {
    // SAFETY: the view's server is alive.
    let enabled = unsafe { ffi::wsgi_server_logs(server.as_ptr(), level.code()) };
    if enabled != 0 {
        server_line(server, level as u8, text.to_string().into_bytes());
    }
}

/// Logs text that came from elsewhere in the server's context, a record for each line.
pub fn server_line(server: Server<'_>, level: u8, text: Vec<u8>) {
    each_line(text, |line| {
        // SAFETY: server and line are alive for the call.
        unsafe { ffi::wsgi_log_server(server.as_ptr(), c_int::from(level), 0, line.as_ptr()) }
    });
}

/// C's strings end at a NUL; show it as a question mark instead of losing the rest.
fn without_nul(mut text: Vec<u8>) -> CString {
    text.iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = b'?');
    CString::new(text).unwrap_or_default()
}

/// An APR status with APR's words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AprError(pub ffi::apr_status_t);

impl AprError {
    /// `Ok` for `APR_SUCCESS`.
    pub fn check(status: ffi::apr_status_t) -> Result<(), AprError> {
        if status == ffi::APR_SUCCESS as ffi::apr_status_t {
            Ok(())
        } else {
            Err(AprError(status))
        }
    }

    /// Whether the call would have had to wait.
    pub fn is_again(self) -> bool {
        // SAFETY: a pure function of its argument.
        unsafe { ffi::wsgi_status_is_again(self.0) != 0 }
    }

    /// Whether the peer closed or reset its connection.
    pub fn is_disconnect(self) -> bool {
        let disconnects = [
            ffi::APR_EOF,
            ffi::APR_INCOMPLETE,
            ffi::APR_ECONNRESET,
            ffi::APR_ECONNABORTED,
        ];
        disconnects.contains(&self.0)
    }
}

impl Display for AprError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 200];
        // SAFETY: the buffer is writable for the length given; apr_strerror terminates it.
        let text = unsafe { ffi::apr_strerror(self.0, buffer.as_mut_ptr(), buffer.len()) };
        // SAFETY: apr_strerror returns the buffer, terminated.
        let text = unsafe { crate::httpd::c_bytes(text) }.unwrap_or_default();
        formatter.write_str(&String::from_utf8_lossy(text))
    }
}

impl std::error::Error for AprError {}
