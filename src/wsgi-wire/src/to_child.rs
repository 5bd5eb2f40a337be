//! Messages from a daemon to an Apache child.
//!
//! Encoded in a daemon's worker threads, decoded in the child that sent the request. Any message
//! but `Welcome`, `Busy` and `Retry` tells that the application's code has started: from there on a
//! lost connection may not be retried.

use crate::codec::{Reader, WireError, Writer};
use crate::failure::Failure;
use crate::frame::{self, MAX_DATA, MAX_HEAD, MAX_LOG, MAX_NAME, tags};
use crate::response::ResponseHead;

tags! {
    /// Tags of this direction.
    ToChildTag {
        /// Who answers on this connection; precedes the first answer.
        Welcome = 1, 8;
        /// No thread is free; the request was not read. Join the listener's queue.
        Busy = 2, 0;
        /// The process is about to be replaced; the request was not read. Ask another.
        Retry = 3, 0;
        /// The application reads: send at most so many bytes of the body.
        BodyWanted = 4, 8;
        /// A 1xx response, e.g. early hints.
        Interim = 5, MAX_HEAD;
        /// The response's status and headers.
        Head = 6, MAX_HEAD;
        /// A piece of the response body.
        Data = 7, MAX_DATA;
        /// A part of a file, whose descriptor comes with the header's first byte.
        File = 8, 16;
        /// The response is whole.
        End = 9, 0;
        /// The response is not whole and will not be.
        Failed = 10, 1;
        /// A line for the error log, in the request's context.
        Log = 11, MAX_LOG + 1;
        /// What the functions returned that the head asked for; takes the response's place.
        Answer = 12, MAX_DATA;
        /// A function asks for a variable of the TLS connection, by its name.
        VariableWanted = 13, MAX_NAME;
        /// The application asks for the server's scoreboard.
        ScoreboardWanted = 14, 0;
    }
}

