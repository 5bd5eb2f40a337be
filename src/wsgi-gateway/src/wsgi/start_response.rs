//! `start_response`, `write` and early hints: how an application begins its response.
//!
//! Called by the application with the GIL held, from the request's thread or another. Every rule of
//! PEP 3333 about status and headers is checked here, before anything is sent; the gist of each
//! message is what mod_wsgi's users know.

use std::sync::Arc;

use wsgi_wire::frame::MAX_HEAD;
use wsgi_wire::response::{ResponseHead, append_header};

use crate::call::Call;
use crate::observe;
use crate::python::{
    Arguments, Exception, Methods, Object, Owned, Python, Raised, Receiver, Slots, keywords_method,
    new_function, new_type, python_method, restore,
};
use crate::wsgi::response::give;

/// The value inside the object that the three functions are bound to.
pub struct Responder(pub Arc<Call>);

/// The definition of `start_response`.
pub static START_RESPONSE: Methods<1> = Methods([keywords_method(
    c"start_response",
    start_response,
    c"Begins the response (PEP 3333): status, headers, and exc_info when an error is reported.",
)]);

/// The definition of the `write` that `start_response` returns.
static WRITE: Methods<1> = Methods([keywords_method(
    c"write",
    write,
    c"Sends a piece of the response body to the client at once.",
)]);

/// The definition of `wsgi.early_hints`.
pub static EARLY_HINTS: Methods<1> = Methods([keywords_method(
    c"early_hints",
    early_hints,
    c"Sends a 103 response with the headers to the client (RFC 8297).",
)]);

/// Makes the type of the object behind `start_response` for the attached interpreter.
pub fn make_type(python: Python<'_>) -> Result<Owned<'_>, Raised> {
    let doc = c"The way of a request's response.";
    new_type::<Responder>(python, c"mod_wsgi.Responder", doc, Slots::default())
}

python_method!(start_response, Responder, called);
python_method!(write, Responder, written);
python_method!(early_hints, Responder, hinted);

fn called<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Responder>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let call = &receiver.value.0;
    let [status, headers, exc_info] =
        arguments.bind("start_response", ["status", "headers", "exc_info"])?;
    let (Some(status), Some(headers)) = (status, headers) else {
        let message = "start_response() needs a status and headers";
        return Err(Exception::Type.raise(python, message));
    };
    check_moment(python, call, exc_info.filter(|info| !info.is_none()))?;
    begin(python, call, status, headers)?;
    if call.observed.is_used() {
        observe::response_started(python, &call.observed, [status, headers], exc_info)?;
    }
    new_function(python, &WRITE.0[0], Some(receiver.object))
}

/// Refuses a second head once the first is on its way; with `exc_info` by raising that again, so that
/// the application's error handler ends the request (PEP 3333, "The start_response() Callable").
fn check_moment(python: Python<'_>, call: &Call, exc_info: Option<&Object>) -> Result<(), Raised> {
    let head_sent = call.response.lock().head_sent;
    let Some(info) = exc_info else {
        if head_sent {
            let message = "start_response() called more than once without exc_info";
            return Err(Exception::Runtime.raise(python, message));
        }
        return Ok(());
    };
    if !info.is_exact_tuple() || info.sequence_length() != 3 {
        let message = "start_response() argument 'exc_info' must be a 3-tuple or None";
        return Err(Exception::Runtime.raise(python, message));
    }
    let mut parts = (0..3).filter_map(|index| info.item(python, index));
    match (head_sent, parts.next(), parts.next(), parts.next()) {
        (true, Some(class), Some(value), Some(trace)) => Err(restore(class, value, trace)),
        _ => Ok(()),
    }
}

