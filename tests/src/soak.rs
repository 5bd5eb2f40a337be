//! The soak: a server under mixed load while it is disturbed, and what that left behind.
//!
//! Runs in the test process. In each cycle a daemon is killed, a request hangs, an application
//! leaks until its processes are replaced, and the server restarts gracefully. A request may be
//! lost only if its code had started in a process that was killed, and nothing may grow.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::client::Request;
use crate::configuration::Mode;
use crate::load::{Failed, Load};
use crate::process::Process;
use crate::server::Server;
use crate::wait;

/// Two children whatever the load is, so that what they hold can be compared.
const SIZES: &str = "StartServers 2\nServerLimit 8\nThreadLimit 32\nThreadsPerChild 32\n\
                     MaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64";

/// The groups: one whose daemons are killed, one that hangs, one that leaks.
const GROUPS: [(&str, &str); 3] = [
    ("killed", "processes=2 threads=4"),
    (
        "stuck",
        "processes=1 threads=4 request-timeout=2 graceful-timeout=5",
    ),
    ("leaking", "processes=2 threads=4 recycle-memory=40M"),
];

/// What the memory of a process that lives on may grow by in one cycle, KiB. httpd's parent loads
/// its modules anew at each restart, and its allocator keeps some of that.
const GROWTH: u64 = 512;

/// How long the old generation may take to go.
const SETTLING: Duration = Duration::from_secs(60);

/// What the soak saw.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Requests that were answered with a whole 200.
    pub succeeded: u64,
    /// Requests that had started in a process that was killed.
    pub killed: u64,
    /// What must not have happened, in words.
    pub complaints: Vec<String>,
    /// The state after the first cycle and after the last.
    pub states: Option<(State, State)>,
}

/// What the server's lasting processes hold at a quiet moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// How many processes there are of each kind.
    pub processes: BTreeMap<&'static str, usize>,
    /// The most descriptors a process of each kind has open.
    pub descriptors: BTreeMap<&'static str, usize>,
    /// The largest proportional set size of each kind, KiB.
    pub memory: BTreeMap<&'static str, u64>,
    /// Sockets in the server's run directory.
    pub sockets: usize,
}

/// Runs cycles of at least this length until `total` has passed; tells of each.
pub fn run(total: Duration, cycle: Duration, mut tell: impl FnMut(&str)) -> Verdict {
    let mut server = start();
    let loads = loads(&server);
    let begin = Instant::now();
    let mut states = Vec::new();
    let mut verdict = Verdict::default();
    while states.len() < 2 || begin.elapsed() < total {
        let number = states.len() + 1;
        let end = Instant::now() + cycle;
        disturb(&mut server, number, &mut verdict.complaints);
        let left = end.saturating_duration_since(Instant::now());
        wait::within(left, || None::<()>);
        server.graceful();
        let state = settled(&server, number, &mut verdict.complaints);
        tell(&format!("cycle {number}: {state:?}"));
        states.push(state);
    }
    let marks = fs::read(server.state("soak")).unwrap_or_default();
    for (name, load) in loads {
        let report = load.finish();
        verdict.succeeded += report.succeeded;
        for failed in report.failed {
            judge(name, &failed, &marks, &mut verdict);
        }
    }
    compare(&states, &mut verdict);
    verdict.states = states.first().cloned().zip(states.last().cloned());
    server.stop();
    verdict
}

fn start() -> Server {
    let mut builder = Server::builder(Mode::Embedded)
        .sizes(SIZES)
        .directive("WSGIScriptAlias /embedded @APPS@/hello/app.wsgi")
        .alone();
    for (group, options) in GROUPS {
        builder = builder.directive(&format!(
            "WSGIDaemonProcess {group} {options} display-name=%{{GROUP}}\n\
             WSGIScriptAlias /{group} @APPS@/soak/app.wsgi process-group={group} \
             application-group=%{{GLOBAL}}"
        ));
    }
    let mut server = builder.start();
    for expected in [
        "latest call first",
        "threading.py",
        "killed",
        "stuck",
        "leaking",
        "request-timeout",
        "soak/app.wsgi",
    ] {
        server.allow_log(expected);
    }
    server
}

/// The load on each path. The requests of a path that marks them have numbers of their own.
fn loads(server: &Server) -> Vec<(&'static str, Load)> {
    let address = server.address();
    let get = |path: &'static str, offset: u64, connections| {
        let make = move |id| Request::get(&format!("{path}?id={}", offset + id));
        (path, Load::of_requests(address, connections, make))
    };
    let echo = |id| Request::post(&format!("/killed/echo?id={}", id), vec![b'e'; 20_000]);
    vec![
        ("/killed/echo", Load::of_requests(address, 4, echo)),
        get("/killed/stream", 1 << 24, 2),
        get("/killed/file", 2 << 24, 2),
        get("/stuck/file", 3 << 24, 2),
        get("/leaking/leak", 0, 1),
        get("/embedded", 0, 2),
    ]
}

