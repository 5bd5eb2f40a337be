//! Messages from an Apache child to a daemon.
//!
//! Encoded in an Apache child, decoded in a daemon. A connection carries one request at a time:
//! one `Request`, then an answer to each `BodyWanted` and `VariableWanted`.

use crate::codec::{Reader, WireError, Writer};
use crate::failure::Failure;
use crate::frame::{self, MAX_DATA, MAX_HEAD, tags};

tags! {
    /// Tags of this direction.
    ToDaemonTag {
        /// A [`crate::head::RequestHead`], with the body when it travels inline.
        Request = 1, MAX_HEAD;
        /// A piece of the request body.
        BodyData = 2, MAX_DATA;
        /// The request body is complete.
        BodyEnd = 3, 0;
        /// The request body cannot be read; one failure code.
        BodyFailed = 4, 1;
        /// The answer to `VariableWanted`.
        Variable = 5, MAX_DATA;
        /// A [`crate::scoreboard::Scoreboard`], or nothing where the group may not have it; the
        /// answer to `ScoreboardWanted`.
        Scoreboard = 6, MAX_HEAD;
    }
}

/// Appends a piece of the body.
pub fn append_body_data(out: &mut Vec<u8>, data: &[u8]) {
    frame::append_bytes(out, ToDaemonTag::BodyData, data);
}

/// Appends the end of the body.
pub fn append_body_end(out: &mut Vec<u8>) {
    frame::append_bytes(out, ToDaemonTag::BodyEnd, &[]);
}

/// Appends that the body cannot be read.
pub fn append_body_failed(out: &mut Vec<u8>, failure: Failure) {
    frame::append_bytes(out, ToDaemonTag::BodyFailed, &[failure as u8]);
}

/// Appends the value of a variable, or that there is none; a value too long for a frame is none.
pub fn append_variable(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let value = value.filter(|value| value.len() < MAX_DATA as usize);
    frame::append(out, ToDaemonTag::Variable, |out| {
        out.put_u8(u8::from(value.is_some()));
        out.extend_from_slice(value.unwrap_or_default());
    });
}

/// Decodes the payload of `Variable`.
pub fn decode_variable(payload: &[u8]) -> Result<Option<&[u8]>, WireError> {
    let mut reader = Reader::new(payload);
    match reader.u8("presence")? {
        0 => reader.finish().map(|()| None),
        1 => Ok(Some(reader.rest())),
        other => Err(WireError::Value {
            field: "presence",
            value: u64::from(other),
        }),
    }
}

/// Appends an encoded scoreboard, or nothing in place of one.
pub fn append_scoreboard(out: &mut Vec<u8>, encoded: &[u8]) {
    let fits = encoded.len() <= MAX_HEAD as usize;
    frame::append_bytes(
        out,
        ToDaemonTag::Scoreboard,
        if fits { encoded } else { &[] },
    );
}

/// Decodes the payload of `BodyFailed`.
pub fn decode_body_failed(payload: &[u8]) -> Result<Failure, WireError> {
    let mut reader = Reader::new(payload);
    let failure = Failure::try_from(reader.u8("failure")?)?;
    reader.finish()?;
    Ok(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_BYTES;

    #[test]
    fn a_variable_may_be_empty_or_missing() {
        for value in [None, Some(&b""[..]), Some(b"CN=me")] {
            let mut out = Vec::new();
            append_variable(&mut out, value);
            assert_eq!(decode_variable(&out[HEADER_BYTES..]), Ok(value));
        }
        assert!(decode_variable(&[]).is_err());
        assert!(decode_variable(b"\x02x").is_err());
    }
}
