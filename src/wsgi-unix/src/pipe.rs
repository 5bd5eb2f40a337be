//! Pipes: lifelines between processes, and wake-ups from signal handlers.
//!
//! Any process, any thread.

use std::io;
use std::os::fd::OwnedFd;

/// A pipe, reading end first; both ends close on exec and block.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

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
