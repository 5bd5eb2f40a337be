//! Little-endian primitives: the only place that reads or writes an integer of a message.
//!
//! A [`Reader`] never reads past its bytes and never allocates more than it has been given, so a
//! length that lies costs nothing.

use thiserror::Error;

/// Why bytes from a peer are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// The peer speaks another version of the protocol.
    #[error("protocol version {found} instead of {expected}")]
    Version {
        /// What the peer sent.
        found: u8,
        /// What this build speaks.
        expected: u8,
    },
    /// No message of this direction has this tag.
    #[error("unknown message tag {0}")]
    Tag(u8),
    /// The message is longer than its kind may be.
    #[error("message with tag {tag} of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The message's tag.
        tag: u8,
        /// Its length, bytes.
        length: u64,
        /// The limit for this tag, bytes.
        limit: u64,
    },
    /// The message ended inside a field.
    #[error("message ends inside {0}")]
    Short(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
    /// A field holds a value that has no meaning.
    #[error("{field} cannot be {value}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// What it held.
        value: u64,
    },
}

/// Takes fields off the front of a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The bytes not yet taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `length` bytes; `field` names them in the error.
    pub fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(WireError::Short(field)),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Short(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Takes one byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    /// Takes two bytes.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// Takes four bytes.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// Takes eight bytes.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// Takes a two-byte length and that many bytes.
    pub fn short_bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.u16(field)?;
        self.take(usize::from(length), field)
    }

    /// Takes a four-byte length and that many bytes.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.u32(field)?;
        self.take(length as usize, field)
    }

    /// Ends the message: an error if bytes are left.
    pub fn finish(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(WireError::Trailing(left)),
        }
    }
}

/// Puts fields at the end of a message.
pub trait Writer {
    /// Writes one byte.
    fn put_u8(&mut self, value: u8);
    /// Writes two bytes.
    fn put_u16(&mut self, value: u16);
    /// Writes four bytes.
    fn put_u32(&mut self, value: u32);
    /// Writes eight bytes.
    fn put_u64(&mut self, value: u64);
    /// Writes a two-byte length and the bytes, cut at 65,535.
    fn put_short_bytes(&mut self, bytes: &[u8]);
    /// Writes a four-byte length and the bytes, cut at 4 GiB - 1.
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Writer for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_short_bytes(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.put_u16(length);
        self.extend_from_slice(&bytes[..usize::from(length)]);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.put_u32(length);
        self.extend_from_slice(&bytes[..length as usize]);
    }
}
