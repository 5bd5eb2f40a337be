//! The monitor as httpd sees it: what it starts, what it replaces, when it ends, and what is left
//! of it then, which must be nothing.

mod inheritance;
mod on_demand;
mod succession;
mod support;
mod zygote;

use std::time::Duration;

use support::{Monitor, Setup, script};
use wsgi_unix::accounts;
use wsgi_unix::process::{self, Ended};
use wsgi_wire::launch::{DaemonConfig, Message, VERSION_STATUS};

#[test]
fn a_group_gets_all_its_processes_at_once() {
    let mut monitor = Setup::new(3, script::SERVES).start();
    let mut pids = [monitor.started(), monitor.started(), monitor.started()];
    pids.sort_unstable();
    assert!(pids[0] < pids[1] && pids[1] < pids[2]);
    monitor.lose_parent();
    assert_eq!(monitor.end().0, Ended::Exit(0));
}

#[test]
fn a_killed_daemon_is_replaced_at_once_and_named_in_the_log() {
    let mut monitor = Setup::new(1, script::SERVES).start();
    let pid = monitor.started();
    process::signal(pid, libc::SIGKILL).unwrap();
    let line = monitor.line_with("signal 9");
    let expected = format!(
        "process group 'app': process {pid} ended with signal 9 (SIGKILL) after 0 s and 0 request(s); \
         starting another at once"
    );
    assert!(line.ends_with(&expected), "{line}");
    assert!(line.contains("[wsgi:error]"), "{line}");
    assert_ne!(monitor.started(), pid);
}

#[test]
fn a_daemon_that_always_fails_is_started_ever_more_slowly() {
    let mut monitor = Setup::new(1, script::FAILS).start();
    for end in [
        "and 0 request(s); starting another at once",
        ", 2 failures in a row; starting another in 1 s",
        ", 3 failures in a row; starting another in 2 s",
    ] {
        let line = monitor.line_with("exit status 3");
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
fn a_daemon_that_asks_for_it_is_replaced_without_an_error() {
    let mut monitor = Setup::new(1, script::ASKS_TO_BE_REPLACED).start();
    let pid = monitor.started();
    let line = monitor.line_with("is replaced");
    let expected = format!("process group 'app': process {pid} is replaced at once");
    assert!(
        line.ends_with(&expected) && line.contains("[wsgi:info]"),
        "{line}"
    );
    assert_ne!(monitor.started(), pid);
}

#[test]
fn a_retired_monitor_serves_until_the_last_child_is_gone() {
    let mut monitor = Setup::new(1, script::SERVES).start();
    let first = monitor.started();
    monitor.retire();
    process::signal(first, libc::SIGKILL).unwrap();
    monitor.started();
    assert!(monitor.setup.path("socket").exists());
    monitor.lose_children();
    assert_eq!(monitor.end().0, Ended::Exit(0));
    assert!(!monitor.setup.path("socket").exists());
}

#[test]
fn children_without_a_retirement_do_not_end_it() {
    let mut monitor = Setup::new(1, script::SERVES).start();
    let first = monitor.started();
    monitor.lose_children();
    process::signal(first, libc::SIGKILL).unwrap();
    monitor.started();
    monitor.retire();
    assert_eq!(monitor.end().0, Ended::Exit(0));
}

#[test]
fn the_death_of_the_parent_ends_everything() {
    let mut monitor = Setup::new(2, script::SERVES).start();
    monitor.started();
    monitor.started();
    monitor.lose_parent();
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0));
    assert!(
        log.contains("drains: httpd's parent process is gone"),
        "{log}"
    );
    assert!(!monitor.setup.path("socket").exists());
}

#[test]
fn the_death_of_the_monitor_ends_its_daemons() {
    let mut monitor = Setup::new(2, script::SERVES).start();
    monitor.started();
    monitor.started();
    process::signal(monitor.pid, libc::SIGKILL).unwrap();
    assert_eq!(monitor.end().0, Ended::Signal(libc::SIGKILL));
}

#[test]
fn a_terminated_monitor_drains_and_a_hangup_does_nothing() {
    let mut monitor = Setup::new(1, script::SERVES).start();
    monitor.started();
    process::signal(monitor.pid, libc::SIGHUP).unwrap();
    process::signal(monitor.pid, libc::SIGTERM).unwrap();
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0), "{log}");
    assert!(log.contains("drains: SIGTERM"), "{log}");
    // Its parent lives and will start another, to which the children must still find the way.
    assert!(monitor.setup.path("socket").exists());
}

#[test]
fn a_daemon_that_will_not_end_is_killed_with_all_it_started() {
    let mut setup = Setup::new(1, script::STUBBORN);
    setup.group().daemon.shutdown_timeout = Duration::from_millis(1);
    let mut monitor = setup.start();
    let pid = monitor.started();
    monitor.lose_parent();
    // The log ends only when the last subprocess that holds it has.
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0));
    assert!(
        log.contains(&format!("process {pid} did not end in time")),
        "{log}"
    );
}

#[test]
fn a_daemon_knows_its_configuration_and_its_slot() {
    let mut monitor = Setup::new(2, script::TELLS).start();
    let mut slots = [0; 2];
    for slot in &mut slots {
        let line = monitor.line_with("config ");
        let digits = line.strip_prefix("config ").unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let config = DaemonConfig::from_bytes(&bytes).unwrap();
        assert_eq!(config.gateway.process_group, b"app");
        assert_eq!(config.client_uid, accounts::own_uid());
        *slot = config.slot;
    }
    slots.sort_unstable();
    assert_eq!(slots, [0, 1]);
}

