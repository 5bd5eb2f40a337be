//! Unix stream sockets between Apache children and daemons, and the descriptors that travel on
//! them.
//!
//! Any thread of the parent (which listens), of Apache children (which connect) and of daemons
//! (which accept). Nothing here raises SIGPIPE, and every call is repeated when a signal
//! interrupts it. A received descriptor is hostile until its user has checked what it is.

use std::ffi::{CString, c_int};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::call::{check, check_length, uninterrupted};

/// The most parts one sendmsg(2) may have (`UIO_MAXIOV`).
const MAX_PARTS: usize = 1024;

/// The mode of a socket file: its owner alone may connect.
const SOCKET_MODE: libc::mode_t = 0o600;

/// Who is at the other end of a socket, as the kernel noted when it was connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process id at that time.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Whether a call may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there are bytes, an end, or the receive time-out: then [`ErrorKind::TimedOut`].
    Yes,
    /// Not at all: [`ErrorKind::WouldBlock`] when there is nothing.
    No,
}

/// Makes a listening socket at `path`, mode 0600, given to `owner` (uid, gid) if any.
///
/// Close-on-exec and non-blocking. Nobody can connect before owner and mode are right. A file
/// that is already there is [`ErrorKind::AddrInUse`]; removing it is the caller's decision.
/// A path too long for a socket address is [`ErrorKind::InvalidInput`].
pub fn listen(path: &Path, backlog: u32, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    let (address, length) = address_of(path)?;
    let socket = stream_socket(libc::SOCK_NONBLOCK)?;
    // The mode of the socket file is the socket's own mode less the umask (bind(2) on Linux), so
    // the file never exists with a wider one and the process-wide umask stays untouched.
    // SAFETY: takes integers and touches no memory of ours.
    check(unsafe { libc::fchmod(socket.as_raw_fd(), SOCKET_MODE) })?;
    // SAFETY: `address` is a filled sockaddr_un of at least `length` bytes.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    let opened = give_to(path, owner).and_then(|()| {
        let backlog = c_int::try_from(backlog).unwrap_or(c_int::MAX);
        // SAFETY: takes integers and touches no memory of ours.
        check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })
    });
    if let Err(error) = opened {
        // The path is ours: bind made it. An error here would hide the one that matters.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(socket)
}

/// Changes a socket file's owner without following a link somebody put in its place.
fn give_to(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that outlives the call.
    check(unsafe { libc::lchown(path.as_ptr(), uid, gid) })?;
    Ok(())
}

/// Connects to the socket at `path`, waiting at most `timeout` for room in its queue.
///
/// The result blocks, its send time-out being what was left, and closes on exec. A queue that stays full is [`ErrorKind::TimedOut`]; no
/// listener ([`ErrorKind::ConnectionRefused`]) and no file ([`ErrorKind::NotFound`]) fail at once.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<OwnedFd> {
    let (address, length) = address_of(path)?;
    let socket = stream_socket(0)?;
    let borrowed = std::os::fd::AsFd::as_fd(&socket);
    let deadline = Instant::now().checked_add(timeout);
    uninterrupted(|| {
        let left = deadline.map(|deadline| {
            // Zero would mean for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            left.max(Duration::from_micros(1))
        });
        set_send_timeout(borrowed, left)?;
        // SAFETY: `address` is a filled sockaddr_un of at least `length` bytes.
        check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })
    })
    .map_err(timed_out)?;
    Ok(socket)
}

/// Takes the next connection from a listener's queue, or `None` when it is empty.
///
/// `None` needs a non-blocking listener. The connection blocks and closes on exec.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let accepted = uninterrupted(|| {
        let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: null address pointers mean that the peer's address is not wanted (accept(2)).
        check(unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                no_address,
                no_length,
                libc::SOCK_CLOEXEC,
            )
        })
    });
    match accepted {
        Ok(fd) => {
            // SAFETY: accept4 has just made this descriptor and nobody else knows it.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
        }
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::ConnectionAborted => Ok(None),
            _ => Err(error),
        },
    }
}

