//! Groups whose number of processes has bounds: `processes=1-3`.

use std::time::Duration;

use wsgi_tests::apache::only_ours;
use wsgi_tests::load::Load;
use wsgi_tests::{Mode, Server, wait};

/// Answers after a moment, in which its thread is taken.
const PAUSES: &str = "import time\n\n\n\
    def application(environ, start_response):\n    \
        time.sleep(0.2)\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        return [b'paused']\n";

fn serving(options: &str) -> Server {
    Server::builder(Mode::Daemon)
        .file("apps/pauses/app.wsgi", PAUSES)
        .app("/", "pauses")
        .daemon(options)
        .start()
}

#[test]
fn processes_come_while_requests_wait_and_go_when_none_do() {
    if only_ours("the number of its processes is fixed") {
        return;
    }
    let server = serving("processes=1-3 threads=1");
    assert_eq!(server.text("/"), "paused");
    assert_eq!(server.daemons().len(), 1);
    let load = Load::start(server.address(), "/", 6);
    wait::until_true("all three processes", || server.daemons().len() == 3);
    load.wait_for_more(10);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    server.wait_for_log("requests wait for a thread: going to 3 processes");
    let gone = wait::within(Duration::from_secs(90), || {
        (server.daemons().len() == 1).then_some(())
    });
    assert!(gone.is_some(), "{} are left", server.daemons().len());
    server.wait_for_log("is not needed any more: going to 1 processes");
    assert_eq!(server.text("/"), "paused");
}

#[test]
fn requests_that_find_a_free_thread_bring_no_further_process() {
    if only_ours("the number of its processes is fixed") {
        return;
    }
    let server = serving("processes=1-3 threads=4");
    let load = Load::start(server.address(), "/", 3);
    load.wait_for_more(30);
    assert_eq!(load.finish().failed, []);
    assert_eq!(server.daemons().len(), 1);
}

#[test]
fn a_process_that_cannot_load_what_the_others_have_is_tried_while_it_is_needed() {
    if only_ours("the number of its processes is fixed") {
        return;
    }
    let text = "import os\n\
        if os.path.exists(os.path.join(os.path.dirname(__file__), 'bad')):\n    \
            raise LookupError('nothing for a second process')\n";
    let mut server = Server::builder(Mode::Daemon)
        .file("apps/pauses/app.wsgi", &format!("{text}{PAUSES}"))
        .app("/", "pauses")
        .daemon("processes=1-3 threads=1")
        .directive("WSGIScriptReloading Off")
        .start();
    server.expect_traceback("LookupError");
    server.expect_log("could not load what others of the group have loaded");
    assert_eq!(server.text("/"), "paused");
    std::fs::write(server.root().join("apps/pauses/bad"), "").expect("the directory is ours");
    let load = Load::start(server.address(), "/", 4);
    server.wait_for_log("2 failures in a row, as it could not load");
    load.wait_for_more(10);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    let given_up = wait::within(Duration::from_secs(90), || {
        let line = "no other process is needed any more: going to 1 processes";
        (!server.log().lines_with(line).is_empty()).then_some(())
    });
    assert!(given_up.is_some(), "{}", server.log().text());
    assert_eq!(server.text("/"), "paused");
}
