//! Pipes: lifelines between processes, and wake-ups from signal handlers.
//!
//! Any process, any thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::call::{check, uninterrupted};

/// A pipe, reading end first; both ends close on exec and block.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// What comes before the last writer is gone; `None` if that takes longer than `limit`.
pub fn read_to_end_within(reader: &OwnedFd, limit: Duration) -> io::Result<Option<Vec<u8>>> {
    let until = Instant::now() + limit;
    let (mut bytes, mut room) = (Vec::new(), [0; 512]);
    let mut file = File::from(reader.try_clone()?);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let millis = libc::c_int::try_from(left.as_millis()).unwrap_or(libc::c_int::MAX);
        let mut poll = libc::pollfd {
            fd: reader.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one `struct pollfd`, and its number.
        if uninterrupted(|| check(unsafe { libc::poll(&raw mut poll, 1, millis) }))? == 0 {
            return Ok(None);
        }
        match file.read(&mut room)? {
            0 => return Ok(Some(bytes)),
            length => bytes.extend_from_slice(&room[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_end_that_does_not_come_is_not_waited_for() {
        let (reader, writer) = pair().unwrap();
        let mut writer = File::from(writer);
        writer.write_all(b"R").unwrap();
        let early = read_to_end_within(&reader, Duration::from_millis(10));
        assert_eq!(early.unwrap(), None);
        writer.write_all(b"S").unwrap();
        drop(writer);
        let rest = read_to_end_within(&reader, Duration::from_secs(60));
        assert_eq!(rest.unwrap().unwrap(), b"S");
    }

    #[test]
    fn the_reader_is_at_its_end_when_the_writer_is_gone() {
        let (reader, writer) = pair().unwrap();
        let (mut reader, mut writer) = (File::from(reader), File::from(writer));
        writer.write_all(b"R").unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"R");
    }
}
