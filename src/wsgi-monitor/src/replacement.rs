//! Replacing a process that works: its successor is ready before it stops taking requests.
//!
//! Runs in the monitor's loop. A process asks for a successor; one at a time is started in each
//! group, in a spare slot; once it says that it is ready its predecessor is told to end. A
//! successor that fails is tried again ever more slowly, and its predecessor goes on meanwhile.

use std::time::{Duration, Instant};

use wsgi_unix::log::Level;
use wsgi_unix::process;
use wsgi_wire::launch::UNLOADABLE_STATUS;
use wsgi_wire::supervision::{Inheritance, Order, RECYCLE_MEMORY, Report, SuccessorWanted};

use crate::chain;
use crate::group::{Group, Launched, when};
use crate::member::{Member, Process, Standing, State, Wanted};
use crate::obituary::Obituary;
use crate::restart::{Backoff, Death, SHORTEST_LIFE};
use crate::supervise::Tools;

/// What a retired process may take beyond its time-outs, within which it ends by itself.
const RETIREMENT_MARGIN: Duration = Duration::from_secs(1);

impl Group {
    /// Takes what the process in this slot reports.
    pub fn take_report(&mut self, slot: usize, report: Report, now: Instant) {
        let Some(process) = self.members[slot].process_mut() else {
            return;
        };
        if report == Report::Ready {
            process.progress.ready = true;
            process.progress.ready_by = None;
        }
        match (report, &process.standing) {
            (Report::Ready, Standing::Successor { of }) => {
                let of = *of;
                self.hand_over(of, slot, now);
            }
            (Report::Loaded(loaded), _) => self.note_loaded(slot, loaded),
            (Report::SuccessorWanted(wanted), Standing::Serving { .. }) => {
                self.want_successor(slot, wanted, now);
            }
            // Every process says when it is ready; one that was retired may have asked before.
            _ => {}
        }
    }

    /// Notes that the process in this slot wants a successor. Asked again, what it says now counts.
    fn want_successor(&mut self, slot: usize, asked: SuccessorWanted, now: Instant) {
        let member = &mut self.members[slot];
        let again = member.wanted().is_some();
        let lived = |process: &Process| now.saturating_duration_since(process.since);
        let soon = member.process().map(lived) < Some(SHORTEST_LIFE);
        let pause = match again || soon {
            true => self.pace.pause(now),
            false => Duration::ZERO,
        };
        let wanted = Wanted {
            due: now + pause,
            paused: asked.paused,
            cause: String::from_utf8_lossy(&asked.cause).into_owned(),
            retry: Backoff::patient(),
        };
        if let Some(process) = self.members[slot].process_mut() {
            let pid = process.pid;
            let cause = &wanted.cause;
            let text = format!("process {pid} asks for a successor: {cause}");
            process.standing = Standing::Serving {
                wanted: Some(wanted),
            };
            self.log(Level::Info, &text);
        }
    }

    /// Starts the successor that is due, and lets those that have to wait for theirs serve on.
    pub fn start_successor(&mut self, tools: &Tools, now: Instant) {
        if let Some((old, new)) = self.next_replacement(now) {
            match self.needs_new_zygote(old) {
                true => self.start_zygote(Some(old), tools, now),
                false => self.try_successor(old, new, tools, now),
            }
        }
        for slot in 0..self.members.len() {
            if !self.has_successor(slot) {
                self.resume(slot);
            }
        }
    }