/// Who is at the other end (SO_PEERCRED, unix(7)).
pub fn peer(fd: BorrowedFd<'_>) -> io::Result<Credentials> {
    let nobody = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let found = option(fd, libc::SO_PEERCRED, nobody)?;
    Ok(Credentials {
        pid: found.pid,
        uid: found.uid,
        gid: found.gid,
    })
}

/// Whether connections can be accepted from it: `false` for any other socket.
pub fn is_listener(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option::<c_int>(fd, libc::SO_ACCEPTCONN, 0)? != 0)
}

/// How long a receive may wait; `None` for ever.
pub fn set_receive_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    set_option(fd, libc::SO_RCVTIMEO, &timeval(timeout))
}

/// How long a send may wait for room; `None` for ever.
pub fn set_send_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    set_option(fd, libc::SO_SNDTIMEO, &timeval(timeout))
}

/// The size of a socket's receive buffer as the kernel counts it, bytes (overhead included).
pub fn receive_buffer_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let bytes = option::<c_int>(fd, libc::SO_RCVBUF, 0)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// The size of a socket's send buffer as the kernel counts it, bytes. On a Unix socket this bounds
/// what the peer has not read yet.
pub fn send_buffer_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let bytes = option::<c_int>(fd, libc::SO_SNDBUF, 0)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Asks for a send buffer of `bytes`; the kernel doubles it and bounds it by `wmem_max`.
pub fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set_option(fd, libc::SO_SNDBUF, &bytes)
}

/// Asks for a receive buffer of `bytes`; the kernel doubles it and bounds it by `rmem_max`.
pub fn set_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set_option(fd, libc::SO_RCVBUF, &bytes)
}

/// What is over when a socket is [`shut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Receiving: it gives the end, also to a thread that is waiting. What the peer sends fails.
    Reading,
    /// Receiving and sending.
    Both,
}

/// Ends the use of a connection for everybody who has it (shutdown(2)); the descriptor stays open.
pub fn shut(fd: BorrowedFd<'_>, side: Side) -> io::Result<()> {
    let how = match side {
        Side::Reading => libc::SHUT_RD,
        Side::Both => libc::SHUT_RDWR,
    };
    // SAFETY: takes integers and touches no memory of ours.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) })?;
    Ok(())
}

/// Sends every byte of `parts`, which are advanced as they go.
///
/// A send time-out that runs out is [`ErrorKind::TimedOut`], a peer that is gone
/// [`ErrorKind::BrokenPipe`] or [`ErrorKind::ConnectionReset`]; what was sent until then is not
/// told.
pub fn send_all(fd: BorrowedFd<'_>, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let sent = send_message(fd, &parts[..parts.len().min(MAX_PARTS)], None)?;
        IoSlice::advance_slices(&mut parts, sent);
    }
    Ok(())
}

/// Sends as much of `parts` as there is room for now and never waits; answers how many bytes went.
pub fn send_what_fits(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let parts = &parts[..parts.len().min(MAX_PARTS)];
    match send_message_with(fd, parts, None, libc::MSG_DONTWAIT) {
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(0),
        result => result,
    }
}

/// Sends `bytes` with a duplicate of `passed` attached to the first of them (SCM_RIGHTS).
///
/// No bytes are [`ErrorKind::InvalidInput`]: a descriptor cannot travel alone on a stream.
pub fn send_with_descriptor(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    passed: BorrowedFd<'_>,
) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::Error::from(ErrorKind::InvalidInput));
    }
    let sent = send_message(fd, &[IoSlice::new(bytes)], Some(passed))?;
    send_all(fd, &mut [IoSlice::new(&bytes[sent..])])
}

/// Sends all of `bytes` at once, with a duplicate of `passed` attached if any, or fails: it never
/// waits, whatever the socket is that somebody else has passed to us.
pub fn send_at_once(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    passed: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let sent = send_message_with(fd, &[IoSlice::new(bytes)], passed, libc::MSG_DONTWAIT)?;
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::from(ErrorKind::WriteZero)),
    }
}

