//! The monitor's end of the socket it shares with one daemon.
//!
//! Runs in the monitor's loop and never waits. What comes over it is hostile: a daemon that says
//! what means nothing, or says too much, is not listened to any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use thiserror::Error;
use wsgi_unix::attached;
use wsgi_unix::packet::{self, Received};
use wsgi_unix::socket::Credentials;
use wsgi_wire::WireError;
use wsgi_wire::supervision::{MAX_PACKET, Order, Report};

/// How many packets a daemon may send within [`WINDOW`]: far more than it has reasons to.
const PACKETS: u32 = 100;

/// See [`PACKETS`].
const WINDOW: Duration = Duration::from_secs(10);

/// Why a daemon is not listened to any more.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// It cannot be read.
    #[error("its messages cannot be read")]
    Read(#[source] io::Error),
    /// What was to be forked is gone, or never was.
    #[error("nobody has come")]
    Nobody,
    /// What was to be forked did not begin with a greeting of a process.
    #[error("it said something else than that it is there")]
    NoHello,
    /// It sent what is no message.
    #[error("it sent what is no message")]
    Message(#[source] WireError),
    /// It does not stop talking.
    #[error("it sent more than {PACKETS} messages within {} s", WINDOW.as_secs())]
    Flood,
}

/// What there was to hear.
#[derive(Debug)]
pub enum Heard {
    /// A report.
    Report(Report),
    /// Nothing for now.
    Nothing,
    /// The daemon has closed its end: its death follows, or it has nothing to say any more.
    End,
}

/// A channel to one daemon.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
    /// Packets since `counted_from`.
    packets: u32,
    counted_from: Instant,
}

impl Channel {
    /// The monitor's end of a new daemon's channel.
    pub fn new(fd: OwnedFd, now: Instant) -> Channel {
        Channel {
            fd,
            packets: 0,
            counted_from: now,
        }
    }

    /// The greeting of a process that was forked: the sender, as the kernel names it, if there was one.
    ///
    /// Senders must be named here: see [`attached::name_senders`].
    pub fn hear_hello(&mut self) -> Result<Option<Credentials>, ChannelError> {
        let mut room = [0; MAX_PACKET];
        let received = attached::receive_named(self.fd.as_fd(), &mut room);
        let (packet, sender) = match received.map_err(ChannelError::Read)? {
            (Received::Packet(packet), sender) => (packet, sender),
            (Received::Nothing, _) => return Ok(None),
            (Received::End, _) => return Err(ChannelError::Nobody),
        };
        match (Report::from_bytes(packet), sender) {
            (Ok(Report::Hello), Some(sender)) => Ok(Some(sender)),
            (Ok(_), _) => Err(ChannelError::NoHello),
            (Err(error), _) => Err(ChannelError::Message(error)),
        }
    }

    /// Takes the next report.
    pub fn hear(&mut self, now: Instant) -> Result<Heard, ChannelError> {
        let mut room = [0; MAX_PACKET];
        let received = packet::receive(self.fd.as_fd(), &mut room).map_err(ChannelError::Read)?;
        let packet = match received {
            Received::Packet(packet) => packet,
            Received::Nothing => return Ok(Heard::Nothing),
            Received::End => return Ok(Heard::End),
        };
        if now.saturating_duration_since(self.counted_from) >= WINDOW {
            (self.packets, self.counted_from) = (0, now);
        }
        self.packets += 1;
        if self.packets > PACKETS {
            return Err(ChannelError::Flood);
        }
        Report::from_bytes(packet)
            .map(Heard::Report)
            .map_err(ChannelError::Message)
    }

    /// Tells the daemon what to do.
    pub fn tell(&self, order: Order) -> io::Result<()> {
        packet::send(self.fd.as_fd(), &order.to_bytes())
    }

    /// Tells a zygote to fork a process with this configuration and this end of a channel.
    pub fn tell_to_fork(&self, config: BorrowedFd<'_>, channel: BorrowedFd<'_>) -> io::Result<()> {
        attached::send(self.fd.as_fd(), &Order::Fork.to_bytes(), [config, channel])
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> (Channel, OwnedFd, Instant) {
        let (ours, theirs) = packet::pair().unwrap();
        let now = Instant::now();
        (Channel::new(ours, now), theirs, now)
    }

    #[test]
    fn a_daemon_that_says_nonsense_is_not_understood() {
        let (mut channel, daemon, now) = channel();
        packet::send(daemon.as_fd(), b"nonsense").unwrap();
        assert!(matches!(channel.hear(now), Err(ChannelError::Message(_))));
    }

    #[test]
    fn a_daemon_may_say_much_over_time_and_little_at_once() {
        let (mut channel, daemon, mut now) = channel();
        let hear = |channel: &mut Channel, now| {
            packet::send(daemon.as_fd(), &Report::Ready.to_bytes()).unwrap();
            channel.hear(now)
        };
        for _ in 0..3 * PACKETS {
            now += Duration::from_secs(1);
            assert!(matches!(hear(&mut channel, now), Ok(Heard::Report(_))));
        }
        let flooded = (0..=PACKETS).any(|_| hear(&mut channel, now).is_err());
        assert!(flooded);
    }

    #[test]
    fn a_forked_process_says_who_it_is_before_anything_else() {
        let (ours, theirs) = packet::pair().unwrap();
        attached::name_senders(ours.as_fd()).unwrap();
        let mut channel = Channel::new(ours, Instant::now());
        assert!(matches!(channel.hear_hello(), Ok(None)));
        packet::send(theirs.as_fd(), &Report::Hello.to_bytes()).unwrap();
        let sender = channel.hear_hello().unwrap().unwrap();
        assert_eq!(sender.pid, wsgi_unix::process::own_pid());
        packet::send(theirs.as_fd(), &Report::Ready.to_bytes()).unwrap();
        assert!(matches!(channel.hear_hello(), Err(ChannelError::NoHello)));
        drop(theirs);
        assert!(matches!(channel.hear_hello(), Err(ChannelError::Nobody)));
    }

    #[test]
    fn silence_and_the_end_are_told_apart() {
        let (mut channel, daemon, now) = channel();
        assert!(matches!(channel.hear(now), Ok(Heard::Nothing)));
        drop(daemon);
        assert!(matches!(channel.hear(now), Ok(Heard::End)));
    }
}
