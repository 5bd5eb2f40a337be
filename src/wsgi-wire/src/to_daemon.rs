//! Messages from an Apache child to a daemon.
//!
//! Encoded in an Apache child, decoded in a daemon. A connection carries one request at a time:
//! one `Request`, then body frames only in answer to `BodyWanted`.

use crate::codec::{Reader, WireError};
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

/// Decodes the payload of `BodyFailed`.
pub fn decode_body_failed(payload: &[u8]) -> Result<Failure, WireError> {
    let mut reader = Reader::new(payload);
    let failure = Failure::try_from(reader.u8("failure")?)?;
    reader.finish()?;
    Ok(failure)
}