/// One ancillary message of descriptors, laid out as cmsg(3) says: header, then descriptors.
///
/// The header's size is a multiple of a descriptor's alignment, so plain fields give CMSG_DATA's
/// place. Room for one descriptor is, by alignment, room for two.
#[repr(C)]
struct Rights {
    header: libc::cmsghdr,
    descriptors: [RawFd; 2],
}

const RIGHTS_HEADER: usize = size_of::<libc::cmsghdr>();
// SAFETY: CMSG_LEN computes with its argument only.
const RIGHTS_OF_ONE: usize = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) } as usize;
const _: () = assert!(RIGHTS_OF_ONE == RIGHTS_HEADER + size_of::<RawFd>());

/// One sendmsg(2); answers how many bytes went, at least one.
fn send_message(
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    passed: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    send_message_with(fd, parts, passed, 0)
}

fn send_message_with(
    fd: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    passed: Option<BorrowedFd<'_>>,
    flags: c_int,
) -> io::Result<usize> {
    let mut rights = empty_rights();
    let mut message = empty_message();
    // IoSlice is guaranteed to be laid out as an iovec; sendmsg only reads through the pointer.
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    if let Some(passed) = passed {
        rights.header.cmsg_len = RIGHTS_OF_ONE as _;
        rights.header.cmsg_level = libc::SOL_SOCKET;
        rights.header.cmsg_type = libc::SCM_RIGHTS;
        rights.descriptors[0] = passed.as_raw_fd();
        message.msg_control = (&raw mut rights).cast();
        message.msg_controllen = RIGHTS_OF_ONE as _;
    }
    let sent = uninterrupted(|| {
        // SAFETY: `message` points at parts and rights that live through the call, with their
        // lengths.
        check_length(unsafe {
            libc::sendmsg(
                fd.as_raw_fd(),
                &raw const message,
                libc::MSG_NOSIGNAL | flags,
            )
        })
    });
    match sent.map_err(timed_out)? {
        0 => Err(io::Error::from(ErrorKind::WriteZero)),
        sent => Ok(sent),
    }
}

/// Receives into `buffer`; 0 means that the peer has ended (or that `buffer` is empty).
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    receive_with(fd, buffer, wait, 0)
}

/// As [`receive`], into several buffers one after the other; waits.
pub fn receive_parts(fd: BorrowedFd<'_>, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = c_int::try_from(parts.len().min(MAX_PARTS)).unwrap_or(c_int::MAX);
    let received = uninterrupted(|| {
        // SAFETY: IoSliceMut is guaranteed to be laid out as an iovec; `count` is at most their number.
        check_length(unsafe { libc::readv(fd.as_raw_fd(), parts.as_mut_ptr().cast(), count) })
    });
    Wait::Yes.name(received)
}

/// As [`receive`], but the bytes stay to be received again: as many as are there now.
pub fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    receive_with(fd, buffer, wait, libc::MSG_PEEK)
}

fn receive_with(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    wait: Wait,
    flags: c_int,
) -> io::Result<usize> {
    let received = uninterrupted(|| {
        // SAFETY: pointer and length are of one buffer.
        check_length(unsafe {
            libc::recv(
                fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags | wait.flag(),
            )
        })
    });
    wait.name(received)
}

/// As [`receive`], and takes the descriptor that came with the bytes, if one did.
///
/// The kernel ends a receive where a descriptor comes in, so at most one sender's descriptors are
/// met per call; of several in one message the first is answered and the others are closed.
pub fn receive_with_descriptor(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    wait: Wait,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut rights = empty_rights();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut message = empty_message();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut rights).cast();
    message.msg_controllen = size_of::<Rights>() as _;
    let received = uninterrupted(|| {
        let flags = libc::MSG_CMSG_CLOEXEC | wait.flag();
        // SAFETY: `message` points at one part and at the rights, both with their lengths.
        check_length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })
    });
    let received = wait.name(received)?;
    let mut descriptors = received_descriptors(&rights, message.msg_controllen);
    Ok((received, descriptors.next()))
}

