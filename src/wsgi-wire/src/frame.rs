//! The eight bytes every message starts with, and how long each kind of message may be.
//!
//! `version:u8  tag:u8  reserved:u16 = 0  length:u32`, little-endian; `length` counts the payload
//! only. Runs in children, daemons and the monitor.

use crate::codec::{Reader, WireError, Writer};

/// The protocol this build speaks. Module, monitor and gateway are installed together, so a
/// difference means two installations are mixed.
pub const VERSION: u8 = 1;

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 8;

/// The largest request or response head, bytes.
pub const MAX_HEAD: u32 = 16 << 20;

/// The largest piece of a body in one frame, bytes.
pub const MAX_DATA: u32 = 1 << 20;

/// The longest name of a variable, bytes.
pub const MAX_NAME: u32 = 8 << 10;

/// The largest text of one log frame, bytes.
pub const MAX_LOG: u32 = 64 << 10;

/// A decoded frame header of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<T> {
    /// Which message follows.
    pub tag: T,
    /// Bytes of its payload, already checked against the tag's limit.
    pub length: u32,
}

/// The tags of one direction.
pub trait Tag: Copy + Sized {
    /// The tag with this code, or `None`.
    fn from_code(code: u8) -> Option<Self>;
    /// The code on the wire.
    fn code(self) -> u8;
    /// The longest payload, bytes.
    fn limit(self) -> u32;
}

impl<T: Tag> Header<T> {
    /// Checks and decodes the header at the front of a message.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(WireError::Version {
                found: version,
                expected: VERSION,
            });
        }
        let code = reader.u8("tag")?;
        let reserved = reader.u16("reserved")?;
        if reserved != 0 {
            return Err(WireError::Value {
                field: "reserved",
                value: u64::from(reserved),
            });
        }
        let tag = T::from_code(code).ok_or(WireError::Tag(code))?;
        let length = reader.u32("length")?;
        if length > tag.limit() {
            let (length, limit) = (u64::from(length), u64::from(tag.limit()));
            return Err(WireError::TooLong {
                tag: code,
                length,
                limit,
            });
        }
        Ok(Header { tag, length })
    }

    /// The header as bytes.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let length = self.length.to_le_bytes();
        [
            VERSION,
            self.tag.code(),
            0,
            0,
            length[0],
            length[1],
            length[2],
            length[3],
        ]
    }
}

/// Appends one frame to `out`; `payload` writes what follows the header, at most the tag's limit.
pub fn append<T: Tag>(out: &mut Vec<u8>, tag: T, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&Header { tag, length: 0 }.encode());
    payload(out);
    let length = (out.len() - start - HEADER_BYTES) as u32;
    debug_assert!(length <= tag.limit(), "our own frame is over its limit");
    out[start + 4..start + HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Appends a frame whose payload is `bytes`.
pub fn append_bytes<T: Tag>(out: &mut Vec<u8>, tag: T, bytes: &[u8]) {
    append(out, tag, |out| out.extend_from_slice(bytes));
}

/// Appends a frame whose payload is one 64-bit integer.
pub(crate) fn append_u64<T: Tag>(out: &mut Vec<u8>, tag: T, value: u64) {
    append(out, tag, |out| out.put_u64(value));
}

/// Declares the tags of one direction: code, name and payload limit in one row each.
macro_rules! tags {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $tag:ident = $code:literal, $limit:expr;)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $tag = $code,)*
        }

        impl $name {
            /// Every tag of this direction.
            pub const ALL: &'static [$name] = &[$($name::$tag),*];
        }

        impl $crate::frame::Tag for $name {
            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some($name::$tag),)*
                    _ => None,
                }
            }

            fn code(self) -> u8 {
                self as u8
            }

            fn limit(self) -> u32 {
                match self {
                    $($name::$tag => $limit,)*
                }
            }
        }
    };
}
pub(crate) use tags;
