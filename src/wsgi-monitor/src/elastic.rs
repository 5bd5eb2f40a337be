//! Groups whose number of processes lies between two bounds: one more when requests wait and nobody
//! is free, one less when it was not needed for a while.
//!
//! Runs in the monitor's loop. The queue is the listening socket: an event tells that somebody is in
//! it, and it is asked for again only after a moment, so a busy group costs ten looks a second and
//! an idle one none. Who is busy stands in the hint page, by which a daemon can at worst bring about
//! as many of its group's processes as the configuration allows.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wsgi_unix::epoll::Interest;
use wsgi_unix::log::Level;
use wsgi_wire::supervision::Order;

use crate::group::Group;
use crate::member::{Member, Standing, State};
use crate::supervise::{self, Tools};

/// How long somebody waits in the queue before it counts.
const PRESSURE: Duration = Duration::from_millis(100);

/// The time between two looks at whether a process is needed.
const LOOK: Duration = Duration::from_secs(1);

/// How long one process more than needed is kept.
const KEPT: Duration = Duration::from_secs(10);

/// What a group with bounds remembers.
#[derive(Debug)]
pub struct Elastic {
    /// The fewest processes.
    least: u32,
    /// When somebody was last seen in the queue.
    queued: Option<Instant>,
    /// When to ask for the queue again; `None`: it is being watched.
    ask_again: Option<Instant>,
    /// When all processes were last needed.
    needed: Instant,
    /// When to look next whether they are.
    look: Instant,
}

/// How busy a group is.
#[derive(Debug, Default)]
struct Load {
    /// Processes that serve or are about to.
    processes: u32,
    /// Those of them that take requests.
    ready: u32,
    /// Those of them that wait to be started again.
    waiting: u32,
    threads: u32,
    active: u32,
}

impl Elastic {
    /// That of a group of `least` to `most` processes; `None` if there is nothing to choose.
    pub fn between(least: u32, most: u32, now: Instant) -> Option<Elastic> {
        (least > 0 && least < most).then_some(Elastic {
            least,
            queued: None,
            ask_again: Some(now),
            needed: now,
            look: now,
        })
    }
}

impl Group {
    /// Does what is due for the number of processes.
    pub fn fit(&mut self, tools: &Tools, now: Instant) {
        let Some(elastic) = &mut self.elastic else {
            return;
        };
        if elastic.ask_again.is_some_and(|due| due <= now) {
            let first = elastic.queued.is_none();
            elastic.ask_again = None;
            self.watch_queue(first, tools);
        }
        self.look_for_idle(now);
    }

    /// When [`Group::fit`] has something to do.
    pub fn next_fit(&self) -> Option<Instant> {
        let elastic = self.elastic.as_ref()?;
        let above = self.load().processes > elastic.least;
        let look = above.then_some(elastic.look);
        elastic.ask_again.into_iter().chain(look).min()
    }

    fn watch_queue(&self, first: bool, tools: &Tools) {
        let (listener, token) = (self.listener(), supervise::queue_token(self.id()));
        let once = Interest::READ.one_shot();
        let watched = match first {
            true => tools.epoll.add(listener, token, once),
            false => tools.epoll.modify(listener, token, once),
        };
        if let Err(error) = watched {
            let text = format!("the queue cannot be watched: {error}");
            self.log(Level::Warn, &text);
        }
    }

    /// Somebody is in the queue. If so it was a moment ago, and nobody is free, another process is to
    /// help; while one is starting it is waited for, and so is the first import: a further process
    /// could only do the same.
    pub fn somebody_waits(&mut self, now: Instant) {
        let most = self.spec.gateway.processes;
        let load = self.load();
        let Some(elastic) = &mut self.elastic else {
            return;
        };
        // An event in `fit`'s first watch comes at any time; one of the next, at once or later.
        let before = elastic.queued.replace(now);
        elastic.ask_again = Some(now + PRESSURE);
        let lasts = before.is_some_and(|before| now - before <= 2 * PRESSURE);
        let full = load.ready == load.processes && load.active >= load.threads;
        if full {
            elastic.needed = now;
        }
        if !(lasts && full && load.processes < most && self.can_add_loaded()) {
            return;
        }
        let spare = |member: &Member| matches!(member.state, State::Spare);
        let Some(slot) = self.members.iter().position(spare) else {
            return;
        };
        self.members[slot] = Member::new(State::Waiting { until: now });
        let count = load.processes + 1;
        self.log(
            Level::Info,
            &format!("requests wait for a thread: going to {count} processes"),
        );
    }

    fn look_for_idle(&mut self, now: Instant) {
        let load = self.load();
        let Some(elastic) = &mut self.elastic else {
            return;
        };
        if elastic.look > now {
            return;
        }
        elastic.look = now + LOOK;
        // One that waits to be started again has none of the threads.
        let each = match load.waiting {
            0 => load.threads.checked_div(load.ready).unwrap_or(0),
            _ => 0,
        };
        let without_one = load.threads.saturating_sub(each);
        let idle = load.ready + load.waiting == load.processes && load.active < without_one;
        if !idle || load.processes <= elastic.least {
            elastic.needed = now;
        }
        if now - elastic.needed < KEPT {
            return;
        }
        elastic.needed = now;
        self.retire_one(load.processes - 1, now);
    }

    /// Gives up one that has not come back, or lets the process that came last finish and end.
    fn retire_one(&mut self, left: u32, now: Instant) {
        let waits = |member: &Member| matches!(member.state, State::Waiting { .. });
        if let Some(member) = self.members.iter_mut().rfind(|member| waits(member)) {
            *member = Member::new(State::Spare);
            let text = format!("no other process is needed any more: going to {left} processes");
            return self.log(Level::Info, &text);
        }
        let serves = |slot: &usize| {
            let process = self.members[*slot].process();
            let standing = process.map(|process| &process.standing);
            matches!(standing, Some(Standing::Serving { wanted: None }))
        };
        let Some(slot) = (0..self.members.len()).rev().find(serves) else {
            return;
        };
        let pid = self.pid_in(slot);
        self.log(
            Level::Info,
            &format!("process {pid} is not needed any more: going to {left} processes"),
        );
        self.order(slot, Order::Retire);
        let by = self.retirement_ends(now);
        self.stand(slot, Standing::Retired { by });
    }

    fn load(&self) -> Load {
        let mut load = Load::default();
        for (slot, member) in (0u32..).zip(&self.members) {
            match &member.state {
                State::Waiting { .. } => {
                    load.processes += 1;
                    load.waiting += 1;
                }
                State::Forking(forking) if matches!(forking.standing, Standing::Serving { .. }) => {
                    load.processes += 1;
                }
                State::Running(process) if matches!(process.standing, Standing::Serving { .. }) => {
                    load.processes += 1;
                    let Some(row) = self.page().slot(slot).filter(|row| row.is_open()) else {
                        continue;
                    };
                    load.ready += 1;
                    let threads = row.threads.load(Ordering::Relaxed);
                    load.threads = load.threads.saturating_add(threads);
                    let active = row.active.load(Ordering::Relaxed);
                    load.active = load.active.saturating_add(active.min(threads));
                }
                _ => {}
            }
        }
        load
    }
}
