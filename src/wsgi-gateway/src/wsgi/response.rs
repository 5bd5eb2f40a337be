//! What the application returned: its items become the body of the response.
//!
//! Runs on the request's thread with the GIL held, which is released around every send that may wait.
//! Large items are sent from the memory of the Python object they are.

use std::os::fd::BorrowedFd;

use wsgi_unix::file;
use wsgi_wire::Failure;
use wsgi_wire::head::{RequestHead, Value};
use wsgi_wire::response::append_header;

use crate::call::Call;
use crate::exchange::AtOnce;
use crate::interpreters::Interpreter;
use crate::python::{Exception, Object, Owned, Python, Raised};

/// Up to so many bytes of a list's items are copied together and sent at once.
const HELD: usize = 64 << 10;

/// Of so many pieces one is sent with the GIL released, so that an iterator that is not written in
/// Python keeps nobody else from running.
const IN_A_ROW: u32 = 16;

/// Where the body is.
pub enum Output {
    /// In the thread's memory, complete, with nothing sent yet.
    Held,
    /// Given to the exchange; the head too, unless there was no body.
    Sent,
}

/// Why the body ended early.
pub enum Stop {
    /// The application raised an exception or broke a rule.
    Raised(Raised),
    /// The client or the exchange failed.
    Broken(Failure),
}

impl From<Raised> for Stop {
    fn from(raised: Raised) -> Self {
        Stop::Raised(raised)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Broken(failure)
    }
}

/// Sends what the application returned, or copies it to `held` when it is short and complete.
pub fn send(
    python: Python<'_>,
    interpreter: &Interpreter,
    (call, head): (&Call, &RequestHead<'_>),
    result: &Object,
    held: &mut Vec<u8>,
) -> Result<Output, Stop> {
    if result.is_exact_list() || result.is_exact_tuple() {
        return send_sequence(python, (call, head), result, held);
    }
    if result.type_ptr()
        == interpreter
            .objects
            .file_wrapper
            .object(python)
            .as_ptr()
            .cast()
        && send_segment(python, interpreter, call, result)?
    {
        return Ok(Output::Sent);
    }
    let items = result.iterate(python)?;
    let mut in_a_row = 0;
    while let Some(item) = items.next_item(python)? {
        let bytes = bytes_of(python, &item)?;
        if !bytes.is_empty() {
            check_begun(python, call)?;
            in_a_row = (in_a_row + 1) % IN_A_ROW;
            match in_a_row {
                0 => python.detached(|| call.send(bytes, true))?,
                _ => give(python, call, bytes)?,
            }
        }
    }
    check_begun(python, call)?;
    Ok(Output::Sent)
}

/// Sends a piece of the body. One for which there is room goes out with the GIL held, which takes
/// less than it would to wait for the GIL again.
pub fn give(python: Python<'_>, call: &Call, bytes: &[u8]) -> Result<(), Failure> {
    match call.send_at_once(bytes)? {
        AtOnce::Sent => Ok(()),
        AtOnce::Begun => python.detached(|| call.send_rest()),
        AtOnce::Refused => python.detached(|| call.send(bytes, true)),
    }
}

/// A list or tuple is known whole, so its length is declared for it (PEP 3333, "Handling the
/// Content-Length Header").
fn send_sequence(
    python: Python<'_>,
    (call, head): (&Call, &RequestHead<'_>),
    items: &Object,
    held: &mut Vec<u8>,
) -> Result<Output, Stop> {
    let mut total = 0_u64;
    let mut owned = Vec::new();
    for index in 0..items.sequence_length() {
        let Some(item) = items.item(python, index) else {
            break;
        };
        total += bytes_of(python, &item)?.len() as u64;
        owned.push(item);
    }
    check_begun(python, call)?;
    // An application may leave out the body of a response to HEAD, but not its length then.
    if total > 0 || !is_head(head) {
        declare_length(call, total);
    }
    if total <= HELD as u64 && !call.response.lock().head_sent {
        owned
            .iter()
            .filter_map(|item| item.as_bytes())
            .for_each(|item| held.extend(item));
        return Ok(Output::Held);
    }
    for item in &owned {
        if let Some(bytes) = item.as_bytes() {
            python.detached(|| call.send(bytes, false))?;
        }
    }
    Ok(Output::Sent)
}

/// Sends the file behind a FileWrapper; false when only iterating over it can.
fn send_segment(
    python: Python<'_>,
    interpreter: &Interpreter,
    call: &Call,
    wrapper: &Object,
) -> Result<bool, Stop> {
    {
        let response = call.response.lock();
        if !response.begun || response.head_sent {
            return Ok(false);
        }
    }
    let segment = interpreter
        .objects
        .file_segment
        .object(python)
        .call1(python, wrapper)?;
    let part = |index| {
        segment
            .item(python, index)
            .and_then(|part| part.as_u64(python))
    };
    let (Some(descriptor), Some(offset)) = (part(0), part(1)) else {
        return Ok(false);
    };
    let Ok(descriptor) = i32::try_from(descriptor) else {
        return Ok(false);
    };
    // SAFETY: the wrapper holds the file object, and its descriptor was open a moment ago; should the
    // application close it now, sending fails or sends another of its own files.
    let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let Ok(Some(whole)) = python.detached(|| file::sendable_length(file)) else {
        return Ok(false);
    };
    let length = whole.saturating_sub(offset);
    declare_length(call, length);
    python.detached(|| call.send_file(file, offset, length))?;
    Ok(true)
}

/// Adds a Content-Length when the application gave none and the response may have one.
fn declare_length(call: &Call, length: u64) {
    let mut response = call.response.lock();
    if response.declared.is_none() && !response.head_sent && !response.bodiless() {
        response.declared = Some(length);
        let mut digits = [0; 20];
        append_header(
            &mut response.head,
            b"Content-Length",
            decimal(length, &mut digits),
        );
    }
}

fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[start..];
        }
    }
}

fn bytes_of<'o>(python: Python<'_>, item: &'o Owned<'_>) -> Result<&'o [u8], Raised> {
    item.as_bytes().ok_or_else(|| {
        let kind = item.type_name(python);
        let message = format!("the application's iterable must give bytes, not {kind}");
        Exception::Type.raise(python, &message)
    })
}

fn check_begun(python: Python<'_>, call: &Call) -> Result<(), Raised> {
    if call.response.lock().begun {
        return Ok(());
    }
    let message = "response has not been started: start_response() was not called";
    Err(Exception::Runtime.raise(python, message))
}

/// The response to a HEAD request has no body (RFC 9110 §9.3.2).
pub fn is_head(head: &RequestHead<'_>) -> bool {
    head.environ().any(|(key, value)| {
        key == b"REQUEST_METHOD" && matches!(value, Value::Latin1(method) if method == b"HEAD")
    })
}
