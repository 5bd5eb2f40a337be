//! Load by keep-alive connections, each on a thread of its own, with every request accounted for.
//!
//! The one failure that is nobody's: a server may close a kept-alive connection that is idle, and
//! the request that crosses this on the wire was never seen (RFC 9112 §9.3.1). It is told by a
//! reused connection that gave not one byte back, and tried again on a fresh one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Connection, Request, Response};
use crate::wait;

/// A request that was not answered with a whole 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The number the request carried as `?id=`.
    pub id: u64,
    /// The status, if there was one.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub why: String,
}

/// What became of all requests.
#[derive(Debug)]
pub struct Report {
    /// Requests that were answered with a whole 200.
    pub succeeded: u64,
    /// All others.
    pub failed: Vec<Failed>,
    /// How long the slowest answer took.
    pub slowest: Duration,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU64,
    succeeded: AtomicU64,
    failed: Mutex<Vec<Failed>>,
    /// Nanoseconds.
    slowest: AtomicU64,
}

/// Running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins to send GET requests for `path?id=<number>` on so many connections.
    pub fn start(address: SocketAddr, path: &str, connections: usize) -> Load {
        let path = path.to_owned();
        Load::of_requests(address, connections, move |id| {
            Request::get(&format!("{path}?id={id}"))
        })
    }

    /// Begins to send the requests that `make` makes of their numbers on so many connections.
    pub fn of_requests(
        address: SocketAddr,
        connections: usize,
        make: impl Fn(u64) -> Request + Send + Sync + 'static,
    ) -> Load {
        let make = Arc::new(make);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: Mutex::new(Vec::new()),
            slowest: AtomicU64::new(0),
        });
        let threads = (0..connections)
            .map(|_| {
                let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
                thread::spawn(move || send_all(&shared, address, &*make))
            })
            .collect();
        Load { shared, threads }
    }

    /// Waits until so many more requests have succeeded.
    #[track_caller]
    pub fn wait_for_more(&self, count: u64) {
        let goal = self.shared.succeeded.load(Ordering::Relaxed) + count;
        wait::until_true("the load goes on", || {
            self.shared.succeeded.load(Ordering::Relaxed) >= goal
        });
    }

    /// Ends the load once every connection has its answer.
    pub fn finish(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("the load's threads do not panic");
        }
        let failed = self
            .shared
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Report {
            succeeded: self.shared.succeeded.load(Ordering::Relaxed),
            failed: failed.clone(),
            slowest: Duration::from_nanos(self.shared.slowest.load(Ordering::Relaxed)),
        }
    }
}

fn send_all(shared: &Shared, address: SocketAddr, make: &impl Fn(u64) -> Request) {
    let mut kept = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answer = send_one(address, &mut kept, &make(id));
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shared.slowest.fetch_max(nanos, Ordering::Relaxed);
        match answer {
            Ok(response) if response.status() == 200 && response.whole => {
                shared.succeeded.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response) => {
                kept = None;
                let status = Some(response.status());
                let why = if response.whole {
                    "status"
                } else {
                    "cut short"
                };
                fail(shared, id, status, why.to_owned());
            }
            Err(error) => {
                kept = None;
                fail(shared, id, None, error.to_string());
            }
        }
    }
}

fn fail(shared: &Shared, id: u64, status: Option<u16>, why: String) {
    let mut failed = shared.failed.lock().unwrap_or_else(PoisonError::into_inner);
    failed.push(Failed { id, status, why });
}

fn send_one(
    address: SocketAddr,
    kept: &mut Option<Connection>,
    request: &Request,
) -> std::io::Result<Response> {
    if let Some(mut connection) = kept.take() {
        let before = connection.received();
        match connection.roundtrip(request) {
            Err(_) if connection.received() == before => {}
            other => return keep(other, connection, kept),
        }
    }
    let mut connection = Connection::open(address)?;
    let answer = connection.roundtrip(request);
    keep(answer, connection, kept)
}

fn keep(
    answer: std::io::Result<Response>,
    connection: Connection,
    kept: &mut Option<Connection>,
) -> std::io::Result<Response> {
    let closes = |response: &Response| {
        response
            .header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    };
    if let Ok(response) = &answer
        && response.whole
        && !closes(response)
    {
        *kept = Some(connection);
    }
    answer
}