/// Owns what the kernel put into `rights`, of which it filled `length` bytes.
///
/// Descriptors beyond the room were never made (MSG_CTRUNC); an iterator that is dropped early
/// closes the rest.
fn received_descriptors(rights: &Rights, length: usize) -> std::vec::IntoIter<OwnedFd> {
    let passed = length > RIGHTS_HEADER
        && rights.header.cmsg_level == libc::SOL_SOCKET
        && rights.header.cmsg_type == libc::SCM_RIGHTS;
    let bytes = rights.header.cmsg_len.saturating_sub(RIGHTS_HEADER);
    let count = if passed {
        bytes / size_of::<RawFd>()
    } else {
        0
    };
    let owned: Vec<OwnedFd> = rights.descriptors[..count.min(rights.descriptors.len())]
        .iter()
        .map(|&descriptor| {
            // SAFETY: the kernel has installed this descriptor for us in this very call.
            unsafe { OwnedFd::from_raw_fd(descriptor) }
        })
        .collect();
    owned.into_iter()
}

impl Wait {
    fn flag(self) -> c_int {
        match self {
            Wait::Yes => 0,
            Wait::No => libc::MSG_DONTWAIT,
        }
    }

    /// EAGAIN means two things: only who was willing to wait has waited too long.
    fn name<T>(self, result: io::Result<T>) -> io::Result<T> {
        match self {
            Wait::Yes => result.map_err(timed_out),
            Wait::No => result,
        }
    }
}

/// A blocking call answers EAGAIN when its SO_RCVTIMEO or SO_SNDTIMEO is over (socket(7)).
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::from(ErrorKind::TimedOut),
        _ => error,
    }
}

fn stream_socket(flags: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    // SAFETY: takes integers and touches no memory of ours.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: socket has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A connected pair of blocking, close-on-exec stream sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    Ok((one.into(), other.into()))
}

/// A connected pair for short messages, each of which is received whole (SOCK_DGRAM); close-on-exec.
/// Unlike a stream's, an end can be shared by many senders.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
    Ok((one.into(), other.into()))
}

/// Waits until there is something to read, or an end, for at most `timeout` (rounded up to
/// milliseconds; `None`: any time); whether there is.
///
/// Who waits on a connection that it has sent to waits so, and not in a receive: a peer that takes what
/// was sent makes room for more, and the kernel tells that to everybody who sleeps in a receive, but of
/// those who poll only to who has asked for it.
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let begun = Instant::now();
    let mut left = timeout;
    let ready = uninterrupted(|| {
        let milliseconds = left.map_or(-1, |left| {
            c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
        });
        let mut entry = libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, which lives for the call.
        let ready = check(unsafe { libc::poll(&raw mut entry, 1, milliseconds) });
        if ready.is_err() {
            left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        }
        ready
    })?;
    Ok(ready > 0)
}

fn address_of(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = path.as_os_str().as_bytes();
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    // One byte is left for the NUL, as portable readers of the address expect.
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        let limit = address.sun_path.len() - 1;
        let reason = format!(
            "a socket path has 1 to {limit} bytes, this has {}",
            bytes.len()
        );
        return Err(io::Error::new(ErrorKind::InvalidInput, reason));
    }
    for (target, byte) in address.sun_path.iter_mut().zip(bytes) {
        *target = *byte as libc::c_char;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

fn timeval(timeout: Option<Duration>) -> libc::timeval {
    let timeout = timeout.unwrap_or(Duration::ZERO);
    libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(timeout.subsec_micros() as i32),
    }
}

/// Reads a SOL_SOCKET option whose C type is `T`: plain integers only.
fn option<T>(fd: BorrowedFd<'_>, name: c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: room and length of one `T`; the options asked for here are structures of integers.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

fn set_option<T>(fd: BorrowedFd<'_>, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: address and length of one `T`, which the call only reads.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn empty_rights() -> Rights {
    Rights {
        header: libc::cmsghdr {
            cmsg_len: 0,
            cmsg_level: 0,
            cmsg_type: 0,
        },
        descriptors: [-1; 2],
    }
}

fn empty_message() -> libc::msghdr {
    // SAFETY: msghdr is integers and nullable pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}
