//! The process from which a group's processes are forked, as it has loaded the application: its
//! zygote. [`forking`] is how one is forked.
//!
//! Runs in the monitor's loop and waits for nobody. The zygote runs as the group's user and what it
//! says is the application's word: all it can bring about is which way its group's processes are
//! started. While there is none that is ready, they are started without.

mod forking;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use wsgi_unix::epoll::Interest;
use wsgi_unix::log::Level;
use wsgi_unix::process::{self, ChildEnd};
use wsgi_wire::launch::{GroupSpec, UNLOADABLE_STATUS};
use wsgi_wire::supervision::{Report, SCRIPT_RELOAD};

use crate::chain;
use crate::channel::{Channel, Heard};
use crate::group::{Group, when};
use crate::obituary::Obituary;
use crate::process::Part;
use crate::restart::{Backoff, Death};
use crate::supervise::{self, Tools};

pub use forking::Forking;

/// What a zygote that is told to end may take.
const RETIREMENT: Duration = Duration::from_secs(2);

/// Numbers of zygotes, which lie above those of slots.
const ZYGOTES: u32 = 1 << 31;

/// Whether the number is a zygote's and no slot's.
pub fn is_zygote(number: u32) -> bool {
    number >= ZYGOTES
}

/// What a group's processes are forked from.
#[derive(Debug)]
pub struct Zygotes {
    all: Vec<Zygote>,
    started: u32,
    backoff: Backoff,
    /// When the next one is due, which nobody asks for.
    due: Option<Instant>,
    /// It was seen how the first one did.
    known: bool,
    /// When the code was begun to be loaded that nothing can be forked with.
    given_up: Option<Instant>,
}

#[derive(Debug)]
struct Zygote {
    number: u32,
    pid: i32,
    since: Instant,
    channel: Option<Channel>,
    role: Role,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Loading {
        /// The slot of the process that wants a successor with newer code.
        of: Option<usize>,
        by: Option<Instant>,
    },
    Ready,
    Retired {
        by: Instant,
    },
}

impl Zygotes {
    /// Those of a group that wants them and has something to load.
    pub fn of(spec: &GroupSpec, now: Instant) -> Option<Zygotes> {
        (spec.preload && !spec.gateway.imports.0.is_empty()).then(|| Zygotes {
            all: Vec::new(),
            started: 0,
            backoff: Backoff::default(),
            due: Some(now),
            known: false,
            given_up: None,
        })
    }

    fn ready(&self) -> Option<&Zygote> {
        let mut all = self.all.iter();
        all.find(|zygote| matches!(zygote.role, Role::Ready))
    }

    fn is_loading(&self) -> bool {
        let loading = |zygote: &Zygote| matches!(zygote.role, Role::Loading { .. });
        self.all.iter().any(loading)
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.all.iter().position(|zygote| zygote.number == number)
    }
}

impl Zygote {
    /// Has it end. What its application has started lives on, as the processes may use it.
    fn retire(&mut self, now: Instant) -> io::Result<()> {
        self.role = Role::Retired {
            by: now + RETIREMENT,
        };
        process::signal(self.pid, libc::SIGTERM)
    }
}

impl Group {
    /// Whether processes are not started yet, as a zygote may soon be there.
    pub fn waits_for_zygote(&self) -> bool {
        self.zygotes.as_ref().is_some_and(|zygotes| !zygotes.known)
    }

    /// Whether a zygote is about to be ready, so that a successor is better waited for.
    pub fn loads_zygote(&self) -> bool {
        self.zygotes.as_ref().is_some_and(Zygotes::is_loading)
    }

    /// Whether that zygote is for the process in this slot.
    pub fn loads_zygote_for(&self, slot: usize) -> bool {
        let Some(zygotes) = &self.zygotes else {
            return false;
        };
        let mut all = zygotes.all.iter();
        all.any(|zygote| matches!(zygote.role, Role::Loading { of: Some(of), .. } if of == slot))
    }

    /// Whether the process in this slot asks for newer code than the zygote has, or than was found to
    /// be such that nothing can be forked with it.
    pub fn needs_new_zygote(&mut self, slot: usize) -> bool {
        let Some(zygotes) = &self.zygotes else {
            return false;
        };
        let newest = zygotes.ready().map(|zygote| zygote.since);
        let newest = newest.max(zygotes.given_up);
        let member = &mut self.members[slot];
        let Some(code_since) = member.process().map(|process| process.code_since) else {
            return false;
        };
        let reload = |wanted: &mut crate::member::Wanted| wanted.cause == SCRIPT_RELOAD;
        member.wanted().is_some_and(reload) && newest.is_none_or(|newest| newest <= code_since)
    }

    /// Starts the first zygote, or another after one that has died.
    pub fn start_due_zygote(&mut self, tools: &Tools, now: Instant) {
        let due = self.zygotes.as_ref().and_then(|zygotes| zygotes.due);
        if due.is_some_and(|due| due <= now) {
            self.start_zygote(None, tools, now);
        }
    }

