//! How scripts are loaded in this process, and what becomes of a request that meets one which has
//! changed since.
//!
//! Used by request threads, without the GIL and without a lock; the main thread of a daemon is woken
//! for what it has to tell the monitor, and says when waiting for another process has become
//! pointless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;
use wsgi_unix::epoll::Wake;

/// How scripts are loaded in this process.
#[derive(Debug)]
pub enum Policy {
    /// A process that can be replaced: never loads a script twice, since a failed or outdated import
    /// leaves its traces all over the interpreter.
    Daemon(Replacement),
    /// An Apache child: loads a changed script again, into a new module.
    Embedded,
}

/// What a daemon does about code that has changed.
#[derive(Debug)]
pub struct Replacement {
    /// Others of the group serve what has changed already or will soon: meanwhile requests get the
    /// old code, and none waits for an import.
    rolling: bool,
    /// There is no successor yet, and requests do not wait for it: they get what there is.
    keeping: AtomicBool,
    /// A change was noticed that no request waits for.
    noticed: AtomicBool,
    /// A script was loaded.
    loaded: AtomicBool,
    /// Wakes the main thread, once there is one that waits.
    main: OnceCell<Arc<Wake>>,
}

impl Replacement {
    /// That of a process in a group of so many.
    pub fn among(processes: u32) -> Replacement {
        Replacement {
            rolling: processes > 1,
            keeping: AtomicBool::new(false),
            noticed: AtomicBool::new(false),
            loaded: AtomicBool::new(false),
            main: OnceCell::new(),
        }
    }

    /// Has this woken from now on whenever something happens that the main thread asks for here.
    pub fn report_to(&self, main: Arc<Wake>) {
        // There is one main thread.
        let _ = self.main.set(main);
    }

    fn report(&self, what: &AtomicBool) {
        what.store(true, Ordering::Release);
        if let Some(main) = self.main.get() {
            main.wake();
        }
    }

    /// Whether a request whose script has changed is for another process; `anew` tells that this
    /// change was not seen before.
    pub fn takes_changed(&self, anew: bool) -> bool {
        if !self.rolling {
            return self.takes_failed(anew);
        }
        if anew {
            self.report(&self.noticed);
        }
        false
    }

    /// The same of a request whose script could not be loaded.
    pub fn takes_failed(&self, anew: bool) -> bool {
        if anew {
            self.keeping.store(false, Ordering::Relaxed);
        }
        !self.keeping.load(Ordering::Relaxed)
    }

    /// Says whether requests get what there is from now on.
    pub fn keep(&self, keeping: bool) {
        self.keeping.store(keeping, Ordering::Relaxed);
    }

    /// Whether there is a change that no request waits for; the next answer is about later ones.
    pub fn take_noticed(&self) -> bool {
        self.noticed.swap(false, Ordering::Acquire)
    }

    /// Notes that a script was loaded.
    pub fn note_loaded(&self) {
        self.report(&self.loaded);
    }

    /// Whether a script was loaded and nobody has asked for the list since.
    pub fn has_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    /// The same; the next answer is about later ones.
    pub fn take_loaded(&self) -> bool {
        self.loaded.swap(false, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_for_new_code_until_there_is_no_point_in_it() {
        let alone = Replacement::among(1);
        assert!(alone.takes_changed(true));
        assert!(alone.takes_changed(false));
        alone.keep(true);
        assert!(!alone.takes_changed(false));
        assert!(alone.takes_changed(true));
        assert!(!alone.take_noticed());
    }

    #[test]
    fn among_several_only_requests_without_any_code_wait() {
        let one = Replacement::among(2);
        assert!(!one.takes_changed(true));
        assert!(!one.takes_changed(false));
        assert!(one.take_noticed());
        assert!(!one.take_noticed());
        assert!(one.takes_failed(false));
        one.keep(true);
        assert!(!one.takes_failed(false));
        assert!(one.takes_failed(true));
    }
}
