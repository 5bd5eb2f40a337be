//! One process group: which of its processes run, and when the others may start again.
//!
//! Runs in the monitor's loop, which tells it the time and every death. It signals no process
//! that is not in its own table, and none whose end was already taken.

use std::io;
use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};
use wsgi_unix::process::{self, Ended};
use wsgi_unix::signals;
use wsgi_wire::launch::GroupSpec;

use crate::chain;
use crate::config::{self, GroupDescriptors};
use crate::process::Launcher;
use crate::restart::{Backoff, Death};

/// What a drain waits beyond shutdown-timeout, within which a daemon ends by itself.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// How long a drain waits when shutdown-timeout says for ever.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// A process group and its processes.
pub struct Group {
    spec: GroupSpec,
    name: String,
    descriptors: GroupDescriptors,
    /// By slot.
    members: Vec<Member>,
    /// When a drain loses its patience; `None` while the group serves.
    drained_by: Option<Instant>,
}

/// One slot of a group.
struct Member {
    state: State,
    backoff: Backoff,
}

/// What is in a slot.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A process, and when it was started.
    Running { pid: i32, since: Instant },
    /// None, until this time.
    Waiting { until: Instant },
    /// None, and there will be none: the group drains.
    Over,
}

impl Group {
    /// A group whose processes are all due to start.
    pub fn new(spec: GroupSpec, descriptors: GroupDescriptors, now: Instant) -> Group {
        let slots = 0..spec.gateway.processes;
        let member = |_| Member {
            state: State::Waiting { until: now },
            backoff: Backoff::default(),
        };
        Group {
            name: config::name_of(&spec),
            descriptors,
            members: slots.map(member).collect(),
            spec,
            drained_by: None,
        }
    }

    /// Where the group listens.
    pub fn socket(&self) -> &[u8] {
        &self.spec.socket
    }

    /// Starts every process whose time has come.
    pub fn start_due(&mut self, launcher: &Launcher, now: Instant) {
        for (slot, member) in (0u32..).zip(&mut self.members) {
            if !matches!(member.state, State::Waiting { until } if until <= now) {
                continue;
            }
            member.state = match launcher.start(&self.spec, &self.descriptors, slot) {
                Ok(pid) => {
                    let name = &self.name;
                    let text = format_args!("process group '{name}': started process {pid}");
                    log::line(Level::Info, text);
                    State::Running { pid, since: now }
                }
                Err(error) => {
                    let pause = member.backoff.pause_after(Death::Failed, Duration::ZERO);
                    let (name, reason) = (&self.name, chain(&error));
                    let again = when(pause);
                    let text =
                        format_args!("process group '{name}': {reason}; trying again {again}");
                    log::line(Level::Error, text);
                    State::Waiting { until: now + pause }
                }
            };
        }
    }

    /// When the next process is due, or a drain loses its patience.
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.members.iter().filter_map(|member| match member.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } => self.drained_by,
            State::Over => None,
        });
        due.min()
    }

    /// Takes the end of child `pid` if it is this group's: `false` if it is not.
    ///
    /// The child has ended and is not reaped yet, so the session it leads cannot have become
    /// anybody else's: what is left in it is ended now. Only a daemon that was replaced as planned
    /// leaves behind what its application started, as if it had lived on.
    pub fn take_end(&mut self, pid: i32, ended: Ended, now: Instant) -> io::Result<bool> {
        let mine = (0u32..)
            .zip(&mut self.members)
            .find_map(|(slot, member)| match member.state {
                State::Running { pid: own, since } if own == pid => Some((slot, member, since)),
                _ => None,
            });
        let Some((slot, member, since)) = mine else {
            return Ok(false);
        };
        // Children wait for a process that is there, not for one that was.
        if let Some(row) = self.descriptors.page.slot(slot) {
            row.clear();
        }
        let lived = now.saturating_duration_since(since);
        let death = Death::of(ended, lived);
        let draining = self.drained_by.is_some();
        if draining || death == Death::Failed {
            // The zombie itself is a member still, so this cannot miss the group.
            process::signal_group(pid, libc::SIGKILL)?;
        }
        process::wait_for(pid)?;
        let (name, how) = (&self.name, describe(ended));
        if draining {
            member.state = State::Over;
            let text = format_args!("process group '{name}': process {pid} ended with {how}");
            log::line(Level::Info, text);
            return Ok(true);
        }
        let pause = member.backoff.pause_after(death, lived);
        member.state = State::Waiting { until: now + pause };
        let again = when(pause);
        match death {
            Death::Planned => log::line(
                Level::Info,
                format_args!("process group '{name}': process {pid} is replaced {again}"),
            ),
            Death::Failed => log::line(
                Level::Error,
                format_args!(
                    "process group '{name}': process {pid} ended with {how}; starting another {again}"
                ),
            ),
        }
        Ok(true)
    }

    /// Starts nothing more and asks every process to end.
    pub fn drain(&mut self, now: Instant) {
        let patience = match self.spec.daemon.shutdown_timeout {
            Duration::ZERO => LONGEST_DRAIN,
            timeout => timeout,
        };
        self.drained_by = Some(now + patience + DRAIN_MARGIN);
        for member in &mut self.members {
            match member.state {
                State::Running { pid, .. } => {
                    tell(&self.name, pid, process::signal(pid, libc::SIGTERM));
                }
                State::Waiting { .. } | State::Over => member.state = State::Over,
            }
        }
    }

    /// Ends, with everything in their sessions, the processes that have outstayed a drain.
    pub fn end_overdue(&mut self, now: Instant) {
        if self.drained_by.is_none_or(|deadline| now < deadline) {
            return;
        }
        for member in &self.members {
            if let State::Running { pid, .. } = member.state {
                let name = &self.name;
                let text = format_args!(
                    "process group '{name}': process {pid} did not end in time and is killed"
                );
                log::line(Level::Warn, text);
                tell(name, pid, process::signal_group(pid, libc::SIGKILL));
            }
        }
        // Their ends come as those of others do; should one not, it is asked again.
        self.drained_by = Some(now + DRAIN_MARGIN);
    }

    /// Whether a drain is complete.
    pub fn is_over(&self) -> bool {
        let over = |member: &Member| matches!(member.state, State::Over);
        self.members.iter().all(over)
    }
}

/// Logs that a process cannot be signalled: as its parent we always may, so it is worth a line.
fn tell(group: &str, pid: i32, result: io::Result<()>) {
    if let Err(error) = result {
        let text = format_args!("process group '{group}': cannot signal process {pid}: {error}");
        log::line(Level::Error, text);
    }
}

fn describe(ended: Ended) -> String {
    match ended {
        Ended::Signal(signal) => match signals::name(signal) {
            Some(name) => format!("{ended} ({name})"),
            None => ended.to_string(),
        },
        Ended::Exit(_) => ended.to_string(),
    }
}

fn when(pause: Duration) -> String {
    match pause.as_secs() {
        0 => "at once".to_owned(),
        seconds => format!("in {seconds} s"),
    }
}
