//! What a request proves with that it comes from Apache: known to Apache's processes, the monitor
//! and one process group's daemons.
//!
//! In all of our processes. A group without `user=` runs as Apache's own user, so neither the
//! owner of a socket nor the kernel's word about a peer keeps it from the other groups' sockets.

use std::fmt;
use std::hint::black_box;

use crate::codec::{Reader, WireError};
use crate::launch::Field;

/// The length of a secret, bytes.
pub const SECRET_BYTES: usize = 16;

/// A process group's secret; all zeros where none is needed.
#[derive(Clone, Copy, Default)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// These bytes, which are to be random.
    pub const fn new(bytes: [u8; SECRET_BYTES]) -> Secret {
        Secret(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Whether a request that shows `other` is for the group with this secret. Zeros are nobody's.
    pub fn is(&self, other: &Secret) -> bool {
        *self == *other && *self != Secret::default()
    }

    /// Takes a secret.
    pub fn take(reader: &mut Reader<'_>) -> Result<Secret, WireError> {
        let mut bytes = [0; SECRET_BYTES];
        bytes.copy_from_slice(reader.take(SECRET_BYTES, "secret")?);
        Ok(Secret(bytes))
    }
}

/// Takes as long whatever the difference is, so that nobody can guess byte by byte.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        black_box(pairs.fold(0, |difference, (own, other)| difference | (own ^ other))) == 0
    }
}

impl Eq for Secret {}

/// Logs and messages never have it.
impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

impl Field for Secret {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>, _: &'static str) -> Result<Self, WireError> {
        Secret::take(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_in_every_byte_or_not_at_all() {
        let secret = Secret::new([7; SECRET_BYTES]);
        assert_eq!(secret, Secret::new([7; SECRET_BYTES]));
        for at in 0..SECRET_BYTES {
            let mut other = [7; SECRET_BYTES];
            other[at] = 8;
            assert_ne!(secret, Secret::new(other), "{at}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn zeros_are_nobodys_secret() {
        let secret = Secret::new([7; SECRET_BYTES]);
        assert!(secret.is(&secret));
        assert!(!secret.is(&Secret::default()));
        assert!(!Secret::default().is(&Secret::default()));
    }
}
