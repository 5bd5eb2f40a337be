//! One process group: which of its processes run, and when the others may start again.
//!
//! Runs in the monitor's loop, which tells it the time and every death. It signals no process
//! that is not in its own table, and none whose end was already taken.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wsgi_unix::epoll::Interest;
use wsgi_unix::hints::HintPage;
use wsgi_unix::log::{self, Level};
use wsgi_unix::process::{self, ChildEnd, Ended};
use wsgi_wire::launch::{GroupSpec, UNLOADABLE_STATUS, VERSION_STATUS, hint_rows};
use wsgi_wire::secret::Secret;
use wsgi_wire::supervision::{Inheritance, LoadedScripts};

use crate::chain;
use crate::channel::{Channel, Heard};
use crate::config::{self, GroupDescriptors};
use crate::elastic::Elastic;
use crate::inheritance::Estate;
use crate::member::{Member, Process, Progress, Standing, State};
use crate::obituary::Obituary;
use crate::process::{LaunchError, Part};
use crate::restart::{Death, Pace, SHORTEST_LIFE};
use crate::supervise::{self, Tools};
use crate::zygote::{self, Zygotes};

/// What a drain waits beyond shutdown-timeout, within which a daemon ends by itself.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// How long a drain waits when shutdown-timeout says for ever.
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// Why a daemon of another version ends.
const OTHER_VERSION: &str = ", as the installed gateway is of another version than this monitor \
                             (restart httpd, gracefully will do)";

/// Why a process ends that was to help others.
const UNLOADABLE: &str =
    ", as it could not load what others of the group have loaded, as told above";

/// How many reports of one process are taken before others have their turn.
pub(crate) const REPORTS_AT_ONCE: u32 = 8;

/// What the processes of a group show of their use: a hint.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShownUse {
    /// A request runs.
    pub active: bool,
    /// When a process was last in use, [`wsgi_unix::clock::monotonic_millis`].
    pub last: u64,
}

/// A process group and its processes.
pub struct Group {
    /// What the loop knows it by.
    pub(crate) id: u32,
    pub(crate) spec: GroupSpec,
    name: String,
    pub(crate) descriptors: GroupDescriptors,
    /// By slot: the group's processes, and slots for successors.
    pub(crate) members: Vec<Member>,
    pub(crate) pace: Pace,
    /// There if the number of processes has bounds.
    pub(crate) elastic: Option<Elastic>,
    /// What processes are forked from, if that is wanted.
    pub(crate) zygotes: Option<Zygotes>,
    /// What is remembered of processes that have ended.
    pub(crate) estate: Estate,
    /// When a drain loses its patience; `None` while the group serves.
    pub(crate) drained_by: Option<Instant>,
}

impl Group {
    /// A group whose processes are all due to start.
    pub fn new(id: u32, spec: GroupSpec, descriptors: GroupDescriptors, now: Instant) -> Group {
        let processes = spec.gateway.processes;
        let elastic = Elastic::between(spec.least_processes, processes, now);
        let begun = elastic.as_ref().map_or(processes, |_| spec.least_processes);
        let member = |slot| {
            Member::new(match slot < begun {
                true => State::Waiting { until: now },
                false => State::Spare,
            })
        };
        let slots = descriptors.page.slots().min(hint_rows(processes));
        let zygotes = Zygotes::of(&spec, now);
        let group = Group {
            id,
            name: config::name_of(&spec),
            descriptors,
            members: (0..slots).map(member).collect(),
            spec,
            pace: Pace::default(),
            elastic,
            zygotes,
            estate: Estate::default(),
            drained_by: None,
        };
        if group.spec.preload && group.zygotes.is_none() {
            group.log(
                Level::Warn,
                "preload=fork has nothing to load: no WSGIImportScript, and no WSGIScriptAlias with \
                 the options process-group and application-group, names the group",
            );
        }
        group
    }

