//! Parts of the server that die, hang or answer too late, and how far the damage goes.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::load::Load;
use wsgi_tests::process::Process;
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::serving;

fn monitor(server: &Server) -> Option<Process> {
    let named = |process: &Process| process.executable.ends_with("wsgi-monitor");
    server.processes().into_iter().find(named)
}

#[test]
fn a_killed_monitor_is_replaced_and_the_group_goes_on() {
    if only_ours("it has no monitor") {
        return;
    }
    let mut server = serving(Mode::Daemon, "hello").start();
    server.allow_log("onitor");
    assert_eq!(server.text("/"), "Hello World!");
    let first = wait::until("a monitor", || monitor(&server));
    let daemons = server.daemons();
    first.signal(libc::SIGKILL);
    wait::until("another monitor", || {
        monitor(&server).filter(|other| other.pid != first.pid)
    });
    wait::until_true("the daemons of the first end", || {
        server
            .daemons()
            .iter()
            .all(|process| !daemons.contains(process))
    });
    wait::until_true("a daemon of the second answers", || {
        server.get("/").status() == 200
    });
}

#[test]
fn an_application_that_does_not_answer_in_time_is_a_504() {
    let mut server = Server::builder(Mode::Daemon)
        .daemon("threads=2 socket-timeout=1")
        .directive("WSGIApplicationGroup %{GLOBAL}")
        .app("/hello", "hello")
        .app("/", "waits")
        .start();
    server.allow_log("waits/app.wsgi");
    server.allow_log("app");
    assert_eq!(server.get("/").status(), 504);
    assert_eq!(server.text("/hello"), "Hello World!");
    fs::write(server.state("gate"), "").expect("the directory is ours");
}

#[test]
fn a_stuck_request_holds_up_a_changed_script_for_graceful_timeout_only() {
    if only_ours("it stops at once, within shutdown-timeout") {
        return;
    }
    let mut server = serving(Mode::Daemon, "waits")
        .daemon("threads=2 graceful-timeout=1 shutdown-timeout=1")
        .start();
    server.allow_log("app");
    server.allow_log("waits/app.wsgi");
    let mut stuck = server.connect();
    stuck.write(&Request::get("/").head()).expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    let before = server.daemons();
    server.edit_app("waits/app.wsgi", "\"gate\"", "\"waiting\"");
    let answer = server.text("/");
    assert!(
        before
            .iter()
            .all(|process| answer != process.pid.to_string()),
        "{answer}"
    );
    assert_eq!(stuck.response(false).expect("an answer").status(), 502);
}

#[test]
fn a_request_that_is_queued_is_answered_when_a_thread_is_free() {
    let server = serving(Mode::Daemon, "waits").daemon("threads=1").start();
    let mut waiting: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for connection in &mut waiting {
        connection.write(&Request::get("/").head()).expect("sent");
    }
    wait::until_true("a request runs", || server.state("waiting").exists());
    fs::write(server.state("gate"), "").expect("the directory is ours");
    for mut connection in waiting {
        assert_eq!(connection.response(false).expect("an answer").status(), 200);
    }
}

#[test]
fn requests_wait_while_their_only_daemon_is_replaced() {
    if only_ours("a daemon that is replaced refuses connections") {
        return;
    }
    let server = serving(Mode::Daemon, "hello")
        .daemon("processes=1 threads=4")
        .alone()
        .start();
    let load = Load::start(server.address(), "/", 8);
    for round in 0..5 {
        load.wait_for_more(100);
        let (from, to) = match round % 2 {
            0 => ("Hello World!", "Hello Again!"),
            _ => ("Hello Again!", "Hello World!"),
        };
        server.edit_app("hello/app.wsgi", from, to);
    }
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {}", report.succeeded);
}

#[test]
fn a_child_that_is_killed_takes_only_its_own_connections() {
    let server = serving(Mode::Daemon, "hello").start();
    let mut server = server;
    server.allow_log("exit signal Killed");
    server.allow_log("Killed (9)");
    assert_eq!(server.text("/"), "Hello World!");
    let daemons = server.daemons();
    let child = wait::until("a child", || server.children().first().cloned());
    child.signal(libc::SIGKILL);
    wait::until_true("another child", || {
        server.children().iter().any(|other| other.pid != child.pid)
    });
    assert_eq!(server.text("/"), "Hello World!");
    assert_eq!(server.daemons(), daemons);
}

#[test]
fn what_a_virtual_hosts_application_logs_goes_to_its_log() {
    let server = Server::builder(Mode::Embedded)
        .directive(
            "<VirtualHost *:@PORT@>\nServerName localhost\nErrorLog @ROOT@/host_log\n\
             WSGIDaemonProcess of-host threads=2\n\
             WSGIScriptAlias /daemon @APPS@/logs/app.wsgi process-group=of-host\n\
             WSGIScriptAlias / @APPS@/logs/app.wsgi\n</VirtualHost>",
        )
        .start();
    let read = || fs::read_to_string(server.root().join("host_log")).unwrap_or_default();
    for (count, path) in ["/daemon", "/"].into_iter().enumerate() {
        assert_eq!(server.get(path).status(), 200);
        wait::until_true(&format!("{path} in the host's log"), || {
            read().matches("by wsgi.errors, in two writes").count() > count
        });
    }
    assert!(!server.log().text().contains("by wsgi.errors"));
}
