//! Descriptors that a parent process left open for this one, by number.
//!
//! For the monitor and for daemons, on the first thread, before it opens anything of its own.

use std::io::{self, ErrorKind};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::call::check;

/// Takes over an inherited descriptor, which closes on exec from here on.
///
/// What was inherited is not close-on-exec, and all that this program opens is: so the mark tells
/// whether a number still belongs to nobody. One that is marked is
/// [`ErrorKind::AlreadyExists`], standard input, output and error are
/// [`ErrorKind::InvalidInput`], and a number that is not open is the system's `EBADF`.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from(ErrorKind::InvalidInput));
    }
    // SAFETY: F_GETFD takes no argument and touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from(ErrorKind::AlreadyExists));
    }
    // SAFETY: F_SETFD takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: open, and without an owner in this program, as the missing mark has told.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn what_is_owned_or_standard_is_not_taken() {
        let (reader, _writer) = crate::pipe::pair().unwrap();
        let owned = take(reader.as_raw_fd()).unwrap_err();
        assert_eq!(owned.kind(), ErrorKind::AlreadyExists);
        assert_eq!(take(2).unwrap_err().kind(), ErrorKind::InvalidInput);
        let closed = take(1_000_000).unwrap_err();
        assert_eq!(closed.raw_os_error(), Some(libc::EBADF));
    }
}
