//! `inactivity-timeout`: which processes are replaced when nobody asks them for anything, and what
//! WSGIIgnoreActivity keeps from counting.

use std::time::{Duration, Instant};

use wsgi_tests::{Mode, Server, wait};

use crate::support::{facts_of, serving};

/// `/ignored` is the same application, and no activity.
fn replaced_after_a_second() -> Server {
    serving(Mode::Daemon, "process")
        .daemon("inactivity-timeout=1 threads=2")
        .directive("<Location /ignored>\nWSGIIgnoreActivity On\n</Location>")
        .start()
}

fn pid(server: &Server, path: &str) -> String {
    facts_of(&server.text(path))["pid"].clone()
}

#[test]
fn an_idle_process_is_replaced() {
    let server = replaced_after_a_second();
    let first = pid(&server, "/");
    let line = server.wait_for_log("inactivity");
    assert!(line.contains("[wsgi:"), "{line}");
    assert_ne!(pid(&server, "/"), first);
}

#[test]
fn a_process_that_has_requests_stays() {
    let server = replaced_after_a_second();
    let first = pid(&server, "/");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        assert_eq!(pid(&server, "/"), first);
    }
}

#[test]
fn requests_that_are_no_activity_do_not_keep_a_process() {
    let server = replaced_after_a_second();
    let first = pid(&server, "/");
    wait::until_true("the replacement", || pid(&server, "/ignored") != first);
}
