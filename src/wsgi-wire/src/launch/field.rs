//! How the records of a launch are encoded, field by field.
//!
//! Used in every process of ours, when it is started or starts another. It knows no record: what
//! is in them stands in [`super`].

use std::time::Duration;

use crate::codec::{Reader, WireError, Writer};

/// A field that has one encoding.
pub trait Field: Sized {
    /// Appends the field.
    fn encode(&self, out: &mut Vec<u8>);
    /// Takes the field; `name` is named in errors.
    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError>;
    /// Puts `key` in every text's place for it ([`super::template::KEY`]).
    fn fill(&mut self, _key: &[u8]) {}
}

impl Field for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(*self));
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        match reader.u8(name)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(WireError::Value {
                field: name,
                value: u64::from(other),
            }),
        }
    }
}

impl Field for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u8(name)
    }
}

impl Field for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u64(name)
    }
}

impl Field for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(*self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        reader.u32(name)
    }
}

/// Two's complement on the wire.
impl Field for i32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.cast_unsigned());
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        Ok(reader.u32(name)?.cast_signed())
    }
}

/// Milliseconds on the wire.
impl Field for Duration {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(u64::try_from(self.as_millis()).unwrap_or(u64::MAX));
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        Ok(Duration::from_millis(reader.u64(name)?))
    }
}

impl Field for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(self);
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        Ok(reader.bytes(name)?.to_vec())
    }

    fn fill(&mut self, key: &[u8]) {
        if super::template::has_key(self) {
            *self = super::template::filled(self, key);
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        bool::decode(reader, name)?
            .then(|| T::decode(reader, name))
            .transpose()
    }

    fn fill(&mut self, key: &[u8]) {
        if let Some(value) = self {
            value.fill(key);
        }
    }
}

/// A sequence of any record but bytes, which have their own encoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List<T>(pub Vec<T>);

impl<T: Field> Field for List<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.0.len() as u32);
        for item in &self.0 {
            item.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, name: &'static str) -> Result<Self, WireError> {
        let count = reader.u32(name)?;
        // Grown by decoding, never by the count: a count that lies ends as `Short`.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(reader, name)?);
        }
        Ok(List(items))
    }

    fn fill(&mut self, key: &[u8]) {
        for item in &mut self.0 {
            item.fill(key);
        }
    }
}

macro_rules! record {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Field for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$field.encode(out);)*
            }

            fn decode(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, WireError> {
                Ok($name { $($field: Field::decode(reader, stringify!($field))?,)* })
            }

            fn fill(&mut self, key: &[u8]) {
                $(self.$field.fill(key);)*
            }
        }
    };
}

pub(crate) use record;
