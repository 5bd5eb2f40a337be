//! How a daemon is followed by another without a gap: it asks the monitor for a successor, goes on
//! serving, and ends once the monitor says that the successor does.
//!
//! Runs on the main thread, without the GIL, and never waits for the monitor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use wsgi_unix::log::{self, Level};
use wsgi_unix::packet::{self, Received};
use wsgi_unix::usage;
use wsgi_wire::launch::UNLOADABLE_STATUS;
use wsgi_wire::supervision::{Order, Report, SCRIPT_RELOAD, SuccessorWanted};

use super::control::{Control, EVICTION};
use super::service::Loading;
use crate::policy::Replacement;

/// Room for an order, bytes; a longer packet is none.
const ORDER_ROOM: usize = 16;

/// The time between two lists of what is loaded, unless a successor needs one.
const LISTS: Duration = Duration::from_millis(500);

/// The socket to the monitor.
pub(super) struct Monitor {
    socket: OwnedFd,
    lost: bool,
}

impl Monitor {
    /// The monitor at the other end of this socket.
    pub(super) fn new(socket: OwnedFd) -> Monitor {
        Monitor {
            socket,
            lost: false,
        }
    }

    /// Whether the monitor is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Takes the next order; `None` when there is none for now, or never again.
    pub(super) fn order(&mut self) -> Option<Order> {
        let mut room = [0; ORDER_ROOM];
        let order = match packet::receive(self.socket.as_fd(), &mut room) {
            Ok(Received::Nothing) => return None,
            Ok(Received::Packet(packet)) => Order::from_bytes(packet).ok(),
            Ok(Received::End) | Err(_) => None,
        };
        // A monitor that cannot be understood is as good as gone.
        self.lost |= order.is_none();
        order
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        packet::send(self.socket.as_fd(), &report.to_bytes())
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a process stands with its monitor.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// How the load of the scripts ended was told.
    loading_told: bool,
    /// When the monitor may be told again which scripts are loaded; `None`: it was not told yet.
    next_list: Option<Instant>,
    /// Why a successor is wanted, once one is.
    wanted: Option<&'static str>,
    /// No request starts until the monitor has answered.
    paused: bool,
}

impl Succession {
    /// Whether a successor is wanted.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }
}

impl Control {
    /// Tells the monitor how the load of the scripts has ended.
    pub(super) fn notice_loading(&mut self) {
        let Some(loading) = self.service.loading() else {
            return;
        };
        if std::mem::replace(&mut self.succession.loading_told, true) {
            return;
        }
        match loading {
            // A monitor that does not hear it is gone, which is noticed elsewhere.
            Loading::Ready => {
                drop(self.watch.monitor.report(&Report::Ready));
                self.tell_memory();
                if let Some(cause) = self.succession.wanted {
                    self.tell_wish(cause);
                }
            }
            Loading::Failed => self.stop(
                UNLOADABLE_STATUS,
                "shutdown_signal",
                "what others of the group have loaded cannot be loaded: stopping",
            ),
        }
    }

    /// Tells what the process takes when it begins, which is what another one of its kind would cost.
    fn tell_memory(&self) {
        if !log::enabled(Level::Info) {
            return;
        }
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let owned = usage::owned_bytes();
        let (proportional, private) = (megabytes(owned.proportional), megabytes(owned.private));
        log::line(
            Level::Info,
            format_args!(
                "process group {}: {proportional:.1} MB of memory (PSS), {private:.1} MB of it shared \
                 with no other process",
                self.group()
            ),
        );
    }

    /// Does what the monitor says, or what its end means.
    pub(super) fn notice_monitor(&mut self) {
        while !self.watch.monitor.is_lost()
            && let Some(order) = self.watch.monitor.order()
        {
            match order {
                Order::Retire if self.ending.is_none() => {
                    let cause = self.succession.wanted.unwrap_or("shutdown_signal");
                    let time = match cause {
                        EVICTION => self.config.settings.eviction_timeout,
                        _ => self.config.settings.graceful_timeout,
                    };
                    let reason = "the successor is ready: finishing the running requests";
                    self.replace_within(time, cause, reason);
                }
                Order::Resume if self.ending.is_none() => self.resume(),
                // Only zygotes are told to fork, and they do not come here.
                Order::Retire | Order::Resume | Order::Fork => {}
            }
        }
        if self.watch.monitor.is_lost() && self.ending.is_none() {
            self.replace(
                "shutdown_signal",
                "the monitor is gone: finishing the running requests",
            );
        }
    }

