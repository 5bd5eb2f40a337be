//! One slot of a process group: who is in it, and where that process stands.
//!
//! Plain data of the monitor's loop; what happens to it is decided in [`crate::group`] and
//! [`crate::replacement`].

use std::time::Instant;

use wsgi_wire::supervision::LoadedScripts;

use crate::channel::Channel;
use crate::restart::Backoff;
use crate::zygote::Forking;

/// One slot of a group.
#[derive(Debug)]
pub struct Member {
    /// What is in it.
    pub state: State,
    /// Of the line of processes that ends here: it moves on with a successor.
    pub backoff: Backoff,
}

impl Member {
    /// A slot with nobody in it.
    pub fn new(state: State) -> Member {
        Member {
            state,
            backoff: Backoff::default(),
        }
    }

    /// The process, if there is one.
    pub fn process(&self) -> Option<&Process> {
        match &self.state {
            State::Running(process) => Some(process),
            _ => None,
        }
    }

    /// As [`Member::process`].
    pub fn process_mut(&mut self) -> Option<&mut Process> {
        match &mut self.state {
            State::Running(process) => Some(process),
            _ => None,
        }
    }

    /// What the process is there for, or the one that is about to be there.
    pub fn standing(&self) -> Option<&Standing> {
        match &self.state {
            State::Running(process) => Some(&process.standing),
            State::Forking(forking) => Some(&forking.standing),
            _ => None,
        }
    }

    /// As [`Member::standing`].
    pub fn standing_mut(&mut self) -> Option<&mut Standing> {
        match &mut self.state {
            State::Running(process) => Some(&mut process.standing),
            State::Forking(forking) => Some(&mut forking.standing),
            _ => None,
        }
    }

    /// The successor that the process wants and does not have yet.
    pub fn wanted(&mut self) -> Option<&mut Wanted> {
        match &mut self.process_mut()?.standing {
            Standing::Serving { wanted } => wanted.as_mut(),
            _ => None,
        }
    }
}

/// What is in a slot.
#[derive(Debug)]
pub enum State {
    /// Nobody, until a successor needs it.
    Spare,
    /// One of the group's processes is due at this time.
    Waiting {
        /// The time.
        until: Instant,
    },
    /// A process that a zygote was told to fork.
    Forking(Forking),
    /// A process.
    Running(Process),
    /// Nobody, and there will be nobody: the group drains.
    Over,
}

/// A process that was started and has not ended, as far as is known.
#[derive(Debug)]
pub struct Process {
    /// Its id, which is its until it is reaped.
    pub pid: i32,
    /// When it was started.
    pub since: Instant,
    /// Its code was loaded after this time: its own start, or that of the zygote it is forked from.
    pub code_since: Instant,
    /// The way to it, as long as it is listened to.
    pub channel: Option<Channel>,
    /// What it is there for.
    pub standing: Standing,
    /// How far it is.
    pub progress: Progress,
    /// What it has said that it has loaded.
    pub loaded: LoadedScripts,
}

impl Process {
    /// The successor that it wants and does not have yet.
    pub fn wanted(&self) -> Option<&Wanted> {
        match &self.standing {
            Standing::Serving { wanted } => wanted.as_ref(),
            _ => None,
        }
    }
}

/// How far a process is that was started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// It takes requests.
    pub ready: bool,
    /// When it has to, or loses its chance; `None`: any time, or it does.
    pub ready_by: Option<Instant>,
    /// It was given a list of scripts to load and has not said that it has loaded them.
    pub inherits: bool,
}

/// What a process is there for.
#[derive(Debug)]
pub enum Standing {
    /// It is one of the group's processes.
    Serving {
        /// It wants to be replaced.
        wanted: Option<Wanted>,
    },
    /// It loads what the process in another slot has loaded, to take its place.
    Successor {
        /// That slot.
        of: usize,
    },
    /// It was told to end, as its successor serves.
    Retired {
        /// When it is killed.
        by: Option<Instant>,
    },
}

/// A successor that is wanted.
#[derive(Debug)]
pub struct Wanted {
    /// When it may be started.
    pub due: Instant,
    /// The process takes no requests until it is answered.
    pub paused: bool,
    /// Why it is to be replaced.
    pub cause: String,
    /// Grows with every successor that fails.
    pub retry: Backoff,
}
