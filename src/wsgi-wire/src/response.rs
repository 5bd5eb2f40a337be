//! The head of a response: status, reason phrase and headers in the application's order.
//!
//! Encoded in the gateway after the rules of PEP 3333 were checked, decoded in an Apache child,
//! which checks again what it puts on a connection: a daemon is not trusted.

use crate::codec::{Reader, WireError, Writer};

/// A decoded response head that borrows the message's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase, which may be empty (RFC 9112 §4).
    pub reason: &'a [u8],
    headers: &'a [u8],
}

impl<'a> ResponseHead<'a> {
    /// Decodes a whole message and checks every header's framing and bytes.
    pub fn decode(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let status = reader.u16("status")?;
        if !(100..=999).contains(&status) {
            return Err(WireError::Value {
                field: "status",
                value: u64::from(status),
            });
        }
        let reason = reader.short_bytes("reason")?;
        check_value(reason, "reason")?;
        let head = ResponseHead {
            status,
            reason,
            headers: reader.rest(),
        };
        while !reader.rest().is_empty() {
            check_name(reader.short_bytes("header name")?)?;
            check_value(reader.bytes("header value")?, "header value")?;
        }
        Ok(head)
    }

    /// The headers, in the application's order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.headers);
        std::iter::from_fn(move || {
            let name = reader.short_bytes("header name").ok()?;
            let value = reader.bytes("header value").ok()?;
            Some((name, value))
        })
    }

    /// The name of a header that takes more than `limit` bytes, as `name: value` and the end of its line.
    pub fn header_over(&self, limit: usize) -> Option<&'a [u8]> {
        if self.headers.len() <= limit {
            // All of them together are shorter; their framing takes more than that of lines.
            return None;
        }
        let mut headers = self.headers();
        let found = headers.find(|(name, value)| name.len() + value.len() + 4 > limit);
        found.map(|(name, _)| name)
    }

    /// Starts an encoded head in `out`; headers follow with [`append_header`].
    pub fn start(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
        out.put_u16(status);
        out.put_short_bytes(reason);
    }
}

/// Appends one header to an encoded head.
pub fn append_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.put_short_bytes(name);
    out.put_bytes(value);
}

/// A header name is a token (RFC 9110 §5.6.2); we refuse what would break the header's framing.
fn check_name(name: &[u8]) -> Result<(), WireError> {
    let breaks = |byte: &&u8| **byte <= b' ' || **byte == b':' || **byte == 0x7f;
    match name.iter().find(breaks) {
        None if !name.is_empty() => Ok(()),
        found => Err(WireError::Value {
            field: "header name byte",
            value: found.map_or(0, |byte| u64::from(*byte)),
        }),
    }
}

/// A value may hold no CR, LF or NUL (RFC 9110 §5.5).
fn check_value(value: &[u8], field: &'static str) -> Result<(), WireError> {
    match value.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        None => Ok(()),
        Some(byte) => Err(WireError::Value {
            field,
            value: u64::from(*byte),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_repetition() {
        let mut out = Vec::new();
        ResponseHead::start(&mut out, 200, b"OK");
        append_header(&mut out, b"Set-Cookie", b"a=1");
        append_header(&mut out, b"Set-Cookie", b"b=2");
        let head = ResponseHead::decode(&out).unwrap();
        assert_eq!((head.status, head.reason), (200, &b"OK"[..]));
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(
            headers,
            [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"Set-Cookie", b"b=2")]
        );
    }

    #[test]
    fn a_header_that_would_split_the_response_is_refused() {
        for (name, value) in [
            (&b"X"[..], &b"a\r\nY: b"[..]),
            (b"X Y", b""),
            (b"", b""),
            (b"X:", b""),
            (b"X", b"\0"),
        ] {
            let mut out = Vec::new();
            ResponseHead::start(&mut out, 200, b"OK");
            append_header(&mut out, name, value);
            assert!(ResponseHead::decode(&out).is_err(), "{name:?} {value:?}");
        }
    }

    #[test]
    fn a_header_that_is_too_long_is_named() {
        let mut out = Vec::new();
        ResponseHead::start(&mut out, 200, b"OK");
        append_header(&mut out, b"X-Short", b"1");
        append_header(&mut out, b"X-Long", &[b'x'; 90]);
        let head = ResponseHead::decode(&out).unwrap();
        assert_eq!(head.header_over(100), None);
        assert_eq!(head.header_over(99), Some(&b"X-Long"[..]));
        assert_eq!(head.header_over(10_000), None);
    }

    #[test]
    fn a_status_without_three_digits_is_refused() {
        let mut out = Vec::new();
        ResponseHead::start(&mut out, 99, b"");
        assert!(ResponseHead::decode(&out).is_err());
    }
}