    /// There is no successor yet, so what this process has is better than nothing.
    fn resume(&mut self) {
        if std::mem::replace(&mut self.succession.paused, false) {
            log::line(
                Level::Info,
                format_args!("there is no successor yet: serving with the code that is loaded"),
            );
            self.service.resume();
        }
    }

    /// Sees to changed code. A request that found it waits for the successor, or has got the old.
    pub(super) fn notice_replacement(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let reason = "the application's script changed or failed to load: to be replaced";
        if self.service.take_replacement() {
            self.service.pause();
            self.succession.paused = true;
            self.ask_for_successor(SCRIPT_RELOAD, reason);
        } else if self.service.take_noticed_change() {
            self.ask_for_successor(SCRIPT_RELOAD, reason);
        }
    }

    /// Has the process replaced for a reason that can wait until a successor is ready. Such reasons
    /// come up once, and the first that does is the one that counts: the monitor tries for as long as
    /// it takes.
    pub(super) fn recycle(&mut self, cause: &'static str, reason: &str) {
        if self.ending.is_none() && !self.succession.is_wanted() {
            self.ask_for_successor(cause, reason);
        }
    }

    /// Has the process replaced for a reason that cannot wait: from now on it only finishes requests,
    /// and its successor is started beside it.
    pub(super) fn supersede(&mut self, cause: &'static str, reason: &str) {
        if self.ending.is_none() {
            self.succession.paused = true;
            self.ask_for_successor(cause, reason);
        }
        self.replace(cause, "finishing the requests that can be finished");
    }

    /// A process that was not said to be ready yet may be a successor itself, and cannot have one
    /// before it has taken its predecessor's place.
    fn ask_for_successor(&mut self, cause: &'static str, reason: &str) {
        log::line(Level::Info, format_args!("{reason}"));
        self.succession.wanted = Some(cause);
        if self.succession.loading_told {
            self.tell_wish(cause);
        }
    }

    fn tell_wish(&mut self, cause: &'static str) {
        self.tell_list();
        let report = Report::SuccessorWanted(SuccessorWanted {
            paused: self.succession.paused,
            cause: cause.as_bytes().to_vec(),
        });
        if self.watch.monitor.report(&report).is_err() {
            // Without a monitor that listens the old way is left: an end, and then another start.
            self.replace(
                cause,
                "the monitor cannot be told: finishing the running requests",
            );
        }
    }

    /// When the monitor is next to be told which scripts are loaded.
    pub(super) fn list_due(&self) -> Option<Instant> {
        if !self.has_news() {
            return None;
        }
        Some(self.succession.next_list.unwrap_or_else(Instant::now))
    }

    /// Whether the monitor does not know yet which scripts are loaded. As long as some are to be loaded
    /// because others of the group have, there is no list: it says that all of them are.
    fn has_news(&self) -> bool {
        let loaded = |replacement: &Replacement| replacement.has_loaded();
        let news = self.succession.next_list.is_none()
            || self.service.host.replacement().is_some_and(loaded);
        news && self.succession.loading_told && self.service.inherited()
    }

    /// Tells the monitor which scripts are loaded, if it does not know.
    pub(super) fn tell_list(&mut self) {
        if !self.has_news() {
            return;
        }
        if let Some(replacement) = self.service.host.replacement() {
            // What is loaded from now on is told the next time.
            replacement.take_loaded();
        }
        let list = self.service.host.loaded_scripts();
        // The first list with something in it does not wait.
        let pause = match list.scripts.0.is_empty() {
            true => Duration::ZERO,
            false => LISTS,
        };
        self.succession.next_list = Some(Instant::now() + pause);
        // A monitor that does not hear it is gone, which is noticed elsewhere.
        drop(self.watch.monitor.report(&Report::Loaded(list)));
    }
}
