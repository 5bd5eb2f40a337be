//! Daemons that are followed by others: who is started when, and who is told what.

use std::time::Duration;

use wsgi_unix::process::Ended;

use crate::support::{Monitor, Setup, script};

/// What a daemon tells that was told to retire.
const RETIRE: &str = "01 01";

/// What a daemon tells that was told to go on.
const RESUME: &str = "01 02";

/// The process id in the next line of the form `<word> <pid>`.
fn next(monitor: &mut Monitor, word: &str) -> i32 {
    loop {
        let line = monitor.line_with(&format!("{word} "));
        if let Some(pid) = line.strip_prefix(&format!("{word} ")) {
            return pid.parse().unwrap();
        }
    }
}

#[test]
fn a_process_is_told_to_end_once_its_successor_is_ready() {
    let mut monitor = Setup::new(1, script::IS_FOLLOWED).start();
    let first = monitor.started();
    monitor.line_with(&format!("process {first} asks for a successor: test"));
    let second = next(&mut monitor, "successor");
    monitor.line_with(&format!(
        "process {second} is ready and follows process {first}"
    ));
    assert_eq!(
        monitor.line_with("order"),
        format!("order {RETIRE} {first}")
    );
    monitor.line_with(&format!("process {first} ended with exit status 87"));
    monitor.lose_parent();
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0));
    let starts = log.lines().filter(|line| line.contains("started process"));
    assert_eq!(starts.count(), 2, "{log}");
}

#[test]
fn one_process_of_a_group_is_replaced_at_a_time() {
    let mut monitor = Setup::new(3, script::IS_FOLLOWED).start();
    for _ in 0..3 {
        monitor.line_with("which is to follow");
        monitor.line_with("is ready and follows");
    }
    monitor.lose_parent();
    let (_, log) = monitor.end();
    let steps: Vec<_> = log
        .lines()
        .filter_map(|line| {
            let begins = line.contains("which is to follow");
            let ends = line.contains("is ready and follows");
            (begins || ends).then_some(begins)
        })
        .collect();
    assert_eq!(steps, [true, false, true, false, true, false], "{log}");
}

#[test]
fn a_process_that_cannot_be_followed_goes_on_and_the_log_says_why_and_until_when() {
    let mut monitor = Setup::new(1, script::CANNOT_BE_FOLLOWED).start();
    let first = monitor.started();
    let second = next(&mut monitor, "successor");
    let line = monitor.line_with("goes on with what it has");
    assert!(line.contains("[wsgi:error]"), "{line}");
    let expected = format!(
        "process group 'app': process {second} could not load the scripts that it was to take over, \
         as told above; process {first} goes on with what it has, next attempt in 1 s"
    );
    assert!(line.ends_with(&expected), "{line}");
    assert_eq!(
        monitor.line_with("order"),
        format!("order {RESUME} {first}")
    );
    let line = monitor.line_with("goes on with what it has");
    assert!(line.ends_with("in 2 s"), "{line}");
}

#[test]
fn a_successor_that_is_not_ready_in_time_is_killed() {
    let mut setup = Setup::new(1, script::IS_WAITED_FOR);
    setup.group().daemon.startup_timeout = Duration::from_millis(300);
    let mut monitor = setup.start();
    let first = monitor.started();
    let second = next(&mut monitor, "successor");
    monitor.line_with(&format!(
        "process {second} was not ready within startup-timeout and is killed"
    ));
    let line = monitor.line_with("goes on with what it has");
    assert!(line.contains("signal 9"), "{line}");
    assert_eq!(
        monitor.line_with("order"),
        format!("order {RESUME} {first}")
    );
}

#[test]
fn a_process_that_does_not_retire_is_killed() {
    let mut setup = Setup::new(1, script::STAYS);
    setup.group().daemon.shutdown_timeout = Duration::from_millis(1);
    setup.group().daemon.graceful_timeout = Duration::from_millis(1);
    let mut monitor = setup.start();
    let first = monitor.started();
    assert_eq!(
        monitor.line_with("order"),
        format!("order {RETIRE} {first}")
    );
    monitor.line_with(&format!(
        "process {first} was replaced and did not end in time"
    ));
    let line = monitor.line_with(&format!("process {first} ended with signal 9"));
    assert!(line.ends_with("; it had been told to"), "{line}");
}

#[test]
fn the_successor_of_a_process_that_dies_takes_its_place_at_once() {
    let mut monitor = Setup::new(1, script::DIES_EARLY).start();
    let first = monitor.started();
    let second = next(&mut monitor, "successor");
    let line = monitor.line_with(&format!("process {first} ended with exit status 5"));
    assert!(
        line.ends_with("; its successor was started already"),
        "{line}"
    );
    std::fs::write(monitor.setup.path("bin/go"), "").unwrap();
    monitor.lose_parent();
    let (_, log) = monitor.end();
    assert!(log.contains(&format!("process {second} ended")), "{log}");
    let starts = log.lines().filter(|line| line.contains("started process"));
    assert_eq!(starts.count(), 2, "{log}");
}

#[test]
fn a_process_that_talks_nonsense_is_not_listened_to() {
    let mut monitor = Setup::new(1, script::BABBLES).start();
    let pid = monitor.started();
    let line = monitor.line_with("is not listened to any more");
    assert!(line.contains(&format!("process {pid} ")), "{line}");
    assert!(line.contains("[wsgi:error]"), "{line}");
}