/// Kills a daemon, and lets a request hang until its process is replaced.
fn disturb(server: &mut Server, number: usize, complaints: &mut Vec<String>) {
    let of_killed = |server: &Server| -> Vec<Process> {
        let all = server.daemons().into_iter();
        all.filter(|daemon| daemon.command_line.starts_with(b"(wsgi:killed)"))
            .collect()
    };
    let victim = wait::until("a daemon to kill", || of_killed(server).into_iter().next());
    victim.signal(libc::SIGKILL);
    server.allow_log(&victim.pid.to_string());
    let target = format!("/stuck/hang?id={}", (4 << 24) - number);
    let mut hanging = server.connect();
    let answer = hanging.roundtrip(&Request::get(&target));
    match answer {
        Ok(response) if response.status() == 504 => {}
        other => complaints.push(format!("the hanging request of cycle {number}: {other:?}")),
    }
    wait::until_true("two daemons again", || of_killed(server).len() == 2);
}

/// Counts a failed request as killed with its process, or complains.
fn judge(path: &str, failed: &Failed, marks: &[u8], verdict: &mut Verdict) {
    let offset = match path {
        "/killed/echo" => 0,
        "/killed/stream" => 1 << 24,
        "/killed/file" => 2 << 24,
        _ => return verdict.complaints.push(format!("{path}: {failed:?}")),
    };
    let at = usize::try_from(offset + failed.id).unwrap_or(usize::MAX);
    let started = marks
        .get(at % marks.len().max(1))
        .is_some_and(|mark| *mark == 1);
    if started
        && failed
            .status
            .is_none_or(|status| status == 502 || status == 200)
    {
        verdict.killed += 1;
    } else {
        verdict
            .complaints
            .push(format!("{path}: {failed:?}, started: {started}"));
    }
}

/// Waits for the old generation's end and looks around.
fn settled(server: &Server, number: usize, complaints: &mut Vec<String>) -> State {
    let calm = || {
        let state = state(server);
        let wanted = state.processes.get("monitor") == Some(&1)
            && state.processes.get("child") == Some(&2)
            && state.processes.get("daemon") == Some(&5);
        wanted.then_some(state)
    };
    wait::within(SETTLING, calm).unwrap_or_else(|| {
        let state = state(server);
        complaints.push(format!(
            "cycle {number} left more than it began with: {state:?}"
        ));
        state
    })
}

fn state(server: &Server) -> State {
    let mut found = State {
        processes: BTreeMap::new(),
        descriptors: BTreeMap::new(),
        memory: BTreeMap::new(),
        sockets: 0,
    };
    for process in server.processes() {
        let kind = kind(server, &process);
        *found.processes.entry(kind).or_default() += 1;
        if kind != "daemon" {
            let open = process.descriptors();
            let most = found.descriptors.entry(kind).or_default();
            *most = open.max(*most);
            let most = found.memory.entry(kind).or_default();
            *most = process.memory().proportional.max(*most);
        }
    }
    let run = fs::read_dir(server.root().join("run"));
    found.sockets = run.into_iter().flatten().count();
    found
}

fn kind(server: &Server, process: &Process) -> &'static str {
    if process.pid == server.pid() {
        "parent"
    } else if process.is_python() {
        "daemon"
    } else if process.executable.ends_with("wsgi-monitor") {
        "monitor"
    } else {
        "child"
    }
}

/// Compares the state after the last cycle with that after the first, in which everything has
/// happened once.
fn compare(states: &[State], verdict: &mut Verdict) {
    let (Some(first), Some(last)) = (states.first(), states.last()) else {
        return;
    };
    let cycles = states.len() as u64 - 1;
    let mut complain = |what: String| verdict.complaints.push(what);
    if last.processes != first.processes || last.sockets > first.sockets {
        complain(format!("processes or sockets grew: {first:?} to {last:?}"));
    }
    for kind in ["parent", "monitor"] {
        let open = |state: &State| state.descriptors.get(kind).copied().unwrap_or(0);
        if open(last) > open(first) {
            complain(format!(
                "{kind}: descriptors {} to {}",
                open(first),
                open(last)
            ));
        }
        let memory = |state: &State| state.memory.get(kind).copied().unwrap_or(0);
        if memory(last) > memory(first) + GROWTH * cycles {
            complain(format!(
                "{kind}: memory {} to {} KiB",
                memory(first),
                memory(last)
            ));
        }
    }
}