    /// The process whose successor is due, longest first, and the slot for it.
    fn next_replacement(&mut self, now: Instant) -> Option<(usize, usize)> {
        if self.successor().is_some() || self.loads_zygote() {
            return None;
        }
        let spare = |member: &Member| matches!(member.state, State::Spare);
        let new = self.members.iter().position(spare)?;
        let due = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(slot, member)| {
                let wanted = member.process().and_then(Process::wanted)?;
                let due = wanted.due <= now && self.may_follow(wanted);
                due.then_some((wanted.due, slot))
            });
        due.min().map(|(_, old)| (old, new))
    }

    /// Whether a process that wants a successor for this may have it already: see [`RECYCLE_MEMORY`].
    fn may_follow(&self, wanted: &Wanted) -> bool {
        let retires = |process: &Process| matches!(process.standing, Standing::Retired { .. });
        let mut processes = self.members.iter().filter_map(Member::process);
        wanted.cause != RECYCLE_MEMORY || !processes.any(retires)
    }

    fn try_successor(&mut self, old: usize, new: usize, tools: &Tools, now: Instant) {
        let inheritance = Inheritance {
            at_once: false,
            loaded: self.loaded_by(old),
        };
        let standing = Standing::Successor { of: old };
        match self.launch(new, Some(&inheritance), standing, tools, now) {
            Ok(Launched::Forking) => {}
            Ok(Launched::Started(pid)) => {
                let of = self.pid_in(old);
                self.log(
                    Level::Info,
                    &format!("started process {pid}, which is to follow process {of}"),
                );
            }
            Err(error) => self.successor_failed(old, &chain(&error), now),
        }
    }

    /// The successor in slot `new` takes over from the process in slot `old`.
    fn hand_over(&mut self, old: usize, new: usize, now: Instant) {
        self.stand(new, Standing::Serving { wanted: None });
        let backoff = std::mem::take(&mut self.members[old].backoff);
        self.members[new].backoff = backoff;
        let by = self.retirement_ends(now);
        let Some(Process { pid, .. }) = self.members[old].process() else {
            return;
        };
        let text = format!(
            "process {} is ready and follows process {pid}",
            self.pid_in(new)
        );
        self.log(Level::Info, &text);
        self.order(old, Order::Retire);
        self.stand(old, Standing::Retired { by });
    }

    /// A process that was told to end has the time-outs of one that ends by itself.
    pub(crate) fn retirement_ends(&self, now: Instant) -> Option<Instant> {
        let settings = &self.spec.daemon;
        if settings.shutdown_timeout.is_zero() {
            return None;
        }
        let finishing = settings.graceful_timeout.max(settings.eviction_timeout);
        let patience = finishing.saturating_add(settings.shutdown_timeout);
        now.checked_add(patience.saturating_add(RETIREMENT_MARGIN))
    }

    /// A successor has ended before it was ready: its predecessor, if it is still there, goes on.
    pub fn successor_ended(&mut self, old: usize, obituary: &Obituary, now: Instant) {
        let why = if obituary.is_exit(UNLOADABLE_STATUS) {
            format!(
                "process {} could not load the scripts that it was to take over, as told above",
                obituary.pid
            )
        } else {
            obituary.to_string()
        };
        self.successor_failed(old, &why, now);
    }

    pub(crate) fn successor_failed(&mut self, old: usize, why: &str, now: Instant) {
        let pid = self.pid_in(old);
        let Some(wanted) = self.members[old].wanted() else {
            self.log(Level::Error, why);
            return;
        };
        let pause = wanted.retry.pause_after(Death::Failed, Duration::ZERO);
        wanted.due = now + pause;
        let again = when(pause);
        let text = format!("{why}; process {pid} goes on with what it has, next attempt {again}");
        self.log(Level::Error, &text);
        self.resume(old);
    }

    /// A process that has died needs no successor any more, but the one on its way is welcome;
    /// whether there is one.
    pub fn inherit(&mut self, old: usize) -> bool {
        let Some(new) = self
            .successor()
            .filter(|new| self.follows(*new) == Some(old))
        else {
            return false;
        };
        let backoff = std::mem::take(&mut self.members[old].backoff);
        self.members[new].backoff = backoff;
        self.stand(new, Standing::Serving { wanted: None });
        true
    }

    /// Lets a process take requests again that waits for a successor it cannot have yet.
    fn resume(&mut self, slot: usize) {
        if let Some(wanted) = self.members[slot].wanted()
            && std::mem::replace(&mut wanted.paused, false)
        {
            self.order(slot, Order::Resume);
        }
    }

    /// Tells the process in this slot. One that does not take its messages is told by a signal to
    /// finish and end: it is of no use either way.
    pub(crate) fn order(&mut self, slot: usize, order: Order) {
        let Some(process) = self.members[slot].process() else {
            return;
        };
        let told = process.channel.as_ref().map(|channel| channel.tell(order));
        if !matches!(told, Some(Ok(()))) {
            let (pid, told) = (process.pid, process::signal(process.pid, libc::SIGUSR1));
            self.complain_about_signal(pid, told);
        }
    }

    /// Ends the processes that have outstayed the time to get ready, or to retire.
    pub fn end_late(&mut self, now: Instant) {
        for slot in 0..self.members.len() {
            let Some(process) = self.members[slot].process_mut() else {
                continue;
            };
            let (by, late) = match &mut process.standing {
                Standing::Retired { by } => (by, "was replaced and did not end in time"),
                Standing::Successor { .. } | Standing::Serving { .. } => (
                    &mut process.progress.ready_by,
                    "was not ready within startup-timeout",
                ),
            };
            if by.is_none_or(|by| now < by) {
                continue;
            }
            // Its end comes as that of any other; should it not, it is asked again.
            *by = Some(now + RETIREMENT_MARGIN);
            let pid = process.pid;
            self.log(Level::Warn, &format!("process {pid} {late} and is killed"));
            let told = process::signal_group(pid, libc::SIGKILL);
            self.complain_about_signal(pid, told);
        }
    }

    /// When the next successor is due, or a process loses its time.
    pub fn next_replacement_due(&self) -> Option<Instant> {
        let idle = self.successor().is_none() && !self.loads_zygote();
        let room = self
            .members
            .iter()
            .any(|member| matches!(member.state, State::Spare));
        let due = |process: &Process| match &process.standing {
            Standing::Serving { wanted } => {
                let wanted = wanted.as_ref().filter(|_| idle && room);
                let wanted = wanted.filter(|wanted| self.may_follow(wanted));
                [wanted.map(|wanted| wanted.due), process.progress.ready_by]
            }
            Standing::Successor { .. } => [process.progress.ready_by, None],
            Standing::Retired { by } => [*by, None],
        };
        let processes = self.members.iter().filter_map(|member| member.process());
        processes.flat_map(due).flatten().min()
    }

    /// The slot of the successor that is not ready yet.
    fn successor(&self) -> Option<usize> {
        (0..self.members.len()).find(|slot| self.follows(*slot).is_some())
    }

    fn follows(&self, slot: usize) -> Option<usize> {
        match self.members[slot].standing()? {
            Standing::Successor { of } => Some(*of),
            _ => None,
        }
    }

    fn has_successor(&self, slot: usize) -> bool {
        let follows = |new| self.follows(new) == Some(slot);
        self.successor().is_some_and(follows) || self.loads_zygote_for(slot)
    }

    pub(crate) fn stand(&mut self, slot: usize, standing: Standing) {
        if let Some(place) = self.members[slot].standing_mut() {
            *place = standing;
        }
    }

    pub(crate) fn pid_in(&self, slot: usize) -> i32 {
        self.members[slot]
            .process()
            .map_or(0, |process| process.pid)
    }
}
