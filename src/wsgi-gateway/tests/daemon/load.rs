//! Many connections at once, while processes come and go: what Apache's children count on when
//! they give a request that was not started to another process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::harness::{Child, Daemon, Message, Request, Setup, newest_python, wait_until};
use super::script;

/// How many connections are used at once: more than the daemon has threads.
const CONNECTIONS: u32 = 16;

/// Requests of all connections, counted by how they ended.
#[derive(Default)]
struct Tally {
    answered: AtomicU32,
    lost: AtomicU32,
    over: AtomicBool,
}

impl Tally {
    /// Sends requests, one after the other, until the test is over. A request that was not started
    /// is sent again, on a new connection.
    fn run(&self, connect: impl Fn() -> Child) {
        let mut child = connect();
        while !self.over.load(Ordering::Relaxed) {
            match child.ask(&Request::get("/hello")).end {
                Some(Message::End) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
                Some(Message::Busy | Message::Retry | Message::Reset) => child = connect(),
                Some(Message::Closed) => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    child = connect();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until("requests are answered", || {
            self.answered.load(Ordering::Relaxed) >= before + 10 * CONNECTIONS
        });
    }
}

/// Ends the load even when the events of a test end by a panic.
struct Whistle<'t>(&'t Tally);

impl Drop for Whistle<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Lets a script of events happen to a daemon under load.
fn under_load(events: impl FnOnce(Daemon, &Tally) -> Daemon) -> Tally {
    let tally = Tally::default();
    let daemon = Setup::new(newest_python(), &script("")).threads(3).start();
    let connect = daemon.connector();
    let _last = thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| tally.run(&connect));
        }
        let _whistle = Whistle(&tally);
        tally.wait_for_more();
        let last = events(daemon, &tally);
        tally.wait_for_more();
        // It is not dropped before: the last process answers what is still under way.
        last
    });
    tally
}

#[test]
fn more_connections_than_threads_are_all_answered() {
    let tally = under_load(|daemon, _| daemon);
    assert_eq!(tally.lost.into_inner(), 0);
}

#[test]
fn replacing_processes_loses_no_request() {
    let tally = under_load(|mut daemon, tally| {
        for signal in [libc::SIGUSR1, libc::SIGTERM].repeat(5) {
            let successor = daemon.successor();
            wait_until("the successor serves", || successor.threads() > 0);
            daemon.signal(signal);
            daemon.ended();
            daemon = successor;
            tally.wait_for_more();
        }
        daemon
    });
    assert_eq!(tally.lost.into_inner(), 0);
}

#[test]
fn killing_processes_loses_started_requests_only() {
    let kills = 10;
    let tally = under_load(|mut daemon, tally| {
        for _ in 0..kills {
            let successor = daemon.successor();
            wait_until("the successor serves", || successor.threads() > 0);
            daemon.signal(libc::SIGKILL);
            daemon.ended();
            daemon = successor;
            tally.wait_for_more();
        }
        daemon
    });
    // Three threads run at most three requests.
    assert!(tally.lost.into_inner() <= kills * 3);
}
