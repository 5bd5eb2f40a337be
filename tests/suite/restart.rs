//! Scripts that change, servers that restart, and what is left when they stop.

use std::time::Duration;

use wsgi_tests::apache::{compat, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::{Mode, Mpm, Server, process, wait};

use crate::support::serving;

in_both_modes! {
    fn a_changed_script_answers_at_once(mode) {
        let server = serving(mode, "hello").start();
        assert_eq!(server.text("/"), "Hello World!");
        server.edit_app("hello/app.wsgi", "Hello World!", "Hello again!");
        assert_eq!(server.text("/"), "Hello again!");
        server.edit_app("hello/app.wsgi", "Hello again!", "Third hello!");
        assert_eq!(server.text("/"), "Third hello!");
    }

    fn a_changed_script_stays_as_it_was_when_reloading_is_off(mode) {
        let server = serving(mode, "hello").directive("WSGIScriptReloading Off").start();
        assert_eq!(server.text("/"), "Hello World!");
        server.edit_app("hello/app.wsgi", "Hello World!", "Hello again!");
        assert_eq!(server.text("/"), "Hello World!");
    }

    fn a_broken_script_works_once_it_is_mended(mode) {
        let mut server = serving(mode, "broken_import").start();
        server.expect_traceback("no_such_module_anywhere");
        assert_eq!(server.get("/").status(), 500);
        assert_eq!(server.get("/").status(), 500);
        server.edit_app("broken_import/app.wsgi", "import no_such_module_anywhere", "");
        server.edit_app(
            "broken_import/app.wsgi",
            "    return []",
            "    start_response('200 OK', [])\n    return [b'mended']",
        );
        assert_eq!(server.text("/"), "mended");
    }

    fn a_script_that_breaks_is_reported_and_works_again_when_mended(mode) {
        let mut server = serving(mode, "hello").start();
        server.expect_traceback("SyntaxError");
        server.allow_log("^");
        server.allow_log("goes on with what it has");
        assert_eq!(server.text("/"), "Hello World!");
        server.edit_app("hello/app.wsgi", "def application(", "def application((");
        // Our daemons go on with what they have while there is nobody to take their place.
        let goes_on = mode == Mode::Daemon && compat().is_none();
        assert_eq!(server.get("/").status(), if goes_on { 200 } else { 500 });
        server.edit_app("hello/app.wsgi", "def application((", "def application(");
        assert_eq!(server.text("/"), "Hello World!");
    }

    fn a_restart_takes_the_new_configuration(mode) {
        let server = Server::builder(mode).app("/before", "hello").start();
        assert_eq!(server.text("/before"), "Hello World!");
        server.edit_configuration("WSGIScriptAlias /before", "WSGIScriptAlias /after");
        server.graceful();
        wait::until_true("the new alias", || server.get("/after").status() == 200);
        assert_eq!(server.get("/before").status(), 404);
        server.edit_configuration("WSGIScriptAlias /after", "WSGIScriptAlias /before");
        server.hard_restart();
        assert_eq!(server.text("/before"), "Hello World!");
    }

    fn a_stopped_server_leaves_nothing(mode) {
        for mpm in [Mpm::Event, Mpm::Prefork] {
            let mut server = serving(mode, "hello").mpm(mpm).start();
            assert_eq!(server.text("/"), "Hello World!");
            assert!(server.processes().len() > 1);
            server.stop();
            let none = || process::of_server(0, server.root()).is_empty();
            wait::until_true("no process is left", none);
        }
    }

    fn graceful_restarts_under_load_fail_no_request(mode) {
        if mode == Mode::Daemon
            && only_ours("its daemons end with the old generation")
        {
            return;
        }
        let server = serving(mode, "hello")
            .sizes(
                "StartServers 2\nServerLimit 32\nThreadLimit 32\nThreadsPerChild 32\n\
                 MaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64",
            )
            .daemon("processes=2 threads=4")
            .alone()
            .start();
        let load = Load::start(server.address(), "/", 16);
        for _ in 0..10 {
            load.wait_for_more(50);
            server.graceful();
        }
        load.wait_for_more(50);
        let report = load.finish();
        assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    }
}

#[test]
fn a_running_request_survives_a_graceful_restart() {
    if only_ours("its daemons have three seconds") {
        return;
    }
    let server = serving(Mode::Daemon, "waits").start();
    let mut connection = server.connect();
    connection
        .write(&wsgi_tests::Request::get("/").head())
        .expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    let before = server.daemons();
    server.graceful();
    wait::until_true("a new daemon", || {
        server.daemons().iter().any(|p| !before.contains(p))
    });
    std::fs::write(server.state("gate"), "").expect("the directory is ours");
    let answer = connection.response(false).expect("an answer");
    assert_eq!(answer.text(), before[0].pid.to_string());
    wait::until_true("the old daemon ends", || {
        server
            .daemons()
            .iter()
            .all(|process| !before.contains(process))
    });
}

#[test]
fn daemons_end_when_the_parent_is_killed() {
    if only_ours("its daemons outlive a parent that was killed") {
        return;
    }
    let mut server = serving(Mode::Daemon, "hello").start();
    assert_eq!(server.text("/"), "Hello World!");
    server.allow_log("");
    let others: Vec<_> = server.processes().into_iter().skip(1).collect();
    process::send(server.pid(), libc::SIGKILL);
    // httpd's own children do not end by themselves when their parent is gone.
    for child in others.iter().filter(|p| p.executable.ends_with("apache2")) {
        child.signal(libc::SIGKILL);
    }
    wait::until_true("no daemon or monitor is left", || {
        process::of_server(0, server.root()).is_empty()
    });
    let sockets = || {
        std::fs::read_dir(server.root().join("run"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "sock"))
            .count()
    };
    wait::until_true("no socket is left", || sockets() == 0);
    server.stop();
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let mut server = serving(Mode::Daemon, "waits")
        .daemon("threads=2 shutdown-timeout=1")
        .start();
    server.allow_log("");
    let mut connection = server.connect();
    connection
        .write(&wsgi_tests::Request::get("/").head())
        .expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    server.stop();
    let gone = wait::within(Duration::from_secs(6), || {
        process::of_server(0, server.root())
            .is_empty()
            .then_some(())
    });
    assert!(gone.is_some(), "{:?}", process::of_server(0, server.root()));
}
