//! The monitor's loop: waits for deaths, signals and lifelines, and moves from serving to
//! draining to the end.
//!
//! One thread, no locks; between two waits nothing blocks but the start of a daemon, which takes
//! as long as the system needs to execute it, and is not waited for if that is long.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Instant;

use thiserror::Error;
use wsgi_unix::epoll::{Epoll, Event, Interest};
use wsgi_unix::log::{self, Level};
use wsgi_unix::process::{self, ChildEnd, Ended};
use wsgi_unix::signals::{self, Arrivals};
use wsgi_wire::launch::RETIRE;

use crate::config::Launched;
use crate::group::Group;
use crate::memory_kills::MemoryKills;
use crate::process::Launcher;
use crate::templates::Templates;

/// Tokens of what the loop waits for.
const SIGNALS: u64 = 0;
const PARENT: u64 = 1;
const CHILDREN: u64 = 2;
const CONTROL: u64 = 3;
/// Set in the tokens of daemons' channels, which name group and slot besides.
const CHANNEL: u64 = 1 << 63;

/// The token of the channel of the process in this slot.
pub fn channel_token(group: u32, slot: u32) -> u64 {
    CHANNEL | u64::from(group) << 32 | u64::from(slot)
}

/// Set in the tokens of groups' listening sockets, which name the group besides.
const QUEUE: u64 = 1 << 62;

/// The token of a group's listening socket.
pub fn queue_token(group: u32) -> u64 {
    QUEUE | u64::from(group)
}

/// What the groups need to start and hear their processes.
pub struct Tools {
    /// Starts processes.
    pub launcher: Launcher,
    /// What the loop waits on.
    pub epoll: Epoll,
}

/// A call the loop cannot do without failed; the daemons end with us.
#[derive(Debug, Error)]
#[error("cannot {what}")]
pub struct SuperviseError {
    what: &'static str,
    #[source]
    source: io::Error,
}

/// Where the monitor stands. It only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The configuration is the server's.
    Serving,
    /// It was replaced, or the server stops: its children are served until they are gone.
    Retiring,
    /// No child can ask for anything any more: the daemons end.
    Draining,
}

/// The monitor.
pub struct Supervisor {
    generation: u32,
    phase: Phase,
    groups: Vec<Group>,
    templates: Templates,
    tools: Tools,
    memory_kills: MemoryKills,
    arrivals: Arrivals,
    parent: File,
    /// The parent has retired us or is gone: nobody will start a successor for this generation.
    last: bool,
    children: OwnedFd,
}