fn begin(python: Python<'_>, call: &Call, status: &Object, headers: &Object) -> Result<(), Raised> {
    let mut head = {
        let mut response = call.response.lock();
        // An earlier head stays until the new one has proved right.
        if response.begun {
            Vec::new()
        } else {
            std::mem::take(&mut response.head)
        }
    };
    head.clear();
    let code = encode_status(python, status, &mut head)?;
    let declared = encode_headers(python, headers, &mut head)?;
    let mut response = call.response.lock();
    response.head = head;
    response.status = code;
    response.declared = declared;
    response.begun = true;
    Ok(())
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Checks a status line such as `404 Not Found` and starts the encoded head with it.
fn encode_status(python: Python<'_>, status: &Object, head: &mut Vec<u8>) -> Result<u16, Raised> {
    if !status.is_str() {
        let message = format!("status must be str, not {}", status.type_name(python));
        return Err(Exception::Type.raise(python, &message));
    }
    let text = status.latin1()?;
    let value = |message: &str| Err(Exception::Value.raise(python, message));
    let shown = |message: &str| value(&format!("{message}: {}", bytes_literal(text.bytes())));
    let Some((digits, rest)) = text.bytes().split_first_chunk::<3>() else {
        return shown("status code must be a 3 digit integer");
    };
    if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(u8::is_ascii_digit) {
        return shown("status code must be a 3 digit integer");
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if code < 200 {
        return value("the status of a response must be 200 or more: see wsgi.early_hints for 1xx");
    }
    let reason = match rest.split_first() {
        None => &[][..],
        Some((b' ', reason)) => reason,
        Some(_) => return shown("no space following status code"),
    };
    if reason.iter().any(|byte| is_control(*byte)) {
        return shown("control character in status reason phrase");
    }
    if reason.len() > usize::from(u16::MAX) {
        return value("reason phrase is too long");
    }
    ResponseHead::start(head, code, reason);
    Ok(code)
}

/// Checks the headers and appends them to the encoded head; gives the declared Content-Length.
fn encode_headers(
    python: Python<'_>,
    headers: &Object,
    head: &mut Vec<u8>,
) -> Result<Option<u64>, Raised> {
    if !headers.is_exact_list() {
        let kind = headers.type_name(python);
        let message = format!("start_response() argument 2 must be list, not {kind}");
        return Err(Exception::Type.raise(python, &message));
    }
    let mut declared = None;
    let mut index = 0;
    while let Some(header) = headers.item(python, index) {
        index += 1;
        if !header.is_exact_tuple() {
            let message = format!(
                "each header must be a 2-tuple, not {}",
                header.type_name(python)
            );
            return Err(Exception::Type.raise(python, &message));
        }
        let (2, Some(name), Some(value)) = (
            header.sequence_length(),
            header.item(python, 0),
            header.item(python, 1),
        ) else {
            let message = format!(
                "each header must be a 2-tuple, got length {}",
                header.sequence_length()
            );
            return Err(Exception::Value.raise(python, &message));
        };
        let (name, value) = (checked_str(python, &name)?, checked_str(python, &value)?);
        let (name, value) = (name.latin1()?, value.latin1()?);
        check_header(python, name.bytes(), value.bytes())?;
        if name.bytes().eq_ignore_ascii_case(b"content-length") {
            declared = Some(content_length(python, value.bytes(), declared)?);
        }
        append_header(head, name.bytes(), value.bytes());
    }
    if head.len() > MAX_HEAD as usize {
        return Err(Exception::Value.raise(python, "the response headers are too long"));
    }
    Ok(declared)
}

fn checked_str<'o>(python: Python<'_>, part: &'o Object) -> Result<&'o Object, Raised> {
    if part.is_str() {
        return Ok(part);
    }
    let message = format!("must be str, not {}", part.type_name(python));
    Err(Exception::Type.raise(python, &message))
}

fn check_header(python: Python<'_>, name: &[u8], value: &[u8]) -> Result<(), Raised> {
    let in_name = |byte: &u8| is_control(*byte) || matches!(byte, b' ' | b':');
    let in_value = |byte: &u8| is_control(*byte) && *byte != b'\t';
    let message = if name.is_empty() {
        "header name is empty".to_owned()
    } else if name.len() > usize::from(u16::MAX) {
        "header name is too long".to_owned()
    } else if let Some(wrong) = name.iter().copied().find(in_name) {
        let what = match wrong {
            b' ' => "space character",
            b':' => "colon",
            _ => "control character",
        };
        format!("{what} in header name: {}", bytes_literal(name))
    } else if let Some(wrong) = value.iter().copied().find(in_value) {
        let what = match wrong {
            b'\r' | b'\n' => "carriage return/line feed character",
            _ => "control character",
        };
        format!("{what} in header value: {}", bytes_literal(value))
    } else {
        return Ok(());
    };
    Err(Exception::Value.raise(python, &message))
}

/// Bytes as Python's `repr()` writes them, on one line: messages reach the log. Long ones are cut.
fn bytes_literal(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let (shown, rest) = bytes.split_at(bytes.len().min(MOST));
    let quote = match (shown.contains(&b'\''), shown.contains(&b'"')) {
        (true, false) => b'"',
        _ => b'\'',
    };
    let mut text = format!("b{}", char::from(quote));
    for byte in shown {
        match *byte {
            // escape_ascii escapes either quote, Python only the one around.
            b'\'' | b'"' if *byte != quote => text.push(char::from(*byte)),
            byte => text.extend(byte.escape_ascii().map(char::from)),
        }
    }
    text.push(char::from(quote));
    if !rest.is_empty() {
        text += "...";
    }
    text
}

/// RFC 9110 §8.6: digits only; a second Content-Length must not contradict the first.
fn content_length(python: Python<'_>, value: &[u8], before: Option<u64>) -> Result<u64, Raised> {
    let digits = value.trim_ascii();
    let parsed = std::str::from_utf8(digits)
        .ok()
        .filter(|_| digits.iter().all(u8::is_ascii_digit))
        .and_then(|digits| digits.parse().ok());
    match parsed {
        Some(length) if before.is_none_or(|before| before == length) => Ok(length),
        Some(_) => Err(Exception::Value.raise(python, "two Content-Length headers differ")),
        None => {
            let shown = String::from_utf8_lossy(value);
            let message = format!("Content-Length '{shown}' is not an integer");
            Err(Exception::Value.raise(python, &message))
        }
    }
}

fn written<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Responder>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let [Some(data)] = arguments.bind("write", ["data"])? else {
        return Err(Exception::Type.raise(python, "write() needs the data"));
    };
    let call = &receiver.value.0;
    let Some(bytes) = data.as_bytes() else {
        let message = format!(
            "write() argument must be bytes, not {}",
            data.type_name(python)
        );
        return Err(Exception::Type.raise(python, &message));
    };
    if bytes.is_empty() {
        return Ok(Owned::none(python));
    }
    match give(python, call, bytes) {
        Ok(()) => Ok(Owned::none(python)),
        Err(_) => Err(Exception::Os.raise(python, "client connection closed")),
    }
}

fn hinted<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Responder>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let [Some(headers)] = arguments.bind("early_hints", ["headers"])? else {
        return Err(Exception::Type.raise(python, "early_hints() needs the headers"));
    };
    let call = &receiver.value.0;
    if call.response.lock().head_sent {
        let message = "early hints cannot follow the response's headers";
        return Err(Exception::Runtime.raise(python, message));
    }
    let mut head = Vec::new();
    ResponseHead::start(&mut head, 103, b"Early Hints");
    encode_headers(python, headers, &mut head)?;
    match python.detached(|| call.send_interim(&head)) {
        Ok(()) => Ok(Owned::none(python)),
        Err(_) => Err(Exception::Os.raise(python, "client connection closed")),
    }
}
