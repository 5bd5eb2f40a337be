//! What a daemon and its monitor tell each other while both run: packets on a socket of their own.
//!
//! Used by daemons and the monitor. The daemon reports, the monitor orders. The monitor may be root
//! and the daemon is anybody's code, so a report asks and decides nothing: the worst that it can
//! bring about is that its own process is replaced, at a pace that the monitor sets.
//!
//! With `preload=fork` a group has a zygote besides: a process that loads the application and
//! forks those that serve. It gets [`Order::Fork`] with two descriptors, in this order: the new
//! process's configuration, and its end of a channel of its own, on which the new process says
//! [`Report::Hello`] before anything else. Who says so is what the kernel tells of the sender.
//!
//! `version:u8  tag:u8  payload`; the packet's length is the message's.

use crate::codec::{Reader, WireError, Writer};
use crate::frame::VERSION;
use crate::launch::{Field, List, Message, record};

/// The longest packet, bytes.
pub const MAX_PACKET: usize = 32 << 10;

/// The longest list of scripts that a predecessor passes on, bytes.
pub const MAX_LOADED: usize = MAX_PACKET - 256;

/// The longest cause, bytes; what is over is cut.
pub const MAX_CAUSE: usize = 64;

/// The longest reason why a zygote cannot fork, bytes; what is over is cut.
pub const MAX_REASON: usize = 512;

/// The cause of a successor that is wanted because code has changed: only one that loads its code
/// later will do.
pub const SCRIPT_RELOAD: &str = "script_reload";

const READY: u8 = 1;
const SUCCESSOR_WANTED: u8 = 2;
const HELLO: u8 = 3;
const CANNOT_FORK: u8 = 4;
const RETIRE: u8 = 1;
const RESUME: u8 = 2;
const FORK: u8 = 3;

record! {
    /// A script that a process has loaded.
    LoadedScript {
        /// Its absolute path.
        script: Vec<u8>,
        /// The application group it is loaded into; empty for the main interpreter.
        application_group: Vec<u8>,
        /// A request gave the application group its name.
        computed: bool,
    }
}

record! {
    /// The scripts that a process has loaded, for its successor to load before it takes requests.
    LoadedScripts {
        /// In the order in which the interpreters were made.
        scripts: List<LoadedScript>,
    }
}

impl Message for LoadedScripts {}

impl LoadedScripts {
    /// The message, cut at the last script that fits into [`MAX_LOADED`].
    pub fn to_bounded_bytes(mut self) -> Vec<u8> {
        loop {
            let bytes = self.to_bytes();
            if bytes.len() <= MAX_LOADED || self.scripts.0.pop().is_none() {
                return bytes;
            }
        }
    }
}

/// What a daemon tells its monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Its scripts are loaded and it takes requests, or it is a zygote and can be forked.
    Ready,
    /// It wants to be replaced and goes on until its successor is ready.
    SuccessorWanted(SuccessorWanted),
    /// It was forked as the monitor has ordered.
    Hello,
    /// It is a zygote and ends, as nothing can be forked from it; why, for the log.
    CannotFork(Vec<u8>),
}

/// See [`Report::SuccessorWanted`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuccessorWanted {
    /// It takes no requests until it is answered: they are for the successor.
    pub paused: bool,
    /// Why, as `shutdown_reason` names it; for the log.
    pub cause: Vec<u8>,
    /// [`LoadedScripts`], which the monitor passes on as they are.
    pub loaded: Vec<u8>,
}

impl Report {
    /// The packet.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Report::Ready => vec![VERSION, READY],
            Report::SuccessorWanted(wanted) => {
                let mut out = vec![VERSION, SUCCESSOR_WANTED];
                wanted.paused.encode(&mut out);
                out.put_bytes(&wanted.cause[..wanted.cause.len().min(MAX_CAUSE)]);
                out.put_bytes(&wanted.loaded);
                out
            }
            Report::Hello => vec![VERSION, HELLO],
            Report::CannotFork(reason) => {
                let mut out = vec![VERSION, CANNOT_FORK];
                out.put_bytes(&reason[..reason.len().min(MAX_REASON)]);
                out
            }
        }
    }

    /// Decodes a packet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Report, WireError> {
        let (tag, mut reader) = begin(bytes)?;
        let report = match tag {
            READY => Report::Ready,
            SUCCESSOR_WANTED => Report::SuccessorWanted(SuccessorWanted {
                paused: Field::decode(&mut reader, "paused")?,
                cause: bounded(tag, reader.bytes("cause")?, MAX_CAUSE)?,
                loaded: bounded(tag, reader.bytes("loaded")?, MAX_LOADED)?,
            }),
            HELLO => Report::Hello,
            CANNOT_FORK => Report::CannotFork(bounded(tag, reader.bytes("reason")?, MAX_REASON)?),
            other => return Err(WireError::Tag(other)),
        };
        reader.finish()?;
        Ok(report)
    }
}

