//! Random numbers of the kernel: those of a forked process are not its parent's, as the keys of the
//! standard library's maps are.
//!
//! Any process, any thread.

use std::io;

use crate::call::{check_length, uninterrupted};

/// A random number; 0 while the kernel has none, early after the machine's start.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    let filled = uninterrupted(|| {
        // SAFETY: pointer and length are of one buffer.
        check_length(unsafe {
            libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK)
        })
    });
    match filled {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// Bytes that nobody can guess. Waits for the kernel early after the machine's start.
pub fn secret<const BYTES: usize>() -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let filled = uninterrupted(|| {
        // SAFETY: pointer and length are of one buffer.
        check_length(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })
    })?;
    // getrandom(2): up to 256 bytes come whole.
    match filled == BYTES {
        true => Ok(bytes),
        false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_numbers_are_the_same() {
        assert_ne!(super::number(), super::number());
    }

    #[test]
    fn no_two_secrets_are_the_same() {
        let secret = || super::secret::<16>().unwrap();
        assert_ne!(secret(), secret());
    }
}
