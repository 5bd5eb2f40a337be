//! Packets with something attached: descriptors on their way to another process, and the sender's
//! identity, which the kernel vouches for (unix(7), SCM_RIGHTS and SCM_CREDENTIALS).
//!
//! For the monitor, which hands out descriptors and wants to know who speaks, and for the processes
//! that take them. A received descriptor is open for its process only (close-on-exec).

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::call::{check, check_length, uninterrupted};
use crate::packet::Received;
use crate::socket::Credentials;

/// How many descriptors travel with a packet.
pub const DESCRIPTORS: usize = 2;

/// One ancillary message as cmsg(3) lays it out: header, then data. The header's size is a
/// multiple of the alignment of either kind of data, so plain fields give CMSG_DATA's place.
#[repr(C)]
struct Ancillary<T> {
    header: libc::cmsghdr,
    data: T,
}

const HEADER: usize = size_of::<libc::cmsghdr>();
const RIGHTS: usize = HEADER + size_of::<[RawFd; DESCRIPTORS]>();
const NAMED: usize = HEADER + size_of::<libc::ucred>();
// SAFETY: CMSG_LEN computes with its argument only.
const _: () = assert!(unsafe { libc::CMSG_LEN(8) } as usize == RIGHTS);
// SAFETY: as above.
const _: () = assert!(unsafe { libc::CMSG_LEN(12) } as usize == NAMED);

/// Sends one packet and duplicates of these descriptors; errors are those of
/// [`packet::send`](crate::packet::send).
pub fn send(
    fd: BorrowedFd<'_>,
    packet: &[u8],
    passed: [BorrowedFd<'_>; DESCRIPTORS],
) -> io::Result<()> {
    let mut rights = Ancillary {
        header: libc::cmsghdr {
            cmsg_len: RIGHTS as _,
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        data: passed.map(|fd| fd.as_raw_fd()),
    };
    let mut part = libc::iovec {
        iov_base: packet.as_ptr().cast_mut().cast(),
        iov_len: packet.len(),
    };
    let message = message(&mut part, &mut rights, RIGHTS);
    uninterrupted(|| {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `message` points at a part and at the rights, which live through the call and are
        // only read.
        check_length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, flags) })
    })
    .map(drop)
}

/// Waits for one packet and takes the descriptors that came with it: all that a sender of ours
/// attaches, or none. A packet longer than `buffer` is [`ErrorKind::InvalidData`] and lost.
pub fn receive<'b>(
    fd: BorrowedFd<'_>,
    buffer: &'b mut [u8],
) -> io::Result<(Received<'b>, Option<[OwnedFd; DESCRIPTORS]>)> {
    let mut rights = Ancillary {
        header: no_header(),
        data: [-1; DESCRIPTORS],
    };
    let (received, filled) = receive_message(fd, buffer, &mut rights, RIGHTS, 0)?;
    let passed = filled > HEADER
        && rights.header.cmsg_level == libc::SOL_SOCKET
        && rights.header.cmsg_type == libc::SCM_RIGHTS;
    let count = match passed {
        true => rights.header.cmsg_len.saturating_sub(HEADER) / size_of::<RawFd>(),
        false => 0,
    };
    let owned = |&number: &RawFd| {
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
        unsafe { OwnedFd::from_raw_fd(number) }
    };
    let descriptors: Vec<OwnedFd> = rights.data.iter().take(count).map(owned).collect();
    Ok((packet(received, buffer)?, descriptors.try_into().ok()))
}

/// From now on every packet that is received here tells who sent it.
pub fn name_senders(fd: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: address and length of one integer, which the call only reads.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Receives one packet without waiting, and who sent it. Descriptors are not taken: there is no room
/// for them behind the credentials, so the kernel closes them.
pub fn receive_named<'b>(
    fd: BorrowedFd<'_>,
    buffer: &'b mut [u8],
) -> io::Result<(Received<'b>, Option<Credentials>)> {
    let mut named = Ancillary {
        header: no_header(),
        data: libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        },
    };
    let outcome = receive_message(fd, buffer, &mut named, NAMED, libc::MSG_DONTWAIT);
    let (received, filled) = match outcome {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            return Ok((Received::Nothing, None));
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            return Ok((Received::End, None));
        }
        Err(error) => return Err(error),
    };
    let told = filled >= NAMED
        && named.header.cmsg_level == libc::SOL_SOCKET
        && named.header.cmsg_type == libc::SCM_CREDENTIALS;
    let sender = told.then_some(Credentials {
        pid: named.data.pid,
        uid: named.data.uid,
        gid: named.data.gid,
    });
    Ok((packet(received, buffer)?, sender))
}