    /// Starts a zygote, for the successor of the process in slot `of` if there is one.
    pub fn start_zygote(&mut self, of: Option<usize>, tools: &Tools, now: Instant) {
        let started = tools
            .launcher
            .start(&self.spec, &self.descriptors, Part::Zygote);
        let Some(zygotes) = &mut self.zygotes else {
            return;
        };
        zygotes.due = None;
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                let why = chain(&error);
                zygotes.known = true;
                match of {
                    Some(old) => self.successor_failed(old, &why, now),
                    None => self.put_off_zygote(&why, Duration::ZERO, now),
                }
                return;
            }
        };
        let number = ZYGOTES | zygotes.started;
        zygotes.started = (zygotes.started + 1) % ZYGOTES;
        let timeout = self.spec.daemon.startup_timeout;
        let by = (!timeout.is_zero()).then(|| now + timeout);
        let pid = started.pid;
        let token = supervise::channel_token(self.id, number);
        let watched = tools
            .epoll
            .add(started.channel.as_fd(), token, Interest::READ);
        zygotes.all.push(Zygote {
            number,
            pid,
            since: now,
            channel: Some(Channel::new(started.channel, now)),
            role: Role::Loading { of, by },
        });
        let text = format!("started process {pid}, which loads the application to be forked");
        self.log(Level::Info, &text);
        if let Err(error) = watched {
            let text = format!("process {pid} cannot be listened to: {error}");
            self.log(Level::Error, &text);
            self.complain_about_signal(pid, process::signal_group(pid, libc::SIGKILL));
        }
    }

    /// Has the next zygote wait, whose last one could not start or has died.
    fn put_off_zygote(&mut self, why: &str, lived: Duration, now: Instant) {
        let Some(zygotes) = &mut self.zygotes else {
            return;
        };
        let pause = zygotes.backoff.pause_after(Death::Failed, lived);
        zygotes.due = Some(now + pause);
        zygotes.known = true;
        let again = when(pause);
        let text = format!(
            "{why}; starting another {again} to fork the group's processes, which meanwhile load \
             the application themselves"
        );
        self.log(Level::Error, &text);
    }

    /// Takes what a zygote has to say.
    pub fn hear_zygote(&mut self, number: u32, now: Instant) {
        loop {
            let Some(zygotes) = &mut self.zygotes else {
                return;
            };
            let Some(place) = zygotes.position(number) else {
                return;
            };
            let zygote = &mut zygotes.all[place];
            let Some(channel) = &mut zygote.channel else {
                return;
            };
            let (pid, loading) = (zygote.pid, matches!(zygote.role, Role::Loading { .. }));
            match channel.hear(now) {
                Ok(Heard::Report(Report::Ready)) if loading => self.zygote_is_ready(place, now),
                Ok(Heard::Report(Report::CannotFork(reason))) => {
                    let reason = String::from_utf8_lossy(&reason).into_owned();
                    self.give_up_zygotes(place, &reason, now);
                }
                Ok(Heard::Report(_)) => {}
                Ok(Heard::Nothing) => return,
                // It leaves the epoll set with its last descriptor, and its end follows.
                Ok(Heard::End) => return zygote.channel = None,
                Err(error) => {
                    zygote.channel = None;
                    let text = format!(
                        "process {pid} is not listened to any more: {}",
                        chain(&error)
                    );
                    self.log(Level::Error, &text);
                    return self.complain_about_signal(pid, process::signal(pid, libc::SIGKILL));
                }
            }
        }
    }

    /// From now on processes are forked from this one; older ones end.
    fn zygote_is_ready(&mut self, place: usize, now: Instant) {
        let Some(zygotes) = &mut self.zygotes else {
            return;
        };
        (zygotes.known, zygotes.given_up, zygotes.due) = (true, None, None);
        let pid = zygotes.all[place].pid;
        let told = retire_ready(zygotes, now);
        zygotes.all[place].role = Role::Ready;
        self.complain_about_zygotes(told);
        let text = format!("process {pid} has loaded the application and is forked from now on");
        self.log(Level::Info, &text);
    }

    /// Nothing can be forked with the code of this zygote: processes start without, until it changes.
    fn give_up_zygotes(&mut self, place: usize, reason: &str, now: Instant) {
        let Some(zygotes) = &mut self.zygotes else {
            return;
        };
        let (pid, since) = (zygotes.all[place].pid, zygotes.all[place].since);
        if matches!(zygotes.all[place].role, Role::Retired { .. }) {
            return;
        }
        (zygotes.known, zygotes.given_up, zygotes.due) = (true, Some(since), None);
        let mut told = retire_ready(zygotes, now);
        let zygote = &mut zygotes.all[place];
        if !matches!(zygote.role, Role::Retired { .. }) {
            told.push((pid, zygote.retire(now)));
        }
        self.complain_about_zygotes(told);
        let shown = reason.replace(char::is_control, " ");
        let text = format!(
            "process {pid} cannot be forked: {shown}; the group's processes load the application \
             themselves until its script changes"
        );
        self.log(Level::Warn, &text);
    }

    fn complain_about_zygotes(&self, told: Vec<(i32, io::Result<()>)>) {
        for (pid, result) in told {
            self.complain_about_signal(pid, result);
        }
    }

    /// Takes the end of a child if it is a zygote of this group; as [`Group::take_end`].
    pub fn take_zygote_end(
        &mut self,
        end: ChildEnd,
        out_of_memory: bool,
        now: Instant,
    ) -> io::Result<bool> {
        let Some(zygotes) = &mut self.zygotes else {
            return Ok(false);
        };
        let mut all = zygotes.all.iter();
        let Some(place) = all.position(|zygote| zygote.pid == end.pid) else {
            return Ok(false);
        };
        let zygote = zygotes.all.remove(place);
        let pid = zygote.pid;
        let retired = matches!(zygote.role, Role::Retired { .. });
        if self.drained_by.is_some() || !retired {
            // The zombie itself is a member still, so this cannot miss the group.
            process::signal_group(pid, libc::SIGKILL)?;
        }
        process::wait_for(pid)?;
        let lived = now.saturating_duration_since(zygote.since);
        let obituary = Obituary::of(&end, out_of_memory, lived, 0);
        if self.drained_by.is_some() || retired {
            self.log(Level::Info, &obituary.to_string());
            return Ok(true);
        }
        self.zygote_died(&zygote, &obituary, now);
        Ok(true)
    }

    fn zygote_died(&mut self, zygote: &Zygote, obituary: &Obituary, now: Instant) {
        let pid = zygote.pid;
        let unloadable = obituary.is_exit(UNLOADABLE_STATUS);
        let why = match unloadable {
            true => format!("process {pid} could not load the application, as told above"),
            false => obituary.to_string(),
        };
        match zygote.role {
            Role::Loading { of: Some(old), .. } => self.successor_failed(old, &why, now),
            Role::Loading { of: None, .. } if unloadable => {
                if let Some(zygotes) = &mut self.zygotes {
                    (zygotes.known, zygotes.given_up) = (true, Some(zygote.since));
                }
                let text = format!("{why}; the group's processes are started without it");
                self.log(Level::Error, &text);
            }
            _ => self.put_off_zygote(&why, obituary.lived, now),
        }
    }

    /// Ends zygotes that have outstayed their time, and gives up processes that were not forked.
    pub fn end_late_zygotes(&mut self, now: Instant) {
        let Some(zygotes) = &mut self.zygotes else {
            return;
        };
        let mut late = Vec::new();
        for zygote in &mut zygotes.all {
            match zygote.role {
                Role::Loading { of, by: Some(by) } if by <= now => {
                    let by = Some(now + RETIREMENT);
                    zygote.role = Role::Loading { of, by };
                    late.push((zygote.pid, "was not ready within startup-timeout"));
                }
                Role::Retired { by } if by <= now => {
                    zygote.role = Role::Retired {
                        by: now + RETIREMENT,
                    };
                    late.push((zygote.pid, "did not end in time"));
                }
                _ => {}
            }
        }
        for (pid, why) in late {
            self.log(Level::Warn, &format!("process {pid} {why} and is killed"));
            self.complain_about_signal(pid, process::signal(pid, libc::SIGKILL));
        }
        self.end_late_forks(now);
    }

    /// When something is due that has to do with zygotes.
    pub fn next_zygote_due(&self) -> Option<Instant> {
        let zygotes = self.zygotes.as_ref()?;
        let of_zygotes = zygotes.all.iter().filter_map(|zygote| match zygote.role {
            Role::Loading { by, .. } => by,
            Role::Ready => None,
            Role::Retired { by } => Some(by),
        });
        let of_forks = self.next_fork_due();
        of_zygotes.chain(of_forks).chain(zygotes.due).min()
    }

    /// Asks every zygote to end.
    pub fn drain_zygotes(&mut self) {
        for pid in self.zygote_pids().collect::<Vec<_>>() {
            self.complain_about_signal(pid, process::signal(pid, libc::SIGTERM));
        }
    }

    /// Whether there is a zygote that has not ended.
    pub fn has_zygote(&self) -> bool {
        self.zygote_pids().next().is_some()
    }

    /// The zygotes that have not ended.
    pub fn zygote_pids(&self) -> impl Iterator<Item = i32> {
        let all = self.zygotes.iter().flat_map(|zygotes| &zygotes.all);
        all.map(|zygote| zygote.pid)
    }
}

/// Has those end that processes are forked from so far.
fn retire_ready(zygotes: &mut Zygotes, now: Instant) -> Vec<(i32, io::Result<()>)> {
    let ready = |zygote: &&mut Zygote| matches!(zygote.role, Role::Ready);
    let all = zygotes.all.iter_mut().filter(ready);
    all.map(|zygote| (zygote.pid, zygote.retire(now))).collect()
}
