//! The client's connection, as far as the way a response takes is concerned.
//!
//! A request's own thread only, between two calls of httpd's filters.

use std::time::Duration;

use crate::ffi;
use crate::httpd::field;
use crate::httpd::request::Request;

/// Calls `send`, during which the client may take no longer than `timeout` to accept any bytes;
/// afterwards the connection has the time-out it had. A stream of HTTP/2 has no connection of its own,
/// and keeps Apache's Timeout.
pub fn with_timeout<T>(request: Request<'_>, timeout: Duration, send: impl FnOnce() -> T) -> T {
    let connection = field!(request.as_ptr(), connection);
    if !field!(connection, master).is_null() {
        return send();
    }
    // SAFETY: the connection is the request's and lives longer.
    let socket = unsafe { ffi::ap_get_conn_socket(connection) };
    if socket.is_null() {
        return send();
    }
    let mut before = 0;
    // SAFETY: the connection's socket; the result is writable.
    let known = unsafe { ffi::apr_socket_timeout_get(socket, &mut before) };
    let micros = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
    // SAFETY: the connection's socket, which only this thread uses (SAFETY.md, "One thread at a time").
    unsafe { ffi::apr_socket_timeout_set(socket, micros) };
    let outcome = send();
    if known == ffi::APR_SUCCESS as ffi::apr_status_t {
        // SAFETY: as above; the connection outlives its filters, even when they found it broken.
        unsafe { ffi::apr_socket_timeout_set(socket, before) };
    }
    outcome
}
