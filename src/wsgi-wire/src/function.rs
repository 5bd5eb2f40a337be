//! Calls of a script's functions for a decision of httpd, instead of an application for a response.
//!
//! The module says in a request's head which functions to call and with what; the gateway sends
//! one answer that holds what each of them returned. Only what such functions may return has a form
//! here; of everything else the type's name is told.

use crate::codec::{Reader, WireError, Writer};

/// The functions that a request head asks for: each is called with the environ and all arguments.
#[derive(Debug, Clone, Copy)]
pub struct Functions<'a> {
    names: &'a [u8],
    arguments: &'a [u8],
}

impl<'a> Functions<'a> {
    /// Takes the fields off the front of `reader` and checks their framing.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let names = reader.bytes("function names")?;
        let arguments = reader.bytes("function arguments")?;
        for list in [names, arguments] {
            let mut items = Reader::new(list);
            while !items.rest().is_empty() {
                items.bytes("function or argument")?;
            }
        }
        Ok(Functions { names, arguments })
    }

    /// The functions' names, in the order they are called; one that is not there is passed over.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        items(self.names)
    }

    /// The arguments after the environ, native strings like its values.
    pub fn arguments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        items(self.arguments)
    }
}

fn items<'a>(list: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut reader = Reader::new(list);
    std::iter::from_fn(move || reader.bytes("item").ok())
}

/// Writes what [`Functions::decode`] reads.
pub(crate) fn encode_functions(out: &mut Vec<u8>, names: &[&[u8]], arguments: &[&[u8]]) {
    for list in [names, arguments] {
        let length: usize = list.iter().map(|item| item.len() + 4).sum();
        out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        list.iter().for_each(|item| out.put_bytes(item));
    }
}

/// What a function returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The script has no such function.
    Missing,
    /// None.
    None,
    /// True or False.
    Bool(bool),
    /// A str, as UTF-8.
    Text(Vec<u8>),
    /// A bytes object.
    Bytes(Vec<u8>),
    /// The items of another iterable.
    Items(Vec<Answer>),
    /// Anything else: the name of its type, as UTF-8.
    Other(Vec<u8>),
}

impl Answer {
    /// Writes the answer of one function.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Missing => out.put_u8(0),
            Answer::None => out.put_u8(1),
            Answer::Bool(value) => out.put_u8(2 + u8::from(*value)),
            Answer::Text(text) => {
                out.put_u8(4);
                out.put_bytes(text);
            }
            Answer::Bytes(bytes) => {
                out.put_u8(5);
                out.put_bytes(bytes);
            }
            Answer::Items(items) => {
                out.put_u8(6);
                out.put_u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
                items.iter().for_each(|item| item.encode(out));
            }
            Answer::Other(kind) => {
                out.put_u8(7);
                out.put_bytes(kind);
            }
        }
    }

    /// Reads the answers of all functions that were asked for.
    pub fn decode_all(payload: &[u8]) -> Result<Vec<Answer>, WireError> {
        let mut reader = Reader::new(payload);
        let mut answers = Vec::new();
        while !reader.rest().is_empty() {
            answers.push(Answer::decode(&mut reader, true)?);
        }
        Ok(answers)
    }

    fn decode(reader: &mut Reader<'_>, outermost: bool) -> Result<Answer, WireError> {
        let kind = reader.u8("answer kind")?;
        Ok(match kind {
            0 if outermost => Answer::Missing,
            1 => Answer::None,
            2 => Answer::Bool(false),
            3 => Answer::Bool(true),
            4 => Answer::Text(reader.bytes("text")?.to_vec()),
            5 => Answer::Bytes(reader.bytes("bytes")?.to_vec()),
            6 if outermost => {
                let count = reader.u32("item count")?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(Answer::decode(reader, false)?);
                }
                Answer::Items(items)
            }
            7 => Answer::Other(reader.bytes("type name")?.to_vec()),
            other => {
                return Err(WireError::Value {
                    field: "answer kind",
                    value: u64::from(other),
                });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_decodes_to_what_was_encoded() {
        let answers = [
            Answer::Missing,
            Answer::None,
            Answer::Bool(false),
            Answer::Bool(true),
            Answer::Text("caf\u{e9}".into()),
            Answer::Bytes(b"\xff".to_vec()),
            Answer::Items(vec![
                Answer::Text(b"staff".to_vec()),
                Answer::Other(b"int".to_vec()),
            ]),
            Answer::Other(b"object".to_vec()),
        ];
        let mut out = Vec::new();
        answers.iter().for_each(|answer| answer.encode(&mut out));
        assert_eq!(Answer::decode_all(&out).unwrap(), answers);
    }

    #[test]
    fn items_within_items_are_refused() {
        let nested = Answer::Items(vec![Answer::Items(Vec::new())]);
        let mut out = Vec::new();
        nested.encode(&mut out);
        assert!(Answer::decode_all(&out).is_err());
    }

    #[test]
    fn a_count_that_lies_costs_nothing() {
        let mut out = Vec::new();
        out.put_u8(6);
        out.put_u32(u32::MAX);
        assert!(Answer::decode_all(&out).is_err());
    }
}
