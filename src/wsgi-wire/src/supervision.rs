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

use std::collections::HashSet;

use crate::codec::{Reader, WireError, Writer};
use crate::frame::VERSION;
use crate::launch::{Field, List, record};

/// The longest packet, bytes.
pub const MAX_PACKET: usize = 32 << 10;

/// The longest list of scripts that a process passes on, bytes.
pub const MAX_LOADED: usize = MAX_PACKET - 256;

/// The longest cause, bytes; what is over is cut.
pub const MAX_CAUSE: usize = 64;

/// The longest reason why a zygote cannot fork, bytes; what is over is cut.
pub const MAX_REASON: usize = 512;

/// The cause of a successor that is wanted because code has changed: only one that loads its code
/// later will do.
pub const SCRIPT_RELOAD: &str = "script_reload";

/// The cause of a successor that is wanted because the process has grown: it is not started while
/// another process is still ending, so that no more memory is taken than by one process more.
pub const RECYCLE_MEMORY: &str = "recycle_memory";

const READY: u8 = 1;
const SUCCESSOR_WANTED: u8 = 2;
const HELLO: u8 = 3;
const CANNOT_FORK: u8 = 4;
const LOADED: u8 = 5;
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
    /// The scripts that a process has loaded, for others of its group to load.
    LoadedScripts {
        /// In the order in which the interpreters were made.
        scripts: List<LoadedScript>,
    }
}

record! {
    /// What a process is to load because others of its group have.
    Inheritance {
        /// It takes requests at once and loads meanwhile. Otherwise it takes them when it has loaded
        /// everything, and ends with [`UNLOADABLE_STATUS`](crate::launch::UNLOADABLE_STATUS) if it
        /// cannot.
        at_once: bool,
        /// What it loads.
        loaded: LoadedScripts,
    }
}

impl LoadedScripts {
    /// All scripts of these lists, each once and in their order, as far as they fit into
    /// [`MAX_LOADED`].
    pub fn union<'l>(lists: impl IntoIterator<Item = &'l LoadedScripts>) -> LoadedScripts {
        let mut seen = HashSet::new();
        let mut union = LoadedScripts::default();
        let mut bytes = 0;
        for script in lists.into_iter().flat_map(|list| &list.scripts.0) {
            if !seen.insert((&script.script, &script.application_group)) {
                continue;
            }
            let mut encoded = Vec::new();
            script.encode(&mut encoded);
            bytes += encoded.len();
            if bytes > MAX_LOADED {
                break;
            }
            union.scripts.0.push(script.clone());
        }
        union
    }
}

/// What a daemon tells its monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Its scripts are loaded and it takes requests, or it is a zygote and can be forked.
    Ready,
    /// It wants to be replaced and goes on until its successor is ready.
    SuccessorWanted(SuccessorWanted),
    /// What it has loaded, if it was to load something for others also all of that.
    Loaded(LoadedScripts),
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
                out
            }
            Report::Loaded(loaded) => {
                let mut out = vec![VERSION, LOADED];
                LoadedScripts::union([loaded]).encode(&mut out);
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
            }),
            LOADED => Report::Loaded(Field::decode(&mut reader, "loaded")?),
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
        })
    }

    fn script(name: &str, group: &str) -> LoadedScript {
        LoadedScript {
            script: name.into(),
            application_group: group.into(),
            computed: false,
        }
    }

    fn list(scripts: &[LoadedScript]) -> LoadedScripts {
        LoadedScripts {
            scripts: List(scripts.to_vec()),
        }
    }

    #[test]
    fn what_is_sent_is_what_is_understood() {
        let cannot = Report::CannotFork(b"threads".to_vec());
        let loaded = Report::Loaded(list(&[script("a", ""), script("b", "g")]));
        for report in [Report::Ready, wanted(), Report::Hello, cannot, loaded] {
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
    }

    #[test]
    fn a_list_of_scripts_is_cut_to_what_a_packet_holds() {
        let many: Vec<_> = (0..100)
            .map(|number| script(&format!("{number:01000}"), ""))
            .collect();
        let packet = Report::Loaded(list(&many)).to_bytes();
        assert!(packet.len() <= MAX_PACKET);
        let Ok(Report::Loaded(left)) = Report::from_bytes(&packet) else {
            panic!("a list");
        };
        assert!((20..100).contains(&left.scripts.0.len()));
        assert_eq!(left.scripts.0, many[..left.scripts.0.len()]);
    }

    #[test]
    fn several_lists_come_to_one_with_each_script_once() {
        let (a, b, c) = (script("a", ""), script("b", ""), script("a", "other"));
        let lists = [list(&[a.clone(), b.clone()]), list(&[b.clone(), c.clone()])];
        assert_eq!(LoadedScripts::union(&lists), list(&[a, b, c]));
    }
}
