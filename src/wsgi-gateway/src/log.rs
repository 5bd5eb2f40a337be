//! Where lines for the error log go: into the log of the request that runs, or the process's.
//!
//! Used on every thread that runs Python. What an application prints arrives here in pieces; each
//! thread collects its own until a line is complete.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use wsgi_wire::frame::MAX_LOG;

use crate::call::Call;
use crate::python::Python;

/// Writes text, a record for each of its lines, without its end, to the server's error log outside of a request: level, text.
/// Called with or without the GIL, so it must not wait for Python.
pub type ProcessLog = Arc<dyn Fn(u8, &[u8]) + Send + Sync>;

/// Apache's numbers for the levels used here (`http_log.h`).
pub mod level {
    /// Error conditions.
    pub const ERROR: u8 = 3;
    /// Warning conditions.
    pub const WARNING: u8 = 4;
    /// Informational.
    pub const INFO: u8 = 6;
    /// Debug messages.
    pub const DEBUG: u8 = 7;
}

/// A line is broken after so many bytes: what one message to the server can hold is more.
const LONGEST_LINE: usize = 8192;

struct Output {
    log: ProcessLog,
    least_severe: u8,
}

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// Sets where lines outside of requests go, and the least severe level that is wanted. Only the first
/// call counts.
pub fn open(log: ProcessLog, least_severe: u8) {
    let _ = OUTPUT.set(Output { log, least_severe });
}

#[derive(Default)]
struct Thread {
    request: Option<Arc<Call>>,
    partial: Vec<u8>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            to_process(level::ERROR, &self.partial);
        }
    }
}

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::new(Thread::default());
}

/// Whether messages of this level are wanted.
pub fn wanted(level: u8) -> bool {
    OUTPUT
        .get()
        .is_some_and(|output| level <= output.least_severe)
}

/// Logs a message of the process.
pub fn to_process(level: u8, text: &[u8]) {
    if let Some(output) = OUTPUT.get().filter(|output| level <= output.least_severe) {
        (output.log)(level, text);
    }
}

/// What a thread had to do with the log before a request began on it: usually nothing, but one
/// request can run inside another (mod_include).
pub struct Before(Thread);

/// From now on the lines of this thread belong to `call`.
pub fn begin_request(call: &Arc<Call>) -> Before {
    let during = Thread {
        request: Some(Arc::clone(call)),
        partial: Vec::new(),
    };
    Before(THREAD.with_borrow_mut(|thread| std::mem::replace(thread, during)))
}

/// The lines of this thread belong to the request no more; a line without its end is logged. Called
/// with the GIL released.
pub fn end_request(before: Before) {
    let mut ended = THREAD.with_borrow_mut(|thread| std::mem::replace(thread, before.0));
    let partial = std::mem::take(&mut ended.partial);
    if !partial.is_empty() {
        deliver(ended.request.as_ref(), level::ERROR, &partial);
    }
}

/// The request that runs on this thread.
pub fn current_request() -> Option<Arc<Call>> {
    THREAD.with_borrow(|thread| thread.request.clone())
}

/// Logs a message on behalf of the request that runs on this thread, or of the process. Called with
/// the GIL released.
pub fn message(level: u8, text: &[u8]) {
    if wanted(level) {
        deliver(current_request().as_ref(), level, text);
    }
}

/// Logs lines that belong together, as [`message`] does one: a record each, with no other between
/// them as far as that can be.
pub fn block(level: u8, lines: &[Vec<u8>]) {
    if wanted(level) {
        let request = current_request();
        for text in joined(lines) {
            deliver(request.as_ref(), level, &text);
        }
    }
}

/// Lines put together to texts that can be delivered at once.
fn joined(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        let line = &line[..line.len().min(LONGEST_LINE)];
        match texts.last_mut() {
            Some(text) if text.len() + 1 + line.len() <= MAX_LOG as usize => {
                text.push(b'\n');
                text.extend_from_slice(line);
            }
            _ => texts.push(line.to_vec()),
        }
    }
    texts
}

fn deliver(request: Option<&Arc<Call>>, level: u8, text: &[u8]) {
    if !request.is_some_and(|call| call.log(level, text)) {
        to_process(level, text);
    }
}

/// Takes what the application printed: whole lines are logged, the rest waits for its end.
pub fn write(python: Python<'_>, text: &[u8]) {
    let (request, lines) = THREAD.with_borrow_mut(|thread| {
        (
            thread.request.clone(),
            complete_lines(&mut thread.partial, text),
        )
    });
    if !lines.is_empty() {
        python.detached(|| {
            for text in joined(&lines) {
                deliver(request.as_ref(), level::ERROR, &text);
            }
        });
    }
}

fn complete_lines(partial: &mut Vec<u8>, mut text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
        partial.extend_from_slice(&text[..end]);
        text = &text[end + 1..];
        if partial.last() == Some(&b'\r') {
            partial.pop();
        }
        lines.extend(
            std::mem::take(partial)
                .chunks(LONGEST_LINE)
                .map(<[u8]>::to_vec),
        );
    }
    partial.extend_from_slice(text);
    while partial.len() >= LONGEST_LINE {
        let rest = partial.split_off(LONGEST_LINE);
        lines.push(std::mem::replace(partial, rest));
    }
    lines
}
