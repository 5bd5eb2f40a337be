//! What a group's processes have loaded, for those to load that are started beside them or after
//! they have died.
//!
//! Runs in the monitor's loop. A list comes from a process of the group and goes to processes of the
//! same group only; here nothing in it is opened or executed. It is forgotten with the group.

use std::time::{Duration, Instant};

use wsgi_unix::log::Level;
use wsgi_wire::launch::UNLOADABLE_STATUS;
use wsgi_wire::supervision::{Inheritance, LoadedScripts, Report};

use crate::channel::Heard;
use crate::group::{Group, REPORTS_AT_ONCE};
use crate::member::{Member, Process, Progress, Standing};
use crate::obituary::Obituary;
use crate::restart::Death;

/// What is remembered of processes that have ended.
#[derive(Debug, Default)]
pub struct Estate {
    /// What the last one had loaded that had loaded anything.
    left: LoadedScripts,
    /// A process died before it had loaded what it was given: the next one gets nothing, until a
    /// process tells that it has loaded something.
    doubted: bool,
}

impl Progress {
    /// That of a process that is started now with this to load.
    pub fn begun(inheritance: Option<&Inheritance>, timeout: Duration, now: Instant) -> Progress {
        let waited_for = inheritance.is_some_and(|inheritance| !inheritance.at_once);
        Progress {
            ready: false,
            ready_by: (waited_for && !timeout.is_zero()).then(|| now + timeout),
            inherits: inheritance.is_some(),
        }
    }
}

impl Process {
    /// Takes what it had loaded from what it has said and nobody has heard. The rest was about a
    /// process that lives.
    fn hear_last_list(&mut self, now: Instant) {
        let Some(channel) = &mut self.channel else {
            return;
        };
        for _ in 0..REPORTS_AT_ONCE {
            match channel.hear(now) {
                Ok(Heard::Report(Report::Loaded(loaded))) => {
                    self.loaded = loaded;
                    self.progress.inherits = false;
                }
                Ok(Heard::Report(_)) => {}
                Ok(Heard::Nothing | Heard::End) | Err(_) => return,
            }
        }
    }
}

impl Group {
    /// Notes what the process in this slot says that it has loaded.
    pub fn note_loaded(&mut self, slot: usize, loaded: LoadedScripts) {
        if let Some(process) = self.members[slot].process_mut() {
            self.estate.doubted &= loaded.scripts.0.is_empty() && !process.progress.inherits;
            process.progress.inherits = false;
            process.loaded = loaded;
        }
    }

    /// What the successor of the process in this slot has to load.
    pub fn loaded_by(&self, slot: usize) -> LoadedScripts {
        match self.members[slot].process() {
            Some(process) if !process.progress.inherits => process.loaded.clone(),
            _ => self.loaded(),
        }
    }

    /// What a process has to load that is to serve in this slot.
    ///
    /// Beside others it takes requests only once it has loaded what they have: until then they are
    /// quicker, and if it cannot, they do better. When there is nobody else, requests wait for it
    /// in any case, and it takes them at once.
    pub fn inheritance_for(&self, slot: usize) -> Option<Inheritance> {
        if self.estate.doubted {
            return None;
        }
        let serves = |process: &Process| {
            process.progress.ready && matches!(process.standing, Standing::Serving { .. })
        };
        let mut others = self.members.iter().enumerate();
        let accompanied =
            others.any(|(other, member)| other != slot && member.process().is_some_and(serves));
        let inheritance = Inheritance {
            at_once: !accompanied,
            loaded: self.loaded(),
        };
        (!inheritance.loaded.scripts.0.is_empty()).then_some(inheritance)
    }

    /// Whether a process that is added now would load what requests are about before it takes any.
    pub fn can_add_loaded(&self) -> bool {
        !self.estate.doubted && self.has_loaded()
    }

    /// Remembers what a process had loaded that has ended; where it stood.
    pub fn take_estate(
        &mut self,
        mut process: Process,
        death: Death,
        obituary: &Obituary,
        now: Instant,
    ) -> Standing {
        process.hear_last_list(now);
        if !process.loaded.scripts.0.is_empty() && !self.has_loaded() {
            self.estate.left = process.loaded;
        }
        let serves = matches!(process.standing, Standing::Serving { .. });
        // A script that raises an exception ends no process, so it keeps only those from serving that
        // have others beside them. What ends one would do so again and again.
        let fell = death == Death::Failed && !obituary.is_exit(UNLOADABLE_STATUS);
        if serves && process.progress.inherits && fell && !self.estate.doubted {
            self.estate.doubted = true;
            let text = format!(
                "process {} had not loaded yet what others of the group have loaded: the next one \
                 loads only what it is asked for",
                process.pid
            );
            self.log(Level::Warn, &text);
        }
        process.standing
    }

    fn has_loaded(&self) -> bool {
        let mut processes = self.members.iter().filter_map(Member::process);
        processes.any(|process| !process.loaded.scripts.0.is_empty())
    }

    /// What those that run have loaded, or did of whom none is left.
    fn loaded(&self) -> LoadedScripts {
        if !self.has_loaded() {
            return self.estate.left.clone();
        }
        let processes = self.members.iter().filter_map(Member::process);
        LoadedScripts::union(processes.map(|process| &process.loaded))
    }
}
