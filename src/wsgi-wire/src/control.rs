//! How an Apache child asks the monitor for the process group of a key: one packet there, with a
//! socket for the answer attached, and one packet back, with the group's hint page attached.
//!
//! Used by children and the monitor. The child names a template of the configuration and a key, never
//! a path or an account; the monitor may be root, so it believes nothing else.

use crate::codec::{Reader, WireError, Writer};
use crate::frame::VERSION;
use crate::launch::Field;
use crate::launch::template::{MAX_KEY, is_key};
use crate::secret::Secret;

/// The longest packet either way, bytes.
pub const MAX_PACKET: usize = 1024;

/// The longest path or sentence in an answer, bytes; a sentence that is longer is cut.
const MAX_TEXT: usize = 512;

const MADE: u8 = 1;
const REFUSED: u8 = 2;

/// A child asks for a group, which is made if it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The template's place in the configuration.
    pub template: u32,
    /// The key.
    pub key: Vec<u8>,
}

impl Ask {
    /// The packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u32(self.template);
        out.put_short_bytes(&self.key);
        out
    }

    /// Decodes a packet; what cannot be a key is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Ask, WireError> {
        let mut reader = begin(bytes)?;
        let template = reader.u32("template")?;
        let key = reader.short_bytes("key")?.to_vec();
        reader.finish()?;
        if key.len() > MAX_KEY || !is_key(&key) {
            let value = key.len() as u64;
            return Err(WireError::Value {
                field: "key of this length",
                value,
            });
        }
        Ok(Ask { template, key })
    }
}

/// Why there is no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// As many exist as may, and all of them are in use: worth another try.
    Full = 1,
    /// The key names nobody, or somebody whom no group may run as.
    Forbidden = 2,
    /// What the key leads to is not in order, for instance the directory of its Python.
    Broken = 3,
    /// The system refused something: worth another try.
    System = 4,
}

impl Refusal {
    const ALL: [Refusal; 4] = [
        Refusal::Full,
        Refusal::Forbidden,
        Refusal::Broken,
        Refusal::System,
    ];
}

/// What the monitor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The group is there; its hint page comes with the packet.
    Made {
        /// The path of its socket.
        socket: Vec<u8>,
        /// What its daemons know requests by.
        secret: Secret,
    },
    /// It is not.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same for the log.
        reason: Vec<u8>,
    },
}

impl Answer {
    /// The packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Answer::Made { socket, secret } => {
                out.put_u8(MADE);
                out.put_short_bytes(socket);
                secret.encode(&mut out);
            }
            Answer::Refused { refusal, reason } => {
                out.put_u8(REFUSED);
                out.put_u8(*refusal as u8);
                out.put_short_bytes(&reason[..reason.len().min(MAX_TEXT)]);
            }
        }
        out
    }

    /// Decodes a packet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Answer, WireError> {
        let mut reader = begin(bytes)?;
        let answer = match reader.u8("tag")? {
            MADE => Answer::Made {
                socket: reader.short_bytes("socket")?.to_vec(),
                secret: Secret::take(&mut reader)?,
            },
            REFUSED => {
                let code = reader.u8("refusal")?;
                let mut all = Refusal::ALL.into_iter();
                let refusal = all.find(|refusal| *refusal as u8 == code);
                Answer::Refused {
                    refusal: refusal.ok_or(WireError::Value {
                        field: "refusal",
                        value: u64::from(code),
                    })?,
                    reason: reader.short_bytes("reason")?.to_vec(),
                }
            }
            other => return Err(WireError::Tag(other)),
        };
        reader.finish()?;
        Ok(answer)
    }
}

fn begin(bytes: &[u8]) -> Result<Reader<'_>, WireError> {
    let mut reader = Reader::new(bytes);
    let found = reader.u8("version")?;
    if found != VERSION {
        return Err(WireError::Version {
            found,
            expected: VERSION,
        });
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SECRET_BYTES;

    #[test]
    fn what_is_sent_is_what_is_understood() {
        let ask = Ask {
            template: 7,
            key: b"www.example.org".to_vec(),
        };
        assert_eq!(Ask::from_bytes(&ask.to_bytes()), Ok(ask));
        let made = Answer::Made {
            socket: b"/run/wsgi.1.1.k1.sock".to_vec(),
            secret: Secret::new([9; SECRET_BYTES]),
        };
        assert_eq!(Answer::from_bytes(&made.to_bytes()), Ok(made));
        for refusal in Refusal::ALL {
            let refused = Answer::Refused {
                refusal,
                reason: b"nobody knows".to_vec(),
            };
            assert_eq!(Answer::from_bytes(&refused.to_bytes()), Ok(refused));
        }
    }

    #[test]
    fn what_is_no_key_does_not_get_through() {
        for key in [&b""[..], b"..", b"a/b", &[b'k'; MAX_KEY + 1]] {
            let ask = Ask {
                template: 0,
                key: key.to_vec(),
            };
            assert!(Ask::from_bytes(&ask.to_bytes()).is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_packet_cut_anywhere_or_with_a_tail_is_refused() {
        let ask = Ask {
            template: 7,
            key: b"me".to_vec(),
        };
        let refused = Answer::Refused {
            refusal: Refusal::Full,
            reason: b"x".to_vec(),
        };
        let (mut ask, mut answer) = (ask.to_bytes(), refused.to_bytes());
        for length in 0..ask.len() {
            assert!(Ask::from_bytes(&ask[..length]).is_err(), "{length}");
        }
        for length in 0..answer.len() {
            assert!(Answer::from_bytes(&answer[..length]).is_err(), "{length}");
        }
        ask.push(0);
        answer.push(0);
        assert_eq!(Ask::from_bytes(&ask), Err(WireError::Trailing(1)));
        assert_eq!(Answer::from_bytes(&answer), Err(WireError::Trailing(1)));
    }

    #[test]
    fn no_answer_is_longer_than_a_packet() {
        let refused = Answer::Refused {
            refusal: Refusal::Broken,
            reason: vec![b'x'; 10_000],
        };
        assert!(refused.to_bytes().len() <= MAX_PACKET);
    }
}