impl Supervisor {
    /// Prepares the loop; starts nothing yet.
    pub fn new(launched: Launched) -> Result<Supervisor, SuperviseError> {
        let wanted = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT];
        let arrivals = signals::notify(&wanted).map_err(failed("handle signals"))?;
        signals::ignore(libc::SIGHUP).map_err(failed("ignore SIGHUP"))?;
        let epoll = Epoll::new().map_err(failed("make an epoll set"))?;
        let watch = |fd, token| epoll.add(fd, token, Interest::READ);
        watch(arrivals.as_fd(), SIGNALS).map_err(failed("wait for signals"))?;
        watch(launched.parent.as_fd(), PARENT).map_err(failed("watch the parent's lifeline"))?;
        watch(launched.control.as_fd(), CONTROL).map_err(failed("hear Apache's children"))?;
        let launcher = Launcher::new(&launched.config).map_err(failed("prepare daemons"))?;
        let now = Instant::now();
        if launched.config.groups.0.iter().any(|group| group.preload) {
            // Processes that another than we has forked are ours all the same.
            process::adopt_orphans().map_err(failed("become the parent of forked processes"))?;
        }
        let groups = launched.config.groups.0.into_iter();
        let groups = (0u32..).zip(groups.zip(launched.descriptors));
        let groups: Vec<_> = groups
            .map(|(id, (spec, fds))| Group::new(id, spec, fds, now))
            .collect();
        let templates = Templates::new(
            launched.config.templates.0,
            launched.template_logs,
            launched.config.socket_prefix,
            launched.control,
            groups.len() as u32,
        );
        Ok(Supervisor {
            generation: launched.config.generation,
            phase: Phase::Serving,
            groups,
            templates,
            tools: Tools { launcher, epoll },
            memory_kills: MemoryKills::new(),
            arrivals,
            parent: launched.parent,
            last: false,
            children: launched.children,
        })
    }

    /// Runs until the last daemon has ended.
    pub fn run(mut self) -> Result<(), SuperviseError> {
        let (generation, groups) = (self.generation, self.groups.len());
        let text =
            format_args!("monitor of configuration {generation} begins, process groups: {groups}");
        log::line(Level::Info, text);
        let mut events = [Event::EMPTY; 8];
        while !self.is_over() {
            let now = Instant::now();
            self.keep_going(now);
            let timeout = self
                .next_due()
                .map(|due| due.saturating_duration_since(now));
            let found = self
                .tools
                .epoll
                .wait(&mut events, timeout)
                .map_err(failed("wait for events"))?;
            let tokens: Vec<u64> = found.iter().map(Event::token).collect();
            for token in tokens {
                self.happened(token)?;
            }
        }
        // A monitor that somebody else ended has a successor, and children that know the path.
        for group in self.groups.iter().filter(|_| self.last) {
            remove_socket(Path::new(OsStr::from_bytes(group.socket())));
        }
        log::line(
            Level::Info,
            format_args!("monitor of configuration {generation} ends"),
        );
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Draining && self.groups.iter().all(Group::is_over)
    }

    /// Does what is due by now.
    fn keep_going(&mut self, now: Instant) {
        if self.phase != Phase::Draining {
            self.templates.check_accounts(&mut self.groups, now);
        }
        for group in &mut self.groups {
            match group.is_ending() {
                false => group.keep_going(&self.tools, now),
                true => group.end_overdue(now),
            }
        }
        if self.phase != Phase::Draining {
            self.templates.keep_going(&mut self.groups, now);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let of_groups = self.groups.iter().filter_map(Group::next_due);
        let of_templates = match self.phase {
            Phase::Draining => None,
            _ => self.templates.next_due(),
        };
        of_groups.chain(of_templates).min()
    }

    fn happened(&mut self, token: u64) -> Result<(), SuperviseError> {
        match token {
            SIGNALS => self.take_signals(),
            PARENT => self.read_parent(),
            CHILDREN => {
                // Nobody writes to it: readable means that its last writer is gone.
                let ended = self.tools.epoll.remove(self.children.as_fd());
                ended.map_err(failed("leave the children's lifeline"))?;
                self.drain("its last Apache child is gone");
                Ok(())
            }
            channel if channel & CHANNEL != 0 => {
                let group = (channel & !CHANNEL) >> 32;
                let slot = channel & u64::from(u32::MAX);
                self.hear(group as u32, slot as u32);
                Ok(())
            }
            CONTROL => {
                if self.phase != Phase::Draining {
                    self.templates.answer(&mut self.groups, Instant::now());
                    return Ok(());
                }
                // Nobody is served any more, and who still asks is told so by the end of his socket.
                let left = self.tools.epoll.remove(self.templates.control());
                left.map_err(failed("leave Apache's children"))
            }
            queue if queue & QUEUE != 0 => {
                let mut groups = self.groups.iter_mut();
                let id = queue & !QUEUE;
                if let Some(group) = groups.find(|group| u64::from(group.id()) == id) {
                    group.somebody_waits(Instant::now());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whoever is in the slot by now is asked: an event may be older than its death.
    fn hear(&mut self, group: u32, slot: u32) {
        let known: Vec<i32> = self.groups.iter().flat_map(Group::pids).collect();
        let mut groups = self.groups.iter_mut();
        if let Some(group) = groups.find(|other| other.id() == group) {
            group.hear(slot, &known, &self.tools, Instant::now());
        }
    }

    /// Takes the greetings of forked processes. Before the end of one is taken that nobody knows: as
    /// long as it is not, its id is nobody else's.
    fn hear_hellos(&mut self) {
        let now = Instant::now();
        for number in 0..self.groups.len() {
            let known: Vec<i32> = self.groups.iter().flat_map(Group::pids).collect();
            self.groups[number].hear_hellos(&known, now);
        }
    }

    fn take_signals(&mut self) -> Result<(), SuperviseError> {
        while let Some(signal) = self.arrivals.take().map_err(failed("read signals"))? {
            if signal != libc::SIGCHLD {
                self.drain(signals::name(signal).unwrap_or("a signal"));
            }
        }
        // One SIGCHLD may stand for many deaths, and more may come meanwhile.
        while let Some(end) = process::ended_child().map_err(failed("look for deaths"))? {
            self.take_end(end).map_err(failed("take a death"))?;
        }
        Ok(())
    }

    fn take_end(&mut self, end: ChildEnd) -> io::Result<()> {
        let now = Instant::now();
        let killed = end.ended == Ended::Signal(libc::SIGKILL);
        let out_of_memory = killed && self.memory_kills.have_grown();
        for _ in 0..2 {
            for group in &mut self.groups {
                if group.take_end(end, out_of_memory, now)? {
                    return Ok(());
                }
            }
            self.hear_hellos();
        }
        // Started by whoever was this process before its exec; taken, or it would be told for ever.
        process::wait_for(end.pid).map(drop)
    }

    /// The parent speaks once at most: one byte to retire, or its end by dying.
    fn read_parent(&mut self) -> Result<(), SuperviseError> {
        let mut byte = [0u8; 1];
        match self.parent.read(&mut byte) {
            Ok(1) if byte[0] == RETIRE => {
                self.leave_parent()?;
                self.retire()
            }
            Ok(0) => {
                self.leave_parent()?;
                self.drain("httpd's parent process is gone");
                Ok(())
            }
            Ok(_) => {
                log::line(
                    Level::Warn,
                    format_args!("the parent said {byte:?}, which means nothing"),
                );
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(failed("read the parent's lifeline")(error)),
        }
    }

    fn leave_parent(&mut self) -> Result<(), SuperviseError> {
        self.last = true;
        let left = self.tools.epoll.remove(self.parent.as_fd());
        left.map_err(failed("leave the parent's lifeline"))
    }

    /// Waits for the end of the generation's children from now on. Not before: until the parent
    /// has forked the first, the lifeline may have no writer.
    fn retire(&mut self) -> Result<(), SuperviseError> {
        if self.phase == Phase::Serving {
            self.phase = Phase::Retiring;
            let watched = self
                .tools
                .epoll
                .add(self.children.as_fd(), CHILDREN, Interest::READ);
            watched.map_err(failed("watch the children's lifeline"))?;
        }
        Ok(())
    }

    fn drain(&mut self, reason: &str) {
        if self.phase == Phase::Draining {
            return;
        }
        self.phase = Phase::Draining;
        let generation = self.generation;
        let text = format_args!("monitor of configuration {generation} drains: {reason}");
        log::line(Level::Info, text);
        let now = Instant::now();
        for group in &mut self.groups {
            group.drain(now);
        }
    }
}

/// Removes a group's socket, and nothing else that may stand at its path by now.
pub fn remove_socket(path: &Path) {
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|status| status.file_type().is_socket());
    if !is_socket {
        return;
    }
    if let Err(error) = std::fs::remove_file(path) {
        let path = path.display();
        log::line(
            Level::Warn,
            format_args!("cannot remove the socket {path}: {error}"),
        );
    }
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> SuperviseError {
    move |source| SuperviseError { what, source }
}