    /// What the loop knows it by.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it was made from.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// Its hint page.
    pub fn hints(&self) -> BorrowedFd<'_> {
        self.descriptors.hints.as_fd()
    }

    /// Whether it was told to end.
    pub fn is_ending(&self) -> bool {
        self.drained_by.is_some()
    }

    /// What its processes show of their use.
    pub fn shown_use(&self) -> ShownUse {
        let page = &self.descriptors.page;
        let rows = (0..page.slots()).filter_map(|slot| page.slot(slot));
        rows.fold(ShownUse::default(), |shown, row| ShownUse {
            active: shown.active || row.active.load(Ordering::Relaxed) > 0,
            last: shown.last.max(row.used.load(Ordering::Relaxed)),
        })
    }

    /// The listening socket, whose queue is the group's.
    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.descriptors.listener.as_fd()
    }

    /// The group's hint page.
    pub(crate) fn page(&self) -> &HintPage {
        &self.descriptors.page
    }

    /// What requests for the group are known by.
    pub fn secret(&self) -> Secret {
        self.spec.secret
    }

    /// Where the group listens.
    pub fn socket(&self) -> &[u8] {
        &self.spec.socket
    }

    /// Writes a line about the group, where its virtual host's administrator looks.
    pub(crate) fn log(&self, level: Level, text: &str) {
        let text = format!("process group '{}': {text}", self.name);
        match &self.descriptors.error_log {
            Some(log) => log::line_to(log.as_fd(), level, &text),
            None => log::line(level, format_args!("{text}")),
        }
    }

    /// Does all that is due while the group serves.
    pub fn keep_going(&mut self, tools: &Tools, now: Instant) {
        self.end_late(now);
        self.fit(tools, now);
        self.end_late_zygotes(now);
        self.start_due_zygote(tools, now);
        self.start_due(tools, now);
        self.start_successor(tools, now);
    }

    /// Starts every process whose time has come.
    fn start_due(&mut self, tools: &Tools, now: Instant) {
        if self.waits_for_zygote() {
            return;
        }
        for slot in 0..self.members.len() {
            if !matches!(self.members[slot].state, State::Waiting { until } if until <= now) {
                continue;
            }
            let standing = Standing::Serving { wanted: None };
            let inheritance = self.inheritance_for(slot);
            match self.launch(slot, inheritance.as_ref(), standing, tools, now) {
                Ok(Launched::Started(pid)) => {
                    self.log(Level::Info, &format!("started process {pid}"));
                }
                Ok(Launched::Forking) => {}
                Err(error) => {
                    let backoff = &mut self.members[slot].backoff;
                    let pause = backoff.pause_after(Death::Failed, Duration::ZERO);
                    self.members[slot].state = State::Waiting { until: now + pause };
                    let (reason, again) = (chain(&error), when(pause));
                    self.log(Level::Error, &format!("{reason}; trying again {again}"));
                }
            }
        }
    }

    /// Starts a process in this slot, which has none.
    pub(crate) fn launch(
        &mut self,
        slot: usize,
        inheritance: Option<&Inheritance>,
        standing: Standing,
        tools: &Tools,
        now: Instant,
    ) -> Result<Launched, LaunchError> {
        let number = slot as u32;
        let part = Part::Daemon {
            slot: number,
            inheritance,
        };
        let timeout = self.spec.daemon.startup_timeout;
        let progress = Progress::begun(inheritance, timeout, now);
        let standing = match self.fork(slot, part, (standing, progress), tools, now)? {
            None => return Ok(Launched::Forking),
            Some(standing) => standing,
        };
        let started = tools.launcher.start(&self.spec, &self.descriptors, part)?;
        let token = supervise::channel_token(self.id, number);
        let watched = tools
            .epoll
            .add(started.channel.as_fd(), token, Interest::READ);
        if let Err(error) = watched {
            // One that cannot be heard could wait for an answer for ever: its end comes at once.
            let pid = started.pid;
            self.log(
                Level::Error,
                &format!("process {pid} cannot be listened to: {error}"),
            );
            self.complain_about_signal(pid, process::signal_group(pid, libc::SIGKILL));
        }
        self.members[slot].state = State::Running(Process {
            pid: started.pid,
            since: now,
            code_since: now,
            channel: Some(Channel::new(started.channel, now)),
            standing,
            progress,
            loaded: LoadedScripts::default(),
        });
        Ok(Launched::Started(started.pid))
    }

    /// Takes what the process in slot `number`, or the zygote of that number, has to say. `known`
    /// are the processes of all groups.
    pub fn hear(&mut self, number: u32, known: &[i32], tools: &Tools, now: Instant) {
        if zygote::is_zygote(number) {
            return self.hear_zygote(number, now);
        }
        let slot = number as usize;
        self.hear_hello(slot, known, now);
        for _ in 0..REPORTS_AT_ONCE {
            let Some(process) = self.members.get_mut(slot).and_then(Member::process_mut) else {
                return;
            };
            let Some(channel) = &mut process.channel else {
                return;
            };
            match channel.hear(now) {
                Ok(Heard::Report(report)) => self.take_report(slot, report, now),
                Ok(Heard::Nothing) => return,
                Ok(Heard::End) => return self.leave_channel(slot, tools),
                Err(error) => {
                    let (pid, reason) = (process.pid, chain(&error));
                    let text = format!("process {pid} is not listened to any more: {reason}");
                    self.log(Level::Error, &text);
                    return self.leave_channel(slot, tools);
                }
            }
        }
    }

    fn leave_channel(&mut self, slot: usize, tools: &Tools) {
        let process = self.members[slot].process_mut();
        if let Some(channel) = process.and_then(|process| process.channel.take())
            && let Err(error) = tools.epoll.remove(channel.as_fd())
        {
            self.log(
                Level::Error,
                &format!("cannot leave a process alone: {error}"),
            );
        }
    }

    /// When the next process is due, or a drain loses its patience.
    pub fn next_due(&self) -> Option<Instant> {
        let due = self.members.iter().filter_map(|member| match member.state {
            State::Waiting { until } => Some(until).filter(|_| !self.waits_for_zygote()),
            State::Running(_) | State::Forking(_) => self.drained_by,
            State::Spare | State::Over => None,
        });
        let later = match self.drained_by {
            Some(by) => [Some(by).filter(|_| self.has_zygote()), None, None],
            None => [
                self.next_replacement_due(),
                self.next_zygote_due(),
                self.next_fit(),
            ],
        };
        due.chain(later.into_iter().flatten()).min()
    }

    /// Takes the end of a child if it is this group's: `false` if it is not.
    ///
    /// The child has ended and is not reaped yet, so the session it leads cannot have become
    /// anybody else's: what is left in it is ended now. Only a daemon that was replaced as planned
    /// leaves behind what its application started, as if it had lived on.
    pub fn take_end(
        &mut self,
        end: ChildEnd,
        out_of_memory: bool,
        now: Instant,
    ) -> io::Result<bool> {
        let pid = end.pid;
        let mine = |member: &Member| member.process().is_some_and(|process| process.pid == pid);
        let Some(slot) = self.members.iter().position(mine) else {
            return self.take_zygote_end(end, out_of_memory, now);
        };
        let state = std::mem::replace(&mut self.members[slot].state, State::Spare);
        let State::Running(process) = state else {
            return Ok(false);
        };
        let lived = now.saturating_duration_since(process.since);
        let obituary = Obituary::of(&end, out_of_memory, lived, self.clear_row(slot));
        let death = Death::of(end.ended, lived);
        if self.drained_by.is_some() || death == Death::Failed {
            // The zombie itself is a member still, so this cannot miss the group.
            process::signal_group(pid, libc::SIGKILL)?;
        }
        process::wait_for(pid)?;
        if self.drained_by.is_some() {
            self.members[slot].state = State::Over;
            self.log(Level::Info, &obituary.to_string());
            return Ok(true);
        }
        match self.take_estate(process, death, &obituary, now) {
            Standing::Serving { .. } => self.follow(slot, death, &obituary, now),
            Standing::Successor { of } => self.successor_ended(of, &obituary, now),
            Standing::Retired { .. } => {
                let level = match death {
                    Death::Planned => Level::Info,
                    Death::Failed => Level::Error,
                };
                self.log(level, &format!("{obituary}; it had been told to"));
            }
        }
        Ok(true)
    }

    /// Sees to it that somebody follows a process that served.
    fn follow(&mut self, slot: usize, death: Death, obituary: &Obituary, now: Instant) {
        let (pid, lived) = (obituary.pid, obituary.lived);
        // A program that is over runs again, but not again and again without a pause.
        let over = self.spec.gateway.threads == 0 && obituary.ended == Ended::Exit(0);
        let judged = if over { Death::Failed } else { death };
        let mut pause = self.members[slot].backoff.pause_after(judged, lived);
        let failures = self.members[slot].backoff.failures();
        if self.inherit(slot) {
            let text = format!("{obituary}; its successor was started already");
            self.log(Level::Error, &text);
            return;
        }
        if death == Death::Planned && lived < SHORTEST_LIFE {
            pause = self.pace.pause(now);
        }
        self.members[slot].state = State::Waiting { until: now + pause };
        let again = when(pause);
        match death {
            Death::Planned => {
                self.log(Level::Info, &format!("process {pid} is replaced {again}"));
            }
            Death::Failed => {
                let often = match failures {
                    0 | 1 => String::new(),
                    _ => format!(", {failures} failures in a row"),
                };
                let why = match obituary.ended {
                    Ended::Exit(VERSION_STATUS) => OTHER_VERSION,
                    Ended::Exit(UNLOADABLE_STATUS) => UNLOADABLE,
                    _ => "",
                };
                let text = format!("{obituary}{often}{why}; starting another {again}");
                self.log(Level::Error, &text);
            }
        }
    }

    /// Children wait for a process that is there, not for one that was. Answers how many requests
    /// it said it had served.
    pub(crate) fn clear_row(&self, slot: usize) -> u64 {
        let row = self.descriptors.page.slot(slot as u32);
        row.map_or(0, |row| {
            let served = row.served.load(Ordering::Relaxed);
            row.clear();
            served
        })
    }

    /// Starts nothing more and asks every process to end.
    pub fn drain(&mut self, now: Instant) {
        let patience = match self.spec.daemon.shutdown_timeout {
            Duration::ZERO => LONGEST_DRAIN,
            timeout => timeout,
        };
        self.drained_by = Some(now + patience + DRAIN_MARGIN);
        for slot in 0..self.members.len() {
            match &self.members[slot].state {
                State::Running(process) => {
                    let pid = process.pid;
                    self.complain_about_signal(pid, process::signal(pid, libc::SIGTERM));
                }
                // It is told once it is there.
                State::Forking(_) => {}
                State::Spare | State::Waiting { .. } | State::Over => {
                    self.members[slot].state = State::Over;
                }
            }
        }
        self.drain_zygotes();
    }

    /// Ends, with everything in their sessions, the processes that have outstayed a drain.
    pub fn end_overdue(&mut self, now: Instant) {
        if self.drained_by.is_none_or(|deadline| now < deadline) {
            return;
        }
        for member in &mut self.members {
            // Nobody has come, and whoever does finds its channel closed.
            if matches!(member.state, State::Forking(_)) {
                member.state = State::Over;
            }
        }
        let processes = self.members.iter().filter_map(Member::process);
        for pid in processes
            .map(|process| process.pid)
            .chain(self.zygote_pids())
        {
            let text = format!("process {pid} did not end in time and is killed");
            self.log(Level::Warn, &text);
            self.complain_about_signal(pid, process::signal_group(pid, libc::SIGKILL));
        }
        // Their ends come as those of others do; should one not, it is asked again.
        self.drained_by = Some(now + DRAIN_MARGIN);
    }

    /// Whether a drain is complete.
    pub fn is_over(&self) -> bool {
        let over = |member: &Member| matches!(member.state, State::Over);
        self.members.iter().all(over) && !self.has_zygote()
    }

    /// The processes that run.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        let processes = self.members.iter().filter_map(Member::process);
        processes
            .map(|process| process.pid)
            .chain(self.zygote_pids())
    }

    /// Logs that a process cannot be signalled: as its parent we always may, so it is worth a line.
    pub(crate) fn complain_about_signal(&self, pid: i32, result: io::Result<()>) {
        if let Err(error) = result {
            let text = format!("cannot signal process {pid}: {error}");
            self.log(Level::Error, &text);
        }
    }
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// The process has this id.
    Started(i32),
    /// A zygote was told to fork it.
    Forking,
}

/// When something follows that pauses for so long.
pub(crate) fn when(pause: Duration) -> String {
    match pause.as_secs() {
        0 => "at once".to_owned(),
        seconds => format!("in {seconds} s"),
    }
}
