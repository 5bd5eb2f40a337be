//! Files that a process group needs and does not get: the other groups must not notice.

use std::process::Command;

use wsgi_tests::apache::only_ours;
use wsgi_tests::held_file::HeldFile;
use wsgi_tests::process::Process;
use wsgi_tests::{Builder, Mode, Server, wait};

use crate::support::facts_of;

/// A server with the groups `slow`, which comes first and has these options, and `quick`.
fn two_groups(options: &str) -> Builder {
    Server::builder(Mode::Embedded)
        .directive(&format!(
            "WSGIDaemonProcess slow threads=2 {options}\n\
             WSGIScriptAlias /slow @APPS@/process/app.wsgi process-group=slow"
        ))
        .directive(
            "WSGIDaemonProcess quick threads=2\n\
             WSGIScriptAlias /quick @APPS@/process/app.wsgi process-group=quick",
        )
}

/// Has a daemon of the group `quick` die and another one answer.
#[track_caller]
fn quick_is_replaced(server: &mut Server) {
    let pid = |server: &Server| facts_of(&server.text("/quick"))["pid"].clone();
    let before = pid(server);
    wsgi_tests::process::send(before.parse().expect("a number"), libc::SIGKILL);
    server.expect_log("process group 'quick': process");
    server.allow_log("ended before its response was complete");
    wait::until_true("another process", || {
        server.get("/quick").status() == 200 && pid(server) != before
    });
}

#[test]
fn an_env_file_that_cannot_be_opened_yet_holds_up_its_own_group_only() {
    if only_ours("it has no such option") {
        return;
    }
    let Some(held) = HeldFile::new("env", "FROM_FILE=1\n") else {
        return;
    };
    let option = format!("env-file={}", held.path().display());
    let mut server = two_groups(&option).start();
    quick_is_replaced(&mut server);
    server.expect_log("process group 'slow': process");
    let line = server.wait_for_log("is held up before it is a daemon");
    assert!(line.contains("[wsgi:warn]"), "{line}");
    // It keeps nothing open that others wait for the end of: beside the standard ones it has what a
    // daemon is given, and the pipe by which it tells what is wrong.
    let all = server.processes();
    let monitor = |process: &&Process| process.executable.ends_with("wsgi-monitor");
    let monitors: Vec<_> = all.iter().filter(monitor).collect();
    let held_up = monitors.iter().find(|one| {
        let parents = monitors.iter().map(|other| other.pid);
        parents.into_iter().any(|parent| parent == one.parent)
    });
    assert_eq!(held_up.expect("it is held up").descriptors(), 3 + 7);
    // From now on it can.
    drop(held);
    let facts = facts_of(&server.text("/slow"));
    assert!(facts["variables"].contains("'FROM_FILE'"), "{facts:?}");
}

#[test]
fn a_server_stops_although_a_process_still_waits_for_a_file() {
    if only_ours("it has no such option") {
        return;
    }
    let Some(held) = HeldFile::new("stop", "FROM_FILE=1\n") else {
        return;
    };
    let option = format!("env-file={}", held.path().display());
    let mut server = two_groups(&option).start();
    server.expect_log("is held up before it is a daemon");
    assert_eq!(server.get("/quick").status(), 200);
    server.stop();
    // While the file is still held.
    drop(server);
    drop(held);
}

#[test]
fn an_env_file_that_is_no_file_keeps_its_group_from_starting_and_says_so() {
    if only_ours("it has no such option") {
        return;
    }
    let fifo = format!("/tmp/wsgi-fifo-{}", std::process::id());
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("it runs").success());
    let mut server = two_groups(&format!("connect-timeout=1 env-file={fifo}")).start();
    server.expect_log(&format!("cannot read the env-file {fifo} for uid"));
    server.allow_log("no daemon of group 'slow'");
    server.wait_for_log("it is no regular file");
    quick_is_replaced(&mut server);
    assert_eq!(server.get("/slow").status(), 503);
    std::fs::remove_file(fifo).expect("ours");
}
