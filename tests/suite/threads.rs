//! A number of threads between bounds: more while requests wait.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Connection, Mode, Request, Server, wait};

/// Sends requests that wait for the gate, and leaves them so.
fn waiting(server: &Server, count: usize) -> Vec<Connection> {
    let send = |_| {
        let mut connection = server.connect();
        connection.write(&Request::get("/").head()).expect("sent");
        connection
    };
    (0..count).map(send).collect()
}

#[test]
fn a_process_starts_threads_while_requests_wait_and_no_more_than_it_may() {
    if only_ours("it has one number of threads") {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .daemon("threads=1-3")
        .directive("LogLevel wsgi:debug")
        .app("/", "waits_counted")
        .start();
    let requests = waiting(&server, 5);
    let running = || fs::read_dir(server.state("running")).map_or(0, Iterator::count);
    wait::until_true("three requests run", || running() == 3);
    // The others have had the time in which a fourth thread would have come.
    server.wait_for_log("3 may run at once now");
    assert_eq!(running(), 3);
    fs::write(server.state("gate"), "").expect("the directory is ours");
    for mut connection in requests {
        let response = connection.response(false).expect("an answer");
        assert_eq!(response.status(), 200);
    }
    assert_eq!(server.log().lines_with("may run at once now").len(), 2);
}

#[test]
fn requests_that_do_not_wait_start_no_threads() {
    if only_ours("it has one number of threads") {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .daemon("threads=2-6")
        .directive("LogLevel wsgi:debug")
        .app("/", "hello")
        .start();
    for _ in 0..50 {
        assert_eq!(server.text("/"), "Hello World!");
    }
    assert_eq!(server.log().lines_with("may run at once now").len(), 0);
}
