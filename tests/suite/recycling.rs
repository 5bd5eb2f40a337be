//! Processes that are replaced while requests go on: nobody waits for an import, and code that
//! cannot be loaded replaces nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use wsgi_tests::apache::only_ours;
use wsgi_tests::load::Load;
use wsgi_tests::{Builder, Mode, Request, Server, wait};

/// How long the application below takes to be imported.
const IMPORT: Duration = Duration::from_secs(3);

/// Loads slowly and tells a word and its process; `/wait` waits for the file `gate` first.
const SLOW: &str = "import os, time\n\
    time.sleep(3)\n\
    STATE = os.path.join(os.path.dirname(__file__), '..', '..', 'state')\n\n\n\
    def application(environ, start_response):\n    \
        if environ['PATH_INFO'] == '/wait':\n        \
            open(os.path.join(STATE, 'waiting'), 'w').close()\n        \
            while not os.path.exists(os.path.join(STATE, 'gate')):\n            \
                time.sleep(0.01)\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        return [b'first %d' % os.getpid()]\n";

fn slow_application(options: &str) -> Builder {
    Server::builder(Mode::Daemon)
        .file("apps/slow/app.wsgi", SLOW)
        .app("/", "slow")
        .daemon(options)
        .sizes(
            "StartServers 1\nServerLimit 1\nThreadsPerChild 32\nMaxRequestWorkers 32\n\
             MinSpareThreads 1\nMaxSpareThreads 32\n",
        )
}

/// What the application answers: its word and its process.
fn told(server: &Server) -> (String, String) {
    let text = server.text("/");
    let (word, pid) = text.split_once(' ').expect("two words");
    (word.to_owned(), pid.to_owned())
}

/// Asks until all of the group's processes have loaded the application.
fn warm_up(server: &Server, processes: usize) {
    let mut pids = BTreeSet::new();
    wait::until_true("every process has loaded it", || {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| told(server).1)).collect();
            pids.extend(asked.into_iter().map(|one| one.join().expect("answered")));
        });
        pids.len() == processes
    });
}

/// Waits for so many processes to have been followed by others.
fn wait_for_successors(server: &Server, count: usize) {
    wait::until_true("processes are followed by others", || {
        server.log().lines_with("is ready and follows").len() >= count
    });
}

#[test]
fn processes_with_enough_requests_are_replaced_without_a_request_that_waits() {
    if only_ours("its processes end before others start") {
        return;
    }
    let server = slow_application("threads=4 maximum-requests=20")
        .alone()
        .start();
    warm_up(&server, 1);
    let load = Load::start(server.address(), "/", 8);
    wait_for_successors(&server, 3);
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    assert!(report.slowest < IMPORT * 2 / 3, "{:?}", report.slowest);
}

#[test]
fn new_code_rolls_through_a_group_without_a_request_that_waits() {
    if only_ours("each of its processes loads new code while requests wait") {
        return;
    }
    let server = slow_application("processes=2 threads=4").alone().start();
    warm_up(&server, 2);
    let load = Load::start(server.address(), "/", 8);
    load.wait_for_more(100);
    server.edit_app("slow/app.wsgi", "first", "second");
    wait_for_successors(&server, 2);
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    assert!(report.slowest < IMPORT * 2 / 3, "{:?}", report.slowest);
    assert_eq!(told(&server).0, "second");
}

#[test]
fn code_that_cannot_be_loaded_replaces_nothing_until_it_is_mended() {
    if only_ours("its processes load new code without another to fall back to") {
        return;
    }
    for options in ["processes=2 threads=4", "threads=4"] {
        let mut server = Server::builder(Mode::Daemon)
            .app("/", "hello")
            .daemon(options)
            .start();
        server.expect_traceback("SyntaxError");
        server.allow_log("def application");
        server.allow_log("^");
        server.expect_log("goes on with what it has");
        assert_eq!(server.text("/"), "Hello World!");
        server.edit_app("hello/app.wsgi", "def application(", "def application((");
        wait::until_true("the failure is reported", || {
            assert_eq!(server.text("/"), "Hello World!");
            !server
                .log()
                .lines_with("goes on with what it has")
                .is_empty()
        });
        assert_eq!(server.text("/"), "Hello World!");
        server.edit_app("hello/app.wsgi", "def application((", "def application(");
        server.edit_app("hello/app.wsgi", "Hello World!", "Hello again!");
        wait::until_true("the mended code", || server.text("/") == "Hello again!");
    }
}

#[test]
fn a_running_request_does_not_hold_up_new_code() {
    if only_ours("its process ends before another starts") {
        return;
    }
    let server = slow_application("threads=4").start();
    let (word, first) = told(&server);
    assert_eq!(word, "first");
    let mut running = server.connect();
    running.write(&Request::get("/wait").head()).expect("sent");
    wait::until_true("the request runs", || server.state("waiting").exists());
    server.edit_app("slow/app.wsgi", "first", "second");
    let (word, second) = told(&server);
    assert_eq!(word, "second", "the next request sees the new code");
    assert_ne!(first, second);
    std::fs::write(server.state("gate"), "").expect("the directory is ours");
    let answer = running.response(false).expect("an answer");
    assert_eq!(answer.text(), format!("first {first}"));
}

#[test]
fn the_monitor_that_is_killed_is_replaced_and_no_request_is_lost() {
    if only_ours("it has no monitor") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .app("/", "hello")
        .daemon("processes=2 threads=4")
        .start();
    server.expect_log("the monitor of the daemons (pid");
    let monitors = || -> Vec<_> {
        let all = server.processes().into_iter();
        all.filter(|one| one.executable.ends_with("wsgi-monitor"))
            .collect()
    };
    let load = Load::start(server.address(), "/", 8);
    for _ in 0..2 {
        load.wait_for_more(100);
        let before = wait::until("a monitor", || monitors().first().cloned());
        let daemons = server.daemons();
        before.signal(libc::SIGKILL);
        wait::until_true("another monitor with other daemons", || {
            let now = server.daemons();
            monitors().first().is_some_and(|one| one.pid != before.pid)
                && now.len() == 2
                && now.iter().all(|one| !daemons.contains(one))
        });
    }
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
}

/// Keeps what it is asked to, and tells its process.
const GROWS: &str = "import os\n\
    kept = []\n\n\n\
    def application(environ, start_response):\n    \
        if environ['PATH_INFO'] == '/grow':\n        \
            kept[:] = [b'x' * (100 << 20)]\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        return [str(os.getpid()).encode()]\n";

#[test]
fn processes_that_have_grown_are_replaced_one_after_the_other_and_no_request_is_lost() {
    if only_ours("it looks at no process's memory") {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .file("apps/grows/app.wsgi", GROWS)
        .app("/", "grows")
        .daemon("processes=3 threads=2 recycle-memory=80000000")
        .start();
    let mut grown = BTreeSet::new();
    wait::until_true("all three have grown", || {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| server.text("/grow")))
                .collect();
            grown.extend(asked.into_iter().map(|one| one.join().expect("answered")));
        });
        grown.len() == 3
    });
    let load = Load::start(server.address(), "/", 6);
    wait_for_successors(&server, 3);
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    let ended = "; it had been told to";
    wait::until_true("the old ones end", || {
        server.log().lines_with(ended).len() == 3
    });
    let text = server.log().text();
    let steps: Vec<_> = ["which is to follow", "is ready and follows", ended]
        .into_iter()
        .flat_map(|step| text.match_indices(step))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_values()
        .collect();
    let expected = ["which is to follow", "is ready and follows", ended];
    assert_eq!(steps, expected.repeat(3), "{text}");
}
