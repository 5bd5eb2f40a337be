//! The records of telemetry as bytes: one datagram each.
//!
//! Pure. A record is a header (`WSGI`, version, kind, flags, process id, sequence number, time) and
//! fields of number, type and value, all little-endian; the layout is the one that the package
//! `mod_wsgi-telemetry` reads.

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An interval of the process.
    Sample = 2,
    /// A request that takes long, or has.
    Slow = 4,
    /// The process has begun.
    Started = 5,
    /// The process is about to end.
    Stopping = 6,
    /// The process ends.
    Stopped = 7,
    /// The garbage collector of an interpreter.
    Collector = 8,
    /// One garbage collection.
    Collection = 9,
}

const VERSION: u8 = 1;

/// The longest datagram that receivers take, bytes.
pub const LONGEST: usize = 8192;

/// A record that is being written.
#[derive(Debug)]
pub struct Record(Vec<u8>);

impl Record {
    /// Begins a record; `at` is its time, seconds since 1970.
    pub fn begin(kind: Kind, pid: u32, sequence: u32, at: f64) -> Self {
        let mut out = b"WSGI".to_vec();
        out.extend([VERSION, kind as u8]);
        out.extend(0_u16.to_le_bytes());
        out.extend(pid.to_le_bytes());
        out.extend(sequence.to_le_bytes());
        out.extend(at.to_le_bytes());
        Record(out)
    }

    fn field(&mut self, id: u16, kind: u8) -> &mut Vec<u8> {
        self.0.extend(id.to_le_bytes());
        self.0.push(kind);
        &mut self.0
    }

    /// Adds a whole number.
    pub fn count(&mut self, id: u16, value: u64) {
        self.field(id, 1).extend(value.to_le_bytes());
    }

    /// Adds a number.
    pub fn number(&mut self, id: u16, value: f64) {
        self.field(id, 2).extend(value.to_le_bytes());
    }

    /// Adds a text.
    pub fn text(&mut self, id: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        let out = self.field(id, 4);
        out.extend((value.len() as u16).to_le_bytes());
        out.extend(value);
    }

    /// Adds whole numbers.
    pub fn counts(&mut self, id: u16, values: &[u32]) {
        let out = self.field(id, 5);
        out.extend((values.len() as u16).to_le_bytes());
        for value in values {
            let value = i32::try_from(*value).unwrap_or(i32::MAX);
            out.extend(value.to_le_bytes());
        }
    }

    /// Adds numbers.
    pub fn numbers(&mut self, id: u16, values: &[f64]) {
        let out = self.field(id, 6);
        out.extend((values.len() as u16).to_le_bytes());
        for value in values {
            out.extend(value.to_le_bytes());
        }
    }

    /// The datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_header_and_its_fields() {
        let mut record = Record::begin(Kind::Stopped, 0x0102, 3, 1.5);
        record.count(132, 7);
        record.text(5, b"vm");
        record.counts(110, &[1, u32::MAX]);
        let bytes = record.bytes();
        assert_eq!(&bytes[..16], b"WSGI\x01\x07\0\0\x02\x01\0\0\x03\0\0\0");
        assert_eq!(bytes[16..24], 1.5_f64.to_le_bytes());
        assert_eq!(&bytes[24..35], b"\x84\0\x01\x07\0\0\0\0\0\0\0");
        assert_eq!(&bytes[35..42], b"\x05\0\x04\x02\0vm");
        assert_eq!(&bytes[42..47], b"\x6e\0\x05\x02\0");
        assert_eq!(&bytes[47..], b"\x01\0\0\0\xff\xff\xff\x7f");
    }
}
