//! What reports of slow requests say: taken from the request's head when it begins, since the head is
//! gone when somebody wants to know.
//!
//! Only made when WSGISlowRequests asks for such reports.

use std::sync::Arc;

use wsgi_wire::head::{RequestHead, Value};

/// A request that may turn out slow.
#[derive(Debug, Default)]
pub struct SlowRequest {
    /// When Apache began to read it, microseconds since 1970.
    pub request_start: u64,
    /// When the child began to look for a daemon.
    pub queue_start: u64,
    /// When the daemon took it.
    pub daemon_start: u64,
    /// The child's process id.
    pub server_pid: u64,
    /// How many requests ran in this process when it began, itself included.
    pub active_at_start: u64,
    /// The texts of [`TEXTS`], by position; empty where the request has none.
    pub texts: [Vec<u8>; TEXTS.len()],
}

/// The variables that reports have, and the numbers they have there.
pub const TEXTS: [(&[u8], u16); 9] = [
    (b"mod_wsgi.request_id", 204),
    (b"REQUEST_METHOD", 210),
    (b"REQUEST_SCHEME", 211),
    (b"SERVER_NAME", 212),
    (b"SCRIPT_NAME", 213),
    (b"PATH_INFO", 214),
    (b"SERVER_PROTOCOL", 215),
    (b"REMOTE_ADDR", 216),
    (USER_AGENT, 217),
];

const USER_AGENT: &[u8] = b"HTTP_USER_AGENT";

/// A text is cut after so many bytes: a datagram has to hold all of them.
const LONGEST: usize = 512;

impl SlowRequest {
    /// Takes what a report needs.
    pub fn of(head: &RequestHead<'_>, daemon_start: u64, user_agent: bool) -> Self {
        let mut slow = SlowRequest {
            request_start: head.request_start,
            queue_start: head.queue_start,
            daemon_start,
            ..SlowRequest::default()
        };
        for (key, value) in head.environ() {
            let Value::Latin1(value) = value else {
                continue;
            };
            if key == b"mod_wsgi.server_pid" {
                let digits = std::str::from_utf8(value).ok();
                slow.server_pid = digits.and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            let wanted = TEXTS.iter().position(|(name, _)| *name == key);
            if let Some(at) = wanted.filter(|_| user_agent || key != USER_AGENT) {
                slow.texts[at] = value[..value.len().min(LONGEST)].to_vec();
            }
        }
        slow
    }
}

/// The numbers of a slow request's report.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How long it took, or has taken so far, microseconds.
    pub took: u64,
    /// The thread's number.
    pub thread: u64,
    /// The status, 0 while it runs.
    pub status: u16,
    /// Bytes and reads of its body.
    pub input: (u64, u64),
    /// Bytes and writes of its response.
    pub output: (u64, u64),
    /// Processor time of user and system, seconds.
    pub processor: (f64, f64),
    /// The phases so far, microseconds.
    pub phases: [Option<u64>; super::phase::Phase::COUNT],
    /// Waits for the GIL.
    pub waits: u64,
}

/// A slow request that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The request.
    pub request: Arc<SlowRequest>,
    /// What it came to.
    pub figures: Figures,
}