/// A decoded message to the child; `Data` borrows its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToChild<'a> {
    /// See [`ToChildTag::Welcome`].
    Welcome {
        /// The daemon's process id.
        pid: u32,
        /// Its row in the group's hint page.
        slot: u32,
    },
    /// See [`ToChildTag::Busy`].
    Busy,
    /// See [`ToChildTag::Retry`].
    Retry,
    /// See [`ToChildTag::BodyWanted`].
    BodyWanted {
        /// Bytes the application asked for at most; never 0.
        max: u64,
    },
    /// See [`ToChildTag::Interim`].
    Interim(ResponseHead<'a>),
    /// See [`ToChildTag::Head`].
    Head(ResponseHead<'a>),
    /// See [`ToChildTag::Data`].
    Data(&'a [u8]),
    /// See [`ToChildTag::File`].
    File(FileSegment),
    /// See [`ToChildTag::End`].
    End,
    /// See [`ToChildTag::ScoreboardWanted`].
    ScoreboardWanted,
    /// See [`ToChildTag::Failed`].
    Failed(Failure),
    /// See [`ToChildTag::Log`].
    Log {
        /// Apache's level: 0 (emerg) to 15 (trace8), `http_log.h`.
        level: u8,
        /// The line, without its end, in no particular encoding.
        text: &'a [u8],
    },
    /// See [`ToChildTag::Answer`]; an encoded list of `Answer`s, not yet looked at.
    Answer(&'a [u8]),
    /// See [`ToChildTag::VariableWanted`].
    VariableWanted(&'a [u8]),
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSegment {
    /// Where it starts, bytes from the file's start.
    pub offset: u64,
    /// Its length, bytes.
    pub length: u64,
}

impl<'a> ToChild<'a> {
    /// Decodes the payload that follows a header with this tag.
    pub fn decode(tag: ToChildTag, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let message = match tag {
            ToChildTag::Welcome => ToChild::Welcome {
                pid: reader.u32("pid")?,
                slot: reader.u32("slot")?,
            },
            ToChildTag::Busy => ToChild::Busy,
            ToChildTag::Retry => ToChild::Retry,
            ToChildTag::BodyWanted => match reader.u64("max")? {
                0 => {
                    return Err(WireError::Value {
                        field: "max",
                        value: 0,
                    });
                }
                max => ToChild::BodyWanted { max },
            },
            ToChildTag::Interim => return Ok(ToChild::Interim(ResponseHead::decode(payload)?)),
            ToChildTag::Head => return Ok(ToChild::Head(ResponseHead::decode(payload)?)),
            ToChildTag::Data => return Ok(ToChild::Data(payload)),
            ToChildTag::Answer => return Ok(ToChild::Answer(payload)),
            ToChildTag::VariableWanted => return Ok(ToChild::VariableWanted(payload)),
            ToChildTag::File => ToChild::File(FileSegment {
                offset: reader.u64("offset")?,
                length: reader.u64("length")?,
            }),
            ToChildTag::End => ToChild::End,
            ToChildTag::ScoreboardWanted => ToChild::ScoreboardWanted,
            ToChildTag::Failed => ToChild::Failed(Failure::try_from(reader.u8("failure")?)?),
            ToChildTag::Log => {
                let level = reader.u8("level")?;
                if level > 15 {
                    return Err(WireError::Value {
                        field: "level",
                        value: u64::from(level),
                    });
                }
                return Ok(ToChild::Log {
                    level,
                    text: reader.rest(),
                });
            }
        };
        reader.finish()?;
        Ok(message)
    }
}

/// Appends a `Welcome`.
pub fn append_welcome(out: &mut Vec<u8>, pid: u32, slot: u32) {
    frame::append(out, ToChildTag::Welcome, |out| {
        out.put_u32(pid);
        out.put_u32(slot);
    });
}

/// Appends a `Busy`.
pub fn append_busy(out: &mut Vec<u8>) {
    frame::append_bytes(out, ToChildTag::Busy, &[]);
}

/// Appends a `Retry`.
pub fn append_retry(out: &mut Vec<u8>) {
    frame::append_bytes(out, ToChildTag::Retry, &[]);
}

/// Appends a `BodyWanted` for at most `max` bytes, which must not be 0.
pub fn append_body_wanted(out: &mut Vec<u8>, max: u64) {
    frame::append_u64(out, ToChildTag::BodyWanted, max);
}

/// Appends a `Head` from an encoded [`ResponseHead`].
pub fn append_head(out: &mut Vec<u8>, encoded: &[u8]) {
    frame::append_bytes(out, ToChildTag::Head, encoded);
}

/// Appends an `Interim` from an encoded [`ResponseHead`].
pub fn append_interim(out: &mut Vec<u8>, encoded: &[u8]) {
    frame::append_bytes(out, ToChildTag::Interim, encoded);
}

/// The header of a `Data` frame of `length` bytes (at most [`MAX_DATA`]), for callers that send
/// the bytes from where they lie.
pub fn data_header(length: u32) -> [u8; frame::HEADER_BYTES] {
    frame::Header {
        tag: ToChildTag::Data,
        length,
    }
    .encode()
}

/// Appends a `Data` of at most [`MAX_DATA`] bytes.
pub fn append_data(out: &mut Vec<u8>, data: &[u8]) {
    frame::append_bytes(out, ToChildTag::Data, data);
}

/// Appends a `File`; the descriptor must be sent with the frame's first byte.
pub fn append_file(out: &mut Vec<u8>, segment: FileSegment) {
    frame::append(out, ToChildTag::File, |out| {
        out.put_u64(segment.offset);
        out.put_u64(segment.length);
    });
}

/// Appends a `ScoreboardWanted`.
pub fn append_scoreboard_wanted(out: &mut Vec<u8>) {
    frame::append_bytes(out, ToChildTag::ScoreboardWanted, &[]);
}

/// Appends an `End`.
pub fn append_end(out: &mut Vec<u8>) {
    frame::append_bytes(out, ToChildTag::End, &[]);
}

/// Appends a `Failed`.
pub fn append_failed(out: &mut Vec<u8>, failure: Failure) {
    frame::append_bytes(out, ToChildTag::Failed, &[failure as u8]);
}

/// Appends a `Log`; text beyond [`MAX_LOG`] bytes is cut.
pub fn append_log(out: &mut Vec<u8>, level: u8, text: &[u8]) {
    let text = &text[..text.len().min(MAX_LOG as usize)];
    frame::append(out, ToChildTag::Log, |out| {
        out.put_u8(level.min(15));
        out.extend_from_slice(text);
    });
}

/// Appends an `Answer` of at most [`MAX_DATA`] bytes.
pub fn append_answer(out: &mut Vec<u8>, encoded: &[u8]) {
    frame::append_bytes(out, ToChildTag::Answer, encoded);
}

/// Appends a `VariableWanted` for a name of at most [`MAX_NAME`] bytes.
pub fn append_variable_wanted(out: &mut Vec<u8>, name: &[u8]) {
    frame::append_bytes(out, ToChildTag::VariableWanted, name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{HEADER_BYTES, Header};

    fn decode(bytes: &[u8]) -> ToChild<'_> {
        let (header, payload) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = Header::<ToChildTag>::decode(header).unwrap();
        assert_eq!(header.length as usize, payload.len());
        ToChild::decode(header.tag, payload).unwrap()
    }

    #[test]
    fn each_message_decodes_to_what_was_encoded() {
        let mut out = Vec::new();
        append_welcome(&mut out, 7, 2);
        assert_eq!(decode(&out), ToChild::Welcome { pid: 7, slot: 2 });
        out.clear();
        append_body_wanted(&mut out, 1 << 40);
        assert_eq!(decode(&out), ToChild::BodyWanted { max: 1 << 40 });
        out.clear();
        append_file(
            &mut out,
            FileSegment {
                offset: 3,
                length: 9,
            },
        );
        assert_eq!(
            decode(&out),
            ToChild::File(FileSegment {
                offset: 3,
                length: 9
            })
        );
        out.clear();
        append_log(&mut out, 3, b"line");
        assert_eq!(
            decode(&out),
            ToChild::Log {
                level: 3,
                text: b"line"
            }
        );
        out.clear();
        append_failed(&mut out, Failure::Incomplete);
        assert_eq!(decode(&out), ToChild::Failed(Failure::Incomplete));
        out.clear();
        append_answer(&mut out, b"\x01");
        assert_eq!(decode(&out), ToChild::Answer(b"\x01"));
    }

    #[test]
    fn a_request_for_no_bytes_is_refused() {
        assert!(ToChild::decode(ToChildTag::BodyWanted, &[0; 8]).is_err());
    }

    #[test]
    fn a_log_text_is_cut_at_its_limit() {
        let mut out = Vec::new();
        append_log(&mut out, 3, &vec![b'x'; MAX_LOG as usize + 5]);
        assert_eq!(out.len(), HEADER_BYTES + 1 + MAX_LOG as usize);
    }
}
