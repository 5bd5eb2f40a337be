//! Requests that wait for a thread: how long they may, what becomes of those that waited too long, and
//! how a group that is asked too much says so early.

use std::fs;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Builder, Mode, Request, Response, Server, wait};

use crate::support::serving;

/// `/held` marks its start and waits for the file `gate`; anything else counts itself in `ran`.
const COUNTED: &str = r#"
import os
import time


def application(environ, start_response):
    state = environ["TEST_STATE"]
    if environ["PATH_INFO"] == "/held":
        open(os.path.join(state, "waiting"), "w").close()
        while not os.path.exists(os.path.join(state, "gate")):
            time.sleep(0.005)
    else:
        with open(os.path.join(state, "ran"), "a") as ran:
            ran.write(environ["PATH_INFO"] + "\n")
        time.sleep(float(environ["QUERY_STRING"] or "0"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"#;

fn counted(options: &str) -> Builder {
    serving(Mode::Daemon, "counted")
        .file("apps/counted/app.wsgi", COUNTED)
        .daemon(options)
}

/// A server all of whose threads are held, and the connection that holds them.
fn occupied(options: &str) -> (Server, wsgi_tests::Connection) {
    let server = counted(options).start();
    let mut holding = server.connect();
    holding.write(&Request::get("/held").head()).expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    (server, holding)
}

fn timed(server: &Server, target: &str) -> (Response, Duration) {
    let begun = Instant::now();
    let response = server.get(target);
    (response, begun.elapsed())
}

#[test]
fn a_request_that_waits_too_long_for_a_thread_is_a_504_and_never_runs() {
    if only_ours("the age is looked at when a thread is free, however late that is") {
        return;
    }
    let (mut server, mut holding) = occupied("processes=1 threads=1 queue-timeout=1");
    server.expect_log("queue-timeout");
    let (response, waited) = timed(&server, "/late");
    assert_eq!(response.status(), 504);
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    fs::write(server.state("gate"), "").expect("ours");
    assert_eq!(holding.response(false).expect("an answer").status(), 200);
    assert_eq!(server.get("/later").status(), 200);
    let ran = fs::read_to_string(server.state("ran")).expect("a request ran");
    assert_eq!(ran, "/later\n");
}

#[test]
fn a_slow_request_that_has_a_thread_is_not_cut_by_queue_timeout() {
    let server = counted("processes=1 threads=1 queue-timeout=1").start();
    assert_eq!(server.get("/first?2.5").status(), 200);
    // The second time on a connection between Apache and its daemon that was used before.
    assert_eq!(server.get("/second?2.5").status(), 200);
}

#[test]
fn a_request_waits_for_a_slow_load_whatever_queue_timeout_says() {
    let server = serving(Mode::Daemon, "loads")
        .file(
            "apps/loads/app.wsgi",
            &format!("import time\n\ntime.sleep(2.5)\n{COUNTED}"),
        )
        .daemon("processes=1 threads=1 queue-timeout=1")
        .start();
    assert_eq!(server.get("/first").status(), 200);
}

#[test]
fn load_that_a_group_cannot_bear_is_refused_early() {
    if only_ours("every request waits for its time-out") {
        return;
    }
    let mut server = counted("processes=1 threads=1 queue-timeout=2")
        .sizes(
            "StartServers 1\nServerLimit 1\nThreadLimit 64\nThreadsPerChild 64\n\
             MaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64",
        )
        .start();
    server.expect_log("is overloaded");
    server.allow_log("queue-timeout");
    server.expect_log("more requests that would have waited for too long");
    for _ in 0..2 {
        assert_eq!(server.get("/known?0.5").status(), 200);
    }
    let together = Barrier::new(20);
    let answers: Vec<(Response, Duration)> = thread::scope(|scope| {
        let client = || {
            together.wait();
            timed(&server, "/load?0.5")
        };
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(client)).collect();
        let joined = clients.into_iter();
        joined
            .map(|client| client.join().expect("no panic"))
            .collect()
    });
    let with = |status| {
        answers
            .iter()
            .filter(move |(answer, _)| answer.status() == status)
    };
    let refused = with(503).count();
    assert!(refused >= 12, "{refused} of {}", answers.len());
    assert!(with(200).count() >= 1);
    let quick = with(503)
        .filter(|(_, took)| *took < Duration::from_secs(1))
        .count();
    assert!(
        quick * 10 >= refused * 9,
        "{quick} of {refused} refusals were quick"
    );
    for (answer, _) in with(503) {
        let seconds: u32 = answer
            .header("Retry-After")
            .expect("a time")
            .parse()
            .expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // The queue is empty again, and whoever comes now is served.
    assert_eq!(server.get("/calm").status(), 200);
    told_together(&server, answers.len() - with(200).count());
}

/// Checks that the log tells of so many refusals with few lines: one at once, the others counted.
#[track_caller]
fn told_together(server: &Server, refused: usize) {
    let count = |line: &String, before: &str| {
        let (_, rest) = line.split_once(before)?;
        rest.split(' ').next()?.parse::<usize>().ok()
    };
    wait::until_true("all are told of", || {
        assert_eq!(server.get("/calm").status(), 200);
        let mut lines = server.log().lines_with("is overloaded");
        lines.extend(server.log().lines_with("came free within queue-timeout"));
        let later = server.log().lines_with("has refused");
        assert!(
            2 * (lines.len() + later.len()) < refused,
            "{lines:?} {later:?}"
        );
        let others = lines
            .iter()
            .filter_map(|line| count(line, "left of queue-timeout; "));
        let later = later.iter().filter_map(|line| count(line, "has refused "));
        lines.len() + others.sum::<usize>() + later.sum::<usize>() == refused
    });
}

#[test]
fn without_queue_timeout_nothing_is_refused_for_the_length_of_the_queue() {
    let server = counted("processes=1 threads=1").start();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| server.get("/load?0.3").status()))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .collect()
    });
    assert_eq!(statuses, [200; 10]);
}
