//! The monitor as a daemon sees it: a socket over which it reports and is told what to do.
//!
//! A thread of the test process listens, and gives the answer that the test has chosen.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use wsgi_unix::packet;
use wsgi_unix::socket::{self, Wait};
use wsgi_wire::supervision::{LoadedScripts, MAX_PACKET, Order, Report, SuccessorWanted};

/// What has been said, and what is to be answered.
#[derive(Default)]
struct State {
    reports: Vec<Report>,
    answer: Option<Order>,
}

/// The monitor's end of a daemon's channel.
pub struct Monitor {
    socket: Arc<OwnedFd>,
    state: Arc<Mutex<State>>,
}

impl Monitor {
    /// A monitor that answers this to a daemon that wants a successor.
    pub fn new(socket: OwnedFd, answer: Option<Order>) -> Monitor {
        let state = State {
            answer,
            ..State::default()
        };
        let monitor = Monitor {
            socket: Arc::new(socket),
            state: Arc::new(Mutex::new(state)),
        };
        let (socket, state) = (Arc::clone(&monitor.socket), Arc::clone(&monitor.state));
        thread::spawn(move || listen(&socket, &state));
        monitor
    }

    /// Tells the daemon something of its own accord.
    pub fn tell(&self, order: Order) {
        packet::send(self.socket.as_fd(), &order.to_bytes()).expect("the daemon listens");
    }

    /// Whether the daemon has said that it is ready.
    pub fn heard_ready(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reports.contains(&Report::Ready)
    }

    /// Why the daemon cannot be forked, if it has said so.
    pub fn cannot_fork(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reports.iter().find_map(|report| match report {
            Report::CannotFork(why) => Some(String::from_utf8_lossy(why).into_owned()),
            _ => None,
        })
    }

    /// Everything it has said so far.
    pub fn reports(&self) -> Vec<Report> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reports.clone()
    }

    /// What the daemon has said last that it has loaded.
    pub fn loaded(&self) -> LoadedScripts {
        let said = self.reports().into_iter().rev();
        let mut lists = said.filter_map(|report| match report {
            Report::Loaded(list) => Some(list),
            _ => None,
        });
        lists.next().unwrap_or_default()
    }

    /// What the daemon has asked for so far.
    pub fn wanted(&self) -> Vec<SuccessorWanted> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = state.reports.iter().filter_map(|report| match report {
            Report::SuccessorWanted(wanted) => Some(wanted.clone()),
            _ => None,
        });
        wanted.collect()
    }
}

fn listen(socket: &OwnedFd, state: &Mutex<State>) {
    let mut room = vec![0; MAX_PACKET];
    while let Ok(length @ 1..) = socket::receive(socket.as_fd(), &mut room, Wait::Yes) {
        let report = Report::from_bytes(&room[..length]).expect("a report");
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = matches!(report, Report::SuccessorWanted(_));
        state.reports.push(report);
        if let Some(answer) = state.answer.filter(|_| wanted) {
            // A daemon that has ended by itself hears nothing.
            let _ = packet::send(socket.as_fd(), &answer.to_bytes());
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // The thread may still hold the socket: its end is what the daemon sees.
        if let Ok(socket) = self.socket.try_clone() {
            let _ = UnixStream::from(socket).shutdown(std::net::Shutdown::Both);
        }
    }
}
