//! Waiting for many descriptors at once, and for a wake-up from another thread.
//!
//! Any process; one set may be waited for by many threads (epoll(7)). Registering does not keep
//! a descriptor open: whoever adds one removes it, or closes its last duplicate.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::call::{check, check_length, uninterrupted};

/// What to wait for on a descriptor, and how often. Errors and hang-ups always count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Nothing: the descriptor stays in the set, disarmed (errors and hang-ups still count).
    pub const NONE: Interest = Interest(0);
    /// There is something to read, or the peer has ended.
    pub const READ: Interest = Interest((libc::EPOLLIN | libc::EPOLLRDHUP) as u32);
    /// There is room to write.
    pub const WRITE: Interest = Interest(libc::EPOLLOUT as u32);

    /// Disarmed entirely after the first event, until [`Epoll::modify`].
    pub const fn one_shot(self) -> Interest {
        Interest(self.0 | libc::EPOLLONESHOT as u32)
    }

    /// Wakes one process of those that wait; not together with `one_shot` (EPOLLEXCLUSIVE).
    pub const fn exclusive(self) -> Interest {
        Interest(self.0 | libc::EPOLLEXCLUSIVE as u32)
    }
}

/// Something happened to a registered descriptor.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    /// Room for an event, for the array [`Epoll::wait`] fills.
    pub const EMPTY: Event = Event(libc::epoll_event { events: 0, u64: 0 });

    /// The token the descriptor was registered with.
    pub fn token(&self) -> u64 {
        self.0.u64
    }

    /// Whether reading would not block: bytes, an end or an error wait.
    pub fn is_readable(&self) -> bool {
        let readable = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        self.0.events & readable as u32 != 0
    }

    /// Whether the peer has closed both directions or the descriptor failed.
    pub fn is_hung_up(&self) -> bool {
        self.0.events & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events = self.0.events;
        write!(
            out,
            "Event {{ token: {}, events: {events:#x} }}",
            self.token()
        )
    }
}

/// A set of descriptors to wait for; level-triggered.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// An empty set; closes on exec.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes an integer and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: epoll_create1 has just made this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    /// Adds a descriptor; `token` comes back with its events.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what is waited for, and arms a one-shot descriptor again.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Takes a descriptor out of the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::NONE)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.0,
            u64: token,
        };
        // SAFETY: `event` lives through the call, which copies it.
        check(unsafe {
            libc::epoll_ctl(
                self.fd.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &raw mut event,
            )
        })?;
        Ok(())
    }

    /// Waits for events, at most `timeout` (`None`: for ever), and answers those that came.
    ///
    /// Answers none when the time is up or a signal handler ran. `events` must not be empty.
    pub fn wait<'e>(
        &self,
        events: &'e mut [Event],
        timeout: Option<Duration>,
    ) -> io::Result<&'e [Event]> {
        let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
        let milliseconds = timeout.map_or(-1, milliseconds_up);
        // SAFETY: Event is a transparent epoll_event, and `room` is at most the array's length.
        let found = check(unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.as_mut_ptr().cast(),
                room,
                milliseconds,
            )
        });
        match found {
            Ok(count) => Ok(&events[..usize::try_from(count).unwrap_or(0)]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(&[]),
            Err(error) => Err(error),
        }
    }
}

/// Rounded up, so that a wait never ends before its deadline and then spins.
fn milliseconds_up(timeout: Duration) -> libc::c_int {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX)
}

/// Wakes a thread that waits for it in a set (eventfd(2)).
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
}

impl Wake {
    /// Not yet woken; closes on exec.
    pub fn new() -> io::Result<Wake> {
        // SAFETY: takes integers and touches no memory of ours.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: eventfd has just made this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Wake { fd })
    }

    /// Makes the descriptor readable until [`Wake::clear`]. Safe in a signal handler.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes that live through the call. It fails only when the counter is full,
        // and then the descriptor is readable already.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes back every wake so far; answers whether there was one.
    pub fn clear(&self) -> io::Result<bool> {
        let mut counter = [0u8; 8];
        let taken = uninterrupted(|| {
            // SAFETY: room for the eight bytes an eventfd answers.
            check_length(unsafe {
                libc::read(
                    self.fd.as_raw_fd(),
                    counter.as_mut_ptr().cast(),
                    counter.len(),
                )
            })
        });
        match taken {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_seen_until_it_is_cleared() {
        let (epoll, wake) = (Epoll::new().unwrap(), Wake::new().unwrap());
        epoll.add(wake.as_fd(), 7, Interest::READ).unwrap();
        let mut events = [Event::EMPTY; 4];
        assert!(
            epoll
                .wait(&mut events, Some(Duration::ZERO))
                .unwrap()
                .is_empty()
        );
        wake.wake();
        wake.wake();
        let found = epoll.wait(&mut events, None).unwrap();
        assert_eq!((found.len(), found[0].token()), (1, 7));
        assert!(found[0].is_readable() && !found[0].is_hung_up());
        assert!(wake.clear().unwrap());
        assert!(!wake.clear().unwrap());
        assert!(
            epoll
                .wait(&mut events, Some(Duration::ZERO))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_one_shot_descriptor_is_told_once_until_armed_again() {
        let (epoll, wake) = (Epoll::new().unwrap(), Wake::new().unwrap());
        let once = Interest::READ.one_shot();
        epoll.add(wake.as_fd(), 1, once).unwrap();
        wake.wake();
        let mut events = [Event::EMPTY; 4];
        assert_eq!(epoll.wait(&mut events, None).unwrap().len(), 1);
        assert!(
            epoll
                .wait(&mut events, Some(Duration::ZERO))
                .unwrap()
                .is_empty()
        );
        epoll.modify(wake.as_fd(), 1, once).unwrap();
        assert_eq!(epoll.wait(&mut events, None).unwrap().len(), 1);
        epoll.remove(wake.as_fd()).unwrap();
    }

    #[test]
    fn a_wait_is_never_cut_short_by_rounding() {
        assert_eq!(milliseconds_up(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds_up(Duration::from_millis(5)), 5);
        assert_eq!(milliseconds_up(Duration::MAX), libc::c_int::MAX);
    }
}
