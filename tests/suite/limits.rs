//! Options that have processes replaced for what they have done: requests, time, a signal.

use std::collections::BTreeSet;
use std::fs;

use wsgi_tests::load::Load;
use wsgi_tests::{Mode, Request, Server, process, wait};

use crate::support::serving;

fn stuck(options: &str) -> Server {
    serving(Mode::Daemon, "stuck").daemon(options).start()
}

fn is_told(server: &Server, reason: &str) -> bool {
    fs::read_to_string(server.state("reasons")).is_ok_and(|told| told.contains(reason))
}

#[test]
fn processes_that_reach_maximum_requests_are_replaced_under_load_and_fail_nothing() {
    let server = serving(Mode::Daemon, "stuck")
        .daemon("processes=2 threads=4 maximum-requests=50+20")
        .start();
    let load = Load::start(server.address(), "/", 8);
    load.wait_for_more(500);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    let mut pids = BTreeSet::new();
    wait::until_true("several processes", || {
        pids.insert(server.text("/"));
        pids.len() > 2
    });
    assert!(is_told(&server, "maximum_requests"));
}

#[test]
fn a_process_is_replaced_after_restart_interval() {
    let server = stuck("restart-interval=1");
    let before = server.text("/");
    wait::until_true("another process", || server.text("/") != before);
    wait::until_true("the reason", || is_told(&server, "restart_interval"));
}

#[test]
fn sigusr1_evicts_a_process_with_a_reason_of_its_own() {
    let server = stuck("eviction-timeout=5");
    let before = server.text("/");
    process::send(before.parse().expect("a pid"), libc::SIGUSR1);
    wait::until_true("another process", || server.text("/") != before);
    wait::until_true("the reason", || is_told(&server, "eviction_signal"));
}

#[test]
fn sigusr1_leaves_nobody_without_an_answer_while_a_request_runs() {
    let server = Server::builder(Mode::Daemon)
        .daemon("threads=2")
        .directive("WSGIApplicationGroup %{GLOBAL}")
        .app("/process", "process")
        .app("/", "waits")
        .start();
    let mut running = server.connect();
    running.write(&Request::get("/").head()).expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    let daemon = server.daemons().into_iter().next().expect("a daemon");
    daemon.signal(libc::SIGUSR1);
    // Another process answers although the first one does not end yet.
    wait::until_true("the successor answers", || {
        let own = format!("pid\t{}", daemon.pid);
        server.text("/process").lines().all(|line| line != own)
    });
    fs::write(server.state("gate"), "").expect("the directory is ours");
    let response = running.response(false).expect("an answer");
    assert_eq!(response.text(), daemon.pid.to_string());
}
