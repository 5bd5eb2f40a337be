//! Short messages between two processes, each received whole: SOCK_SEQPACKET (unix(7)).
//!
//! Any process, any thread. Nothing here ever waits: a peer that does not read costs its sender
//! an error. Descriptors that a peer attaches are not taken, so the kernel closes them.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::call::{check, check_length, uninterrupted};

/// What there was to receive.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// A packet; never empty.
    Packet(&'b [u8]),
    /// Nothing for now.
    Nothing,
    /// The peer is gone, or has sent a packet of no bytes, which nobody of ours does.
    End,
}

/// A connected pair; both ends close on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for the two descriptors that socketpair(2) stores.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: socketpair has just made this descriptor and nobody else knows it.
    let one = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as for the first.
    let other = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((one, other))
}

/// Sends one packet, or fails with [`ErrorKind::WouldBlock`] if the peer has left too many unread
/// and with [`ErrorKind::BrokenPipe`] if it is gone.
pub fn send(fd: BorrowedFd<'_>, packet: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    uninterrupted(|| {
        // SAFETY: pointer and length are of one slice, which the call only reads.
        check_length(unsafe {
            libc::send(fd.as_raw_fd(), packet.as_ptr().cast(), packet.len(), flags)
        })
    })
    .map(drop)
}

/// Receives one packet; one that is longer than `buffer` is [`ErrorKind::InvalidData`] and lost.
pub fn receive<'b>(fd: BorrowedFd<'_>, buffer: &'b mut [u8]) -> io::Result<Received<'b>> {
    // With MSG_TRUNC the packet's own length is answered, however much of it had room.
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    let received = uninterrupted(|| {
        // SAFETY: pointer and length are of one buffer.
        check_length(unsafe {
            libc::recv(
                fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
            )
        })
    });
    match received {
        Ok(0) => Ok(Received::End),
        Ok(length) if length <= buffer.len() => Ok(Received::Packet(&buffer[..length])),
        Ok(_) => Err(io::Error::from(ErrorKind::InvalidData)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => Ok(Received::Nothing),
            ErrorKind::ConnectionReset => Ok(Received::End),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn packets_keep_their_bounds_until_the_end() {
        let (one, other) = pair().unwrap();
        let mut room = [0; 8];
        assert_eq!(
            receive(other.as_fd(), &mut room).unwrap(),
            Received::Nothing
        );
        send(one.as_fd(), b"first").unwrap();
        send(one.as_fd(), b"2").unwrap();
        drop(one);
        let received = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"first"));
        let received = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"2"));
        assert_eq!(receive(other.as_fd(), &mut room).unwrap(), Received::End);
        assert!(send(other.as_fd(), b"x").is_err());
    }

    #[test]
    fn a_packet_without_room_is_an_error_and_the_next_is_not() {
        let (one, other) = pair().unwrap();
        send(one.as_fd(), b"too long").unwrap();
        send(one.as_fd(), b"ok").unwrap();
        let mut room = [0; 4];
        let error = receive(other.as_fd(), &mut room).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let received = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"ok"));
    }

    #[test]
    fn a_peer_that_does_not_read_holds_up_nobody() {
        let (one, _other) = pair().unwrap();
        let full = (0..100_000).find_map(|_| send(one.as_fd(), &[0; 1024]).err());
        assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
    }
}
