//! Processes that are started because others have died, and what they are given to load.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::{Monitor, Setup, script};

/// A group of two of which one serves, and the other has died.
fn one_of_two(script: &str, change: impl FnOnce(&mut Setup)) -> Monitor {
    let mut setup = Setup::new(2, script);
    change(&mut setup);
    let anybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(setup.path("bin"), anybody).unwrap();
    let mut monitor = setup.start();
    monitor.started();
    monitor.started();
    std::fs::write(monitor.setup.path("bin/go"), "").unwrap();
    monitor
}

#[test]
fn a_process_alone_takes_requests_while_it_loads_what_the_one_before_had() {
    let mut monitor = Setup::new(1, script::LEAVES).start();
    monitor.started();
    monitor.line_with("ended with exit status 3");
    monitor.line_with("heir 1 ");
    let line = monitor.line_with("ended with exit status 3");
    assert!(
        line.ends_with("2 failures in a row; starting another in 1 s"),
        "{line}"
    );
    monitor.line_with("heir 1 ");
}

#[test]
fn after_one_that_dies_of_what_it_is_given_comes_one_that_is_given_nothing() {
    let mut monitor = Setup::new(1, script::LEAVES_POISON).start();
    let first = monitor.started();
    monitor.line_with("heir 1 ");
    let line = monitor.line_with("had not loaded yet what others of the group have loaded");
    assert!(line.contains("[wsgi:warn]"), "{line}");
    let third = monitor.started();
    assert_ne!(first, third);
    monitor.line_with(&format!("process {third} ended with exit status 3"));
    monitor.line_with("heir 1 ");
}

#[test]
fn one_that_cannot_do_what_others_do_is_tried_again_while_they_serve() {
    let mut monitor = one_of_two(script::LEAVES_ONE, |_| ());
    for again in ["in 1 s", "in 2 s"] {
        monitor.line_with("heir 0 ");
        let line = monitor.line_with("ended with exit status 88");
        let why = "could not load what others of the group have loaded";
        assert!(line.contains(why) && line.ends_with(again), "{line}");
    }
}

#[test]
fn one_that_does_not_get_as_far_as_others_is_killed_and_the_next_does_without() {
    let mut monitor = one_of_two(script::LEAVES_A_SLOW_ONE, |setup| {
        setup.group().daemon.startup_timeout = Duration::from_millis(300);
    });
    monitor.line_with("heir 0 ");
    monitor.line_with("was not ready within startup-timeout and is killed");
    monitor.line_with("had not loaded yet what others of the group have loaded");
    monitor.started();
}