fn packet(length: usize, buffer: &[u8]) -> io::Result<Received<'_>> {
    match length {
        0 => Ok(Received::End),
        length if length <= buffer.len() => Ok(Received::Packet(&buffer[..length])),
        _ => Err(io::Error::from(ErrorKind::InvalidData)),
    }
}

/// The packet's own length, and how many bytes of the ancillary message were filled.
fn receive_message<T>(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    ancillary: &mut Ancillary<T>,
    room: usize,
    flags: libc::c_int,
) -> io::Result<(usize, usize)> {
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut message = message(&mut part, ancillary, room);
    let received = uninterrupted(|| {
        message.msg_controllen = room as _;
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC | flags;
        // SAFETY: `message` points at one part and at the ancillary message, both with their
        // lengths, and both live through the call.
        check_length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })
    })?;
    Ok((received, message.msg_controllen))
}

fn message<T>(part: &mut libc::iovec, ancillary: &mut Ancillary<T>, length: usize) -> libc::msghdr {
    // SAFETY: msghdr is integers and nullable pointers, for all of which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = std::ptr::from_mut(ancillary).cast();
    message.msg_controllen = length as _;
    message
}

fn no_header() -> libc::cmsghdr {
    libc::cmsghdr {
        cmsg_len: 0,
        cmsg_level: 0,
        cmsg_type: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;
    use crate::{accounts, packet, pipe, process};

    #[test]
    fn descriptors_arrive_with_their_packet_and_their_order() {
        let (one, other) = packet::pair().unwrap();
        let (first, first_end) = pipe::pair().unwrap();
        let (second, second_end) = pipe::pair().unwrap();
        send(one.as_fd(), b"take", [first.as_fd(), second.as_fd()]).unwrap();
        drop((first, second));
        let mut room = [0; 8];
        let (received, passed) = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"take"));
        for (end, text, fd) in passed
            .unwrap()
            .into_iter()
            .zip([(first_end, "first"), (second_end, "second")])
            .map(|(fd, (end, text))| (end, text, fd))
        {
            std::io::Write::write_all(&mut File::from(end), text.as_bytes()).unwrap();
            let mut read = String::new();
            File::from(fd).read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn a_packet_without_descriptors_and_the_end_are_told() {
        let (one, other) = packet::pair().unwrap();
        packet::send(one.as_fd(), b"plain").unwrap();
        drop(one);
        let mut room = [0; 8];
        let (received, passed) = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"plain"));
        assert!(passed.is_none());
        let (received, _) = receive(other.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::End);
    }

    #[test]
    fn the_kernel_names_who_speaks_and_descriptors_are_closed() {
        let (ours, theirs) = packet::pair().unwrap();
        name_senders(ours.as_fd()).unwrap();
        let mut room = [0; 8];
        let (received, sender) = receive_named(ours.as_fd(), &mut room).unwrap();
        assert_eq!((received, sender), (Received::Nothing, None));
        let (reader, writer) = pipe::pair().unwrap();
        send(theirs.as_fd(), b"me", [writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let (received, sender) = receive_named(ours.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::Packet(b"me"));
        let expected = Credentials {
            pid: process::own_pid(),
            uid: accounts::own_uid(),
            gid: accounts::own_gid(),
        };
        assert_eq!(sender, Some(expected));
        let mut left = Vec::new();
        File::from(reader).read_to_end(&mut left).unwrap();
        assert!(left.is_empty(), "no copy of the descriptor is open");
        drop(theirs);
        let (received, _) = receive_named(ours.as_fd(), &mut room).unwrap();
        assert_eq!(received, Received::End);
    }
}
