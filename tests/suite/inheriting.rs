//! Processes that join a group that serves: none takes a request that would wait for an import.

use std::collections::BTreeSet;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Builder, Mode, Server, process, wait};

/// Takes a second to be imported. Each answer tells its process and whether the request was there
/// before the import was over.
const SLOW: &str = "import os, time\n\
    time.sleep(1)\n\
    IMPORTED = time.time()\n\n\n\
    def application(environ, start_response):\n    \
        taken = environ['mod_wsgi.daemon_start']\n    \
        time.sleep(0.1)\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        word = 'waited' if taken < IMPORTED else 'went'\n    \
        return [f'{word} {os.getpid()}'.encode()]\n";

fn slow(options: &str) -> Builder {
    Server::builder(Mode::Daemon)
        .file("apps/slow/app.wsgi", SLOW)
        .app("/", "slow")
        .daemon(options)
}

/// Asks with eight clients until those processes have answered that are waited for. No request may
/// have waited for an import.
fn ask_until(server: &Server, answered: impl Fn(&BTreeSet<String>) -> bool) {
    let mut answers = BTreeSet::new();
    wait::until_true("the processes answer", || {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| server.text("/"))).collect();
            for one in asked {
                let text = one.join().expect("answered");
                let (word, pid) = text.split_once(' ').expect("two words");
                assert_eq!(word, "went", "process {pid}, after {answers:?}");
                answers.insert(pid.to_owned());
            }
        });
        answered(&answers)
    });
}

/// The process that answers a first request, which waits for the import.
fn first(server: &Server) -> String {
    let text = server.text("/");
    text.strip_prefix("waited ").expect("the first").to_owned()
}

#[test]
fn a_process_that_is_added_has_loaded_what_the_others_have() {
    if only_ours("the number of its processes is fixed") {
        return;
    }
    let server = slow("processes=1-3 threads=1").start();
    first(&server);
    ask_until(&server, |answers| answers.len() == 3);
}

#[test]
fn no_process_is_added_to_do_the_first_import_as_well() {
    if only_ours("the number of its processes is fixed") {
        return;
    }
    let server = slow("processes=1-3 threads=1").start();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| server.text("/"))).collect();
        let answers = asked.into_iter().map(|one| one.join().expect("answered"));
        let waited = answers.filter(|text| text.starts_with("waited"));
        assert_eq!(waited.count(), 1, "those in the queue did not");
    });
}

#[test]
fn a_process_that_follows_one_that_died_has_loaded_what_the_others_have() {
    if only_ours("its processes load when they are asked") {
        return;
    }
    let mut server = slow("processes=2 threads=1").start();
    server.expect_log("ended with signal 9");
    let pids = |server: &Server| -> Vec<_> { server.daemons().iter().map(|one| one.pid).collect() };
    wait::until_true("both have loaded it", || {
        std::thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| server.text("/"))));
        });
        server.log().lines_with("Loading WSGI script").len() == 2
    });
    for _ in 0..2 {
        let before = pids(&server);
        process::send(before[0], libc::SIGKILL);
        ask_until(&server, |answers| {
            let new = |pid: &u32| !before.contains(pid) && answers.contains(&pid.to_string());
            pids(&server).iter().any(new)
        });
    }
}

#[test]
fn a_process_that_follows_the_only_one_loads_what_that_had_before_it_is_asked() {
    if only_ours("its processes load when they are asked") {
        return;
    }
    let mut server = slow("threads=2").start();
    server.expect_log("ended with signal 9");
    let before = first(&server);
    for _ in 0..3 {
        assert_eq!(server.text("/"), format!("went {before}"));
    }
    process::send(before.parse().expect("an id"), libc::SIGKILL);
    wait::until_true("the next one loads it", || {
        server.log().lines_with("Loading WSGI script").len() == 2
    });
    // It had been ready for whoever asks before that.
    let next = server.daemons()[0].pid.to_string();
    assert_ne!(next, before);
    assert!(server.text("/").ends_with(&next));
    assert_eq!(server.text("/"), format!("went {next}"));
}

#[test]
fn a_script_that_has_come_to_crash_at_import_keeps_no_process_from_serving_others() {
    if only_ours("its processes load when they are asked") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .app("/hello", "hello")
        .file(
            "apps/grows/app.wsgi",
            "import os\nif os.path.exists(os.path.join(os.path.dirname(__file__), 'bad')):\n    \
             os._exit(9)\n\n\n\
             def application(environ, start_response):\n    \
             start_response('200 OK', [])\n    return [b'grown']\n",
        )
        .app("/grows", "grows")
        .daemon("threads=2")
        .start();
    server.expect_log("ended with signal 9");
    server.expect_log("ended with exit status 9");
    server.expect_log("had not loaded yet what others of the group have loaded");
    assert_eq!(server.text("/grows"), "grown");
    for _ in 0..100 {
        assert_eq!(server.text("/hello"), "Hello World!");
    }
    std::fs::write(server.root().join("apps/grows/bad"), "").expect("the directory is ours");
    process::send(server.daemons()[0].pid, libc::SIGKILL);
    server.wait_for_log("had not loaded yet");
    wait::until_true("another process serves", || server.daemons().len() == 1);
    let last = server.daemons()[0].pid;
    for _ in 0..3 {
        assert_eq!(server.text("/hello"), "Hello World!");
    }
    assert_eq!(server.daemons()[0].pid, last);
}
