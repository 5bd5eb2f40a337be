//! `request-timeout`, `interrupt-timeout` and `deadlock-timeout`: what clients of requests that do
//! not end get, what the log tells, and which processes are replaced.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::serving;

fn stuck(options: &str) -> Server {
    serving(Mode::Daemon, "stuck")
        .daemon(&format!("threads=2 {options}"))
        .start()
}

fn reasons(server: &Server) -> String {
    fs::read_to_string(server.state("reasons")).unwrap_or_default()
}

/// Until the next process serves, requests wait in the queue.
fn replaced(server: &Server, before: &str, reason: &str) {
    assert_ne!(server.text("/"), before);
    wait::until_true(reason, || reasons(server).contains(reason));
}

#[test]
fn a_stuck_request_is_504_and_the_next_is_answered_by_another_process() {
    if only_ours("it answers 502, and multiplies the time by 1 + ln(threads)") {
        return;
    }
    for (path, line) in [("/loops", "in loops"), ("/sleeps", "in sleeps")] {
        let mut server = stuck("request-timeout=1 shutdown-timeout=1");
        server.expect_log("request-timeout=1");
        server.allow_log("");
        let before = server.text("/");
        assert_eq!(server.get(path).status(), 504);
        let logged = server.wait_for_log(&format!("GET {path} has run"));
        assert!(logged.contains("[client "), "in its context: {logged}");
        server.wait_for_log(line);
        replaced(&server, &before, "request_timeout");
    }
}

#[test]
fn interrupted_requests_are_504_and_their_process_stays() {
    let server = stuck("request-timeout=1 interrupt-timeout=10");
    let before = server.text("/");
    for path in ["/loops", "/naps"] {
        assert_eq!(server.get(path).status(), 504, "{path}");
    }
    server.wait_for_log("Injected RequestTimeout into thread");
    server.wait_for_log("Request interrupted by RequestTimeout; thread recovered");
    assert_eq!(server.text("/catches"), "caught");
    assert_eq!(server.text("/"), before);
}

#[test]
fn a_request_that_cannot_be_interrupted_is_504_and_ends_its_process() {
    if only_ours("it answers 502") {
        return;
    }
    let mut server = stuck("request-timeout=1 interrupt-timeout=1 shutdown-timeout=1");
    server.expect_log("request-timeout=1");
    server.allow_log("");
    let before = server.text("/");
    assert_eq!(server.get("/waits").status(), 504);
    replaced(&server, &before, "request_timeout");
}

#[test]
fn a_slow_client_gets_504_and_ends_no_process() {
    if only_ours("there it ends the process") {
        return;
    }
    let server = stuck("request-timeout=1");
    let before = server.text("/");
    let mut slow = server.connect();
    let request = Request::new("POST", "/reads").header("Content-Length", "100");
    slow.write(&request.head()).expect("sent");
    slow.write(b"only this").expect("sent");
    wait::until_true("the application reads", || {
        server.state("running-reads").exists()
    });
    // The child still waits for the client; what it has then to say is that the time is over.
    server.wait_for_log("is interrupted");
    slow.write(&[b'x'; 91]).expect("sent");
    let answer = slow.response(false).expect("an answer");
    assert_eq!(answer.status(), 504);
    assert_eq!(server.text("/"), before);
}

#[test]
fn a_lock_of_python_that_is_never_given_back_ends_the_process() {
    if only_ours("it answers 502") {
        return;
    }
    let mut server = stuck("deadlock-timeout=1 shutdown-timeout=1");
    server.expect_log("deadlock-timeout=1");
    server.allow_log("");
    let before = server.text("/");
    assert_eq!(server.get("/holds").status(), 504);
    server.wait_for_log("in holds");
    assert_ne!(server.text("/"), before);
}