/// What the monitor tells a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Its successor takes requests: finish the running ones and end.
    Retire,
    /// There is no successor yet: go on as before, and take requests again if paused.
    Resume,
    /// Fork a process; its configuration and its channel come with the order.
    Fork,
}

impl Order {
    /// The packet.
    pub fn to_bytes(self) -> [u8; 2] {
        match self {
            Order::Retire => [VERSION, RETIRE],
            Order::Resume => [VERSION, RESUME],
            Order::Fork => [VERSION, FORK],
        }
    }

    /// Decodes a packet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Order, WireError> {
        let (tag, reader) = begin(bytes)?;
        let order = match tag {
            RETIRE => Order::Retire,
            RESUME => Order::Resume,
            FORK => Order::Fork,
            other => return Err(WireError::Tag(other)),
        };
        reader.finish()?;
        Ok(order)
    }
}

fn begin(bytes: &[u8]) -> Result<(u8, Reader<'_>), WireError> {
    let mut reader = Reader::new(bytes);
    let found = reader.u8("version")?;
    if found != VERSION {
        return Err(WireError::Version {
            found,
            expected: VERSION,
        });
    }
    Ok((reader.u8("tag")?, reader))
}

fn bounded(tag: u8, bytes: &[u8], limit: usize) -> Result<Vec<u8>, WireError> {
    if bytes.len() > limit {
        return Err(WireError::TooLong {
            tag,
            length: bytes.len() as u64,
            limit: limit as u64,
        });
    }
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Report {
        Report::SuccessorWanted(SuccessorWanted {
            paused: true,
            cause: b"script_reload".to_vec(),
            loaded: b"opaque".to_vec(),
        })
    }

    #[test]
    fn what_is_sent_is_what_is_understood() {
        let cannot = Report::CannotFork(b"threads".to_vec());
        for report in [Report::Ready, wanted(), Report::Hello, cannot] {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Ok(report));
        }
        for order in [Order::Retire, Order::Resume, Order::Fork] {
            assert_eq!(Order::from_bytes(&order.to_bytes()), Ok(order));
        }
    }

    #[test]
    fn a_packet_cut_anywhere_or_with_a_tail_is_refused() {
        let mut bytes = wanted().to_bytes();
        for length in 0..bytes.len() {
            assert!(Report::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert_eq!(Report::from_bytes(&bytes), Err(WireError::Trailing(1)));
        assert_eq!(Report::from_bytes(&[VERSION, 99]), Err(WireError::Tag(99)));
        assert_eq!(Order::from_bytes(&[VERSION, 0]), Err(WireError::Tag(0)));
        assert!(matches!(
            Report::from_bytes(&[VERSION + 1, READY]),
            Err(WireError::Version { .. })
        ));
    }

    #[test]
    fn fields_over_their_limit_are_refused_and_never_sent() {
        let long = SuccessorWanted {
            cause: vec![b'x'; MAX_CAUSE + 1],
            ..SuccessorWanted::default()
        };
        let sent = Report::SuccessorWanted(long).to_bytes();
        assert!(Report::from_bytes(&sent).is_ok());
        let reason = Report::CannotFork(vec![b'x'; MAX_REASON + 1]).to_bytes();
        assert_eq!(
            Report::from_bytes(&reason),
            Ok(Report::CannotFork(vec![b'x'; MAX_REASON]))
        );
        let large = SuccessorWanted {
            loaded: vec![0; MAX_LOADED + 1],
            ..SuccessorWanted::default()
        };
        let sent = Report::SuccessorWanted(large).to_bytes();
        assert!(matches!(
            Report::from_bytes(&sent),
            Err(WireError::TooLong { .. })
        ));
    }

    #[test]
    fn a_list_of_scripts_is_cut_to_what_a_packet_holds() {
        let script = LoadedScript {
            script: vec![b's'; 1000],
            ..LoadedScript::default()
        };
        let many = LoadedScripts {
            scripts: List(vec![script.clone(); 100]),
        };
        let bytes = many.to_bounded_bytes();
        let left = LoadedScripts::from_bytes(&bytes).unwrap().scripts.0.len();
        assert!((20..100).contains(&left), "{left}");
        let all = Report::SuccessorWanted(SuccessorWanted {
            loaded: bytes,
            cause: vec![b'c'; MAX_CAUSE],
            paused: false,
        });
        assert!(all.to_bytes().len() <= MAX_PACKET);
    }
}