#[test]
fn a_daemon_has_a_clean_environment_and_nothing_else_open() {
    let mut setup = Setup::new(1, script::TELLS);
    setup.group().process.umask = Some(0o27);
    setup.group().daemon.locale = Some(b"C.UTF-8".to_vec());
    let mut monitor = setup.start();
    monitor.started();
    monitor.lose_parent();
    let (_, log) = monitor.end();
    let has = |line: &str| assert!(log.lines().any(|other| other == line), "{line}\n{log}");
    has("arguments 4 -c /lib/gateway.so");
    has("room 128");
    let mut open: Vec<u32> = log.lines().filter_map(|line| line.parse().ok()).collect();
    open.sort_unstable();
    // The shell itself reads its script from 10.
    assert_eq!(open, [0, 1, 2, 3, 4, 5, 6, 10]);
    has("umask 0027");
    has("directory /");
    has("env PATH=/usr/local/bin:/usr/bin:/bin");
    has("env TZ=UTC");
    has("env LC_ALL=C.UTF-8");
    assert!(
        !log.contains("env LANG"),
        "an option replaces the server's locale\n{log}"
    );
    assert!(!log.contains("SECRET"), "{log}");
}

#[test]
fn a_daemon_of_root_runs_as_its_account_and_cannot_come_back() {
    if !accounts::is_root() {
        return;
    }
    let mut monitor = Setup::new(1, script::TELLS).start();
    monitor.started();
    monitor.lose_parent();
    let (_, log) = monitor.end();
    let nobody = support::nobody();
    let (uid, gid) = (nobody.uid, nobody.gid);
    for line in [
        format!("Uid: {uid} {uid} {uid} {uid}"),
        format!("Gid: {gid} {gid} {gid} {gid}"),
        format!("Groups: {gid}"),
        "env USER=nobody".to_owned(),
        "env LOGNAME=nobody".to_owned(),
    ] {
        assert!(log.lines().any(|other| other == line), "{line}\n{log}");
    }
    assert!(!log.contains("root again"), "{log}");
}

#[test]
fn python3_will_do_where_there_is_no_python() {
    let setup = Setup::new(1, script::SERVES);
    std::fs::rename(setup.path("bin/python"), setup.path("bin/python3")).unwrap();
    setup.start().started();
}

#[test]
fn a_missing_interpreter_is_named_with_its_group() {
    let setup = Setup::new(1, script::SERVES);
    let program = setup.path("bin/python");
    std::fs::remove_file(&program).unwrap();
    let mut monitor = setup.start();
    let line = monitor.line_with("cannot execute");
    let program = format!("process group 'app': cannot execute {}", program.display());
    assert!(line.contains(&program), "{line}");
    let reason = ": No such file or directory (os error 2); trying again at once";
    assert!(line.ends_with(reason), "{line}");
    assert!(monitor.line_with("cannot execute").ends_with("in 1 s"));
}

#[test]
fn a_home_that_is_missing_stops_the_start() {
    let mut setup = Setup::new(1, script::SERVES);
    setup.group().gateway.home = Some(b"/no/such/home".to_vec());
    let line = setup.start().line_with("process group 'app'");
    assert!(line.contains("cannot enter the directory of"), "{line}");
    assert!(line.contains("/no/such/home"), "{line}");
}

/// What a monitor says that refuses to begin: one line.
fn refusal(mut monitor: Monitor) -> String {
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(1), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    log
}

#[test]
fn no_daemon_runs_as_root() {
    if !accounts::is_root() {
        return;
    }
    let mut setup = Setup::new(1, script::SERVES);
    setup.group().identity.as_mut().unwrap().uid = 0;
    assert!(refusal(setup.start()).contains("process group \"app\" would run as root"));
    let mut setup = Setup::new(1, script::SERVES);
    setup.group().identity = None;
    assert!(refusal(setup.start()).contains("process group \"app\" would run as root"));
}

#[test]
fn a_configuration_of_another_version_is_refused_by_a_status_of_its_own() {
    let setup = Setup::new(1, script::SERVES);
    let mut bytes = setup.config.to_bytes();
    bytes[0] += 1;
    let mut monitor = setup.start_with(&bytes);
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(VERSION_STATUS), "{log}");
    assert!(log.contains("protocol version 2 instead of 1"), "{log}");
}

#[test]
fn a_daemon_of_another_version_is_told_of_as_such() {
    let mut monitor = Setup::new(1, "exit 89").start();
    let line = monitor.line_with("exit status 89");
    assert!(
        line.contains("the installed gateway is of another version"),
        "{line}"
    );
}

#[test]
fn a_configuration_that_cannot_be_right_is_refused_in_one_line() {
    assert!(refusal(Setup::new(1, "").start_with(b"\x01rubbish")).contains("configuration"));

    let mut setup = Setup::new(1, "");
    setup.group().listener_fd = 2;
    assert!(refusal(setup.start()).contains("descriptor 2 is no listening socket"));

    let mut setup = Setup::new(1, "");
    setup.group().hints_fd = setup.group().listener_fd;
    assert!(refusal(setup.start()).contains("is no hint page"));

    let setup = Setup::new(9, "");
    assert!(refusal(setup.start()).contains("no hint page of 9 slots"));

    let mut setup = Setup::new(1, "");
    setup.group().python_home = Some(b"venv".to_vec());
    assert!(refusal(setup.start()).contains("\"venv\" is not an absolute path"));
}
