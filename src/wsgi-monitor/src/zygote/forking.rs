//! Having a zygote fork a process, and finding out which process that is.
//!
//! Runs in the monitor's loop and waits for nobody. Who was forked is what the kernel tells of the
//! sender of a greeting; nobody else is ever signalled or waited for.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use wsgi_unix::epoll::Interest;
use wsgi_unix::log::Level;
use wsgi_unix::process;
use wsgi_unix::{accounts, attached};
use wsgi_wire::supervision::LoadedScripts;

use super::Zygotes;
use crate::chain;
use crate::channel::Channel;
use crate::group::{Group, when};
use crate::member::{Member, Process, Progress, Standing, State};
use crate::process::{LaunchError, Part};
use crate::restart::Death;
use crate::supervise::{self, Tools};

/// What a zygote may take to fork a process.
const FORK: Duration = Duration::from_secs(10);

/// A process that a zygote was told to fork and that has not said that it is there.
#[derive(Debug)]
pub struct Forking {
    /// Our end of its channel.
    channel: Channel,
    /// The zygote's number.
    zygote: u32,
    code_since: Instant,
    by: Instant,
    /// What it is to be there for.
    pub standing: Standing,
    progress: Progress,
}

impl Group {
    /// Has a zygote fork a process for this slot, which begins with this standing and progress. Gives
    /// `standing` back when there is none that could.
    pub fn fork(
        &mut self,
        slot: usize,
        part: Part<'_>,
        (standing, progress): (Standing, Progress),
        tools: &Tools,
        now: Instant,
    ) -> Result<Option<Standing>, LaunchError> {
        let Some(zygote) = self.zygotes.as_ref().and_then(Zygotes::ready) else {
            return Ok(Some(standing));
        };
        let handed = tools.launcher.hand(&self.spec, part)?;
        let ours = handed.channel.as_fd();
        let token = supervise::channel_token(self.id, slot as u32);
        let told = attached::name_senders(ours)
            .and_then(|()| tools.epoll.add(ours, token, Interest::READ))
            .and_then(|()| match &zygote.channel {
                Some(channel) => channel.tell_to_fork(handed.config.as_fd(), handed.theirs.as_fd()),
                None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            });
        if let Err(error) = told {
            // One that has died is on its way to be replaced; one that lives may do better later.
            let text = format!("process {} cannot be told to fork: {error}", zygote.pid);
            self.log(Level::Warn, &text);
            return Ok(Some(standing));
        }
        self.members[slot].state = State::Forking(Forking {
            channel: Channel::new(handed.channel, now),
            zygote: zygote.number,
            code_since: zygote.since,
            by: now + FORK,
            standing,
            progress,
        });
        Ok(None)
    }

    /// Takes the greetings that have come.
    pub fn hear_hellos(&mut self, known: &[i32], now: Instant) {
        for slot in 0..self.members.len() {
            self.hear_hello(slot, known, now);
        }
    }

    /// Takes the greeting of the process that was to be forked for this slot, if one was.
    pub fn hear_hello(&mut self, slot: usize, known: &[i32], now: Instant) {
        let Some(Member {
            state: State::Forking(forking),
            ..
        }) = self.members.get_mut(slot)
        else {
            return;
        };
        let pid = match forking.channel.hear_hello() {
            Ok(Some(sender)) if sender.uid == self.uid() => sender.pid,
            Ok(Some(sender)) => {
                let why = format!("process {} is somebody else's", sender.pid);
                return self.fork_failed(slot, &why, now);
            }
            Ok(None) => return,
            Err(error) => return self.fork_failed(slot, &chain(&error), now),
        };
        // Only a child that nobody of ours has taken yet can be signalled and waited for.
        let stranger = known.contains(&pid) || self.pids().any(|other| other == pid);
        match process::is_child(pid) {
            // What is left of it when it ends is found by the session it leads.
            Ok(true) if !stranger && process::leads_session(pid) => {
                self.was_forked(slot, pid, now);
            }
            Ok(_) => self.fork_failed(slot, &format!("process {pid} is no new child"), now),
            Err(error) => self.fork_failed(slot, &error.to_string(), now),
        }
    }

    fn was_forked(&mut self, slot: usize, pid: i32, now: Instant) {
        let state = std::mem::replace(&mut self.members[slot].state, State::Spare);
        let State::Forking(forking) = state else {
            return;
        };
        let zygotes = self.zygotes.as_ref();
        let zygote = zygotes.and_then(|all| Some(all.all[all.position(forking.zygote)?].pid));
        let from = zygote.map_or(String::new(), |pid| format!(" from process {pid}"));
        let purpose = match &forking.standing {
            Standing::Successor { of, .. } => {
                format!(", which is to follow process {}", self.pid_in(*of))
            }
            _ => String::new(),
        };
        self.members[slot].state = State::Running(Process {
            pid,
            since: now,
            code_since: forking.code_since,
            channel: Some(forking.channel),
            standing: forking.standing,
            progress: forking.progress,
            loaded: LoadedScripts::default(),
        });
        self.log(Level::Info, &format!("forked process {pid}{from}{purpose}"));
        if self.drained_by.is_some() {
            self.complain_about_signal(pid, process::signal(pid, libc::SIGTERM));
        }
    }

    /// Nobody has come who could be in this slot.
    fn fork_failed(&mut self, slot: usize, why: &str, now: Instant) {
        let state = std::mem::replace(&mut self.members[slot].state, State::Spare);
        let State::Forking(forking) = state else {
            return;
        };
        self.clear_row(slot);
        if self.drained_by.is_some() {
            self.members[slot].state = State::Over;
            return;
        }
        let why = format!("a process could not be forked: {why}");
        if let Standing::Successor { of, .. } = forking.standing {
            return self.successor_failed(of, &why, now);
        }
        let backoff = &mut self.members[slot].backoff;
        let pause = backoff.pause_after(Death::Failed, Duration::ZERO);
        self.members[slot].state = State::Waiting { until: now + pause };
        let again = when(pause);
        self.log(Level::Error, &format!("{why}; trying again {again}"));
    }

    /// Gives up processes that were not forked in time, and the zygote that should have.
    pub fn end_late_forks(&mut self, now: Instant) {
        for slot in 0..self.members.len() {
            if let State::Forking(forking) = &self.members[slot].state
                && forking.by <= now
            {
                let number = forking.zygote;
                let why = format!("no process was forked within {} s", FORK.as_secs());
                self.fork_failed(slot, &why, now);
                if let Some(place) = self.zygotes.as_ref().and_then(|all| all.position(number)) {
                    self.give_up_zygotes(place, "it does not answer", now);
                }
            }
        }
    }

    /// When the next process has to have been forked.
    pub fn next_fork_due(&self) -> Option<Instant> {
        let due = |member: &Member| match &member.state {
            State::Forking(forking) => Some(forking.by),
            _ => None,
        };
        self.members.iter().filter_map(due).min()
    }

    /// Whom the group's processes run as.
    fn uid(&self) -> u32 {
        let identity = self.spec.identity.as_ref();
        identity.map_or_else(accounts::own_uid, |identity| identity.uid)
    }
}
