//! `preload=fork`: the application is loaded once, and the processes are forked.

use std::collections::BTreeSet;
use std::fs;

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::load::Load;
use wsgi_tests::process::{self, Process};
use wsgi_tests::{Builder, Mode, Server, wait};

/// Notes each of its imports and how often its process was forked; holds some 50 MB of objects.
const APPLICATION: &str = "import os, time\n\
    STATE = os.path.join(os.path.dirname(__file__), '..', '..', 'state')\n\
    with open(os.path.join(STATE, 'imports'), 'a') as log:\n    \
        log.write('first %d\\n' % os.getpid())\n\
    FORKS = []\n\
    os.register_at_fork(after_in_child=lambda: FORKS.append(os.getpid()))\n\
    BALLAST = [str(number) * 20 for number in range(400_000)]\n\n\n\
    def application(environ, start_response):\n    \
        time.sleep(0.1 if environ['QUERY_STRING'] else 0)\n    \
        start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
        answer = ('first', os.getpid(), FORKS == [os.getpid()], os.getuid(), os.getppid())\n    \
        return [' '.join(map(str, answer)).encode()]\n";

/// What a process tells of itself.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Told {
    word: String,
    pid: u32,
    hooked: bool,
    uid: u32,
    parent: u32,
}

fn told(server: &Server) -> Told {
    told_by(server, "/")
}

fn told_by(server: &Server, target: &str) -> Told {
    let text = server.text(target);
    let words: Vec<_> = text.split(' ').collect();
    let [word, pid, hooked, uid, parent] = words[..] else {
        panic!("not what the application tells: {text}");
    };
    Told {
        word: word.to_owned(),
        pid: pid.parse().expect("a number"),
        hooked: hooked == "True",
        uid: uid.parse().expect("a number"),
        parent: parent.parse().expect("a number"),
    }
}

fn preloading(options: &str, application: &str) -> Builder {
    Server::builder(Mode::Embedded)
        .file("apps/pre/app.wsgi", application)
        .directive(&format!("WSGIDaemonProcess pre {options}"))
        .directive(
            "WSGIScriptAlias / @APPS@/pre/app.wsgi process-group=pre application-group=%{GLOBAL}",
        )
        .sizes(
            "StartServers 1\nServerLimit 1\nThreadsPerChild 32\nMaxRequestWorkers 32\n\
             MinSpareThreads 1\nMaxSpareThreads 32\n",
        )
}

/// The processes that serve, once there are so many; the zygote is none of them.
fn workers(server: &Server, count: usize) -> Vec<Told> {
    let mut met = std::collections::BTreeMap::new();
    wait::until_true("every process has answered", || {
        std::thread::scope(|scope| {
            // More at once than all but one of them can run.
            let ask = || told_by(server, "/?slowly");
            let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            for one in asked {
                let one = one.join().expect("answered");
                met.insert(one.pid, one);
            }
        });
        met.retain(|pid, _| Process::of(*pid).is_some());
        met.len() == count
    });
    met.into_values().collect()
}

/// The zygote: the daemon that never answers.
fn zygote(server: &Server, workers: &[Told]) -> Process {
    let serving: BTreeSet<_> = workers.iter().map(|worker| worker.pid).collect();
    wait::until("the zygote", || {
        let mut others = server.daemons();
        others.retain(|process| !serving.contains(&process.pid));
        (others.len() == 1).then(|| others.remove(0))
    })
}

/// The processes that imported the application, in order.
fn imports(server: &Server) -> Vec<u32> {
    let text = fs::read_to_string(server.state("imports")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.split(' ').nth(1));
    pids.map(|pid| pid.parse().expect("a number")).collect()
}

#[test]
fn one_import_serves_all_processes_and_each_runs_the_hooks_of_a_fork() {
    if only_ours("it has no such option") {
        return;
    }
    let server = preloading("processes=4 threads=2 preload=fork", APPLICATION).start();
    let workers = workers(&server, 4);
    let zygote = zygote(&server, &workers);
    assert_eq!(imports(&server), [zygote.pid]);
    for worker in &workers {
        assert!(worker.hooked, "{worker:?}");
        assert_eq!(worker.parent, zygote.parent, "all are the monitor's");
        let status = Process::of(worker.pid).expect("it serves").read("status");
        let uids = status.lines().find(|line| line.starts_with("Uid:"));
        let expected = format!("Uid:\t{0}\t{0}\t{0}\t{0}", worker.uid);
        assert_eq!(uids, Some(expected.as_str()));
    }
    // Root runs no application, whoever started the server.
    assert!(workers.iter().all(|worker| worker.uid != 0) || !apache().as_root);
}

#[test]
fn a_process_that_dies_is_followed_by_another_without_an_import() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = preloading("processes=2 threads=2 preload=fork", APPLICATION).start();
    server.expect_log("signal 9");
    let before = workers(&server, 2);
    process::send(before[0].pid, libc::SIGKILL);
    wait::until_true("it is gone", || Process::of(before[0].pid).is_none());
    let after = workers(&server, 2);
    assert!(after.iter().all(|worker| worker.pid != before[0].pid));
    assert!(after.iter().all(|worker| worker.hooked));
    assert_eq!(imports(&server).len(), 1);
}

#[test]
fn processes_are_recycled_without_an_import_and_without_a_failed_request() {
    if only_ours("it has no such option") {
        return;
    }
    let options = "processes=2 threads=4 preload=fork maximum-requests=50+20";
    let server = preloading(options, APPLICATION).start();
    workers(&server, 2);
    let load = Load::start(server.address(), "/", 8);
    wait::until_true("processes are followed by others", || {
        server.log().lines_with("is ready and follows").len() >= 4
    });
    load.wait_for_more(100);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    assert_eq!(imports(&server).len(), 1);
    let reached = server.log().lines_with("maximum-requests (");
    let limit = |line: &String| line.split(['(', ')']).nth(1).map(str::to_owned);
    let limits: BTreeSet<_> = reached.iter().filter_map(limit).collect();
    assert!(limits.len() > 1, "each draws its own: {reached:?}");
}

#[test]
fn new_code_is_loaded_once_and_reaches_all_processes_without_a_failed_request() {
    if only_ours("it has no such option") {
        return;
    }
    let server = preloading("processes=3 threads=4 preload=fork", APPLICATION).start();
    workers(&server, 3);
    let load = Load::start(server.address(), "/", 8);
    load.wait_for_more(50);
    server.edit_app(
        "pre/app.wsgi",
        "'first', os.getpid()",
        "'second', os.getpid()",
    );
    wait::until_true("every process has new code", || {
        server.log().lines_with("is ready and follows").len() >= 3
    });
    load.wait_for_more(50);
    let report = load.finish();
    assert_eq!(report.failed, [], "of {} requests", report.succeeded);
    wait::until_true("the old ones are gone", || server.daemons().len() == 4);
    let after = workers(&server, 3);
    assert!(
        after.iter().all(|worker| worker.word == "second"),
        "{after:?}"
    );
    assert!(after.iter().all(|worker| worker.hooked), "{after:?}");
    assert_eq!(imports(&server).len(), 2);
}

#[test]
fn new_code_that_cannot_be_loaded_replaces_nothing_until_it_is_mended() {
    if only_ours("it has no such option") {
        return;
    }
    for processes in ["processes=2", "processes=1"] {
        let options = format!("{processes} threads=2 preload=fork");
        let mut server = preloading(&options, APPLICATION).start();
        server.expect_traceback("SyntaxError");
        server.allow_log("^");
        server.allow_log("def application");
        server.expect_log("goes on with what it has");
        assert_eq!(told(&server).word, "first");
        server.edit_app("pre/app.wsgi", "def application(", "def application((");
        wait::until_true("the failure is reported", || {
            assert_eq!(told(&server).word, "first");
            !server
                .log()
                .lines_with("goes on with what it has")
                .is_empty()
        });
        server.edit_app("pre/app.wsgi", "def application((", "def application(");
        server.edit_app("pre/app.wsgi", "'first', os", "'second', os");
        wait::until_true("the new code", || told(&server).word == "second");
        assert!(told(&server).hooked);
    }
}

#[test]
fn an_application_with_threads_is_loaded_by_each_process_and_the_log_says_why() {
    if only_ours("it has no such option") {
        return;
    }
    let threads = "\nimport threading, time\n\
        threading.Thread(target=time.sleep, args=(1000,), name='ticker', daemon=True).start()\n";
    let application = format!("{APPLICATION}{threads}");
    let mut server = preloading("processes=2 threads=2 preload=fork", &application).start();
    server.expect_log(
        "cannot be forked: it has started threads, which a fork does not keep: 'ticker'",
    );
    let workers = workers(&server, 2);
    assert!(workers.iter().all(|worker| !worker.hooked));
    wait::until_true("the zygote is gone", || server.daemons().len() == 2);
    assert_eq!(imports(&server).len(), 3);
}

#[test]
fn a_group_with_nothing_to_load_says_so_and_serves() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = Server::builder(Mode::Daemon)
        .app("/", "hello")
        .daemon("processes=2 preload=fork")
        .start();
    server.expect_log("preload=fork has nothing to load");
    assert_eq!(server.text("/"), "Hello World!");
}

#[test]
fn a_zygote_that_is_killed_takes_no_process_with_it_and_is_followed_by_another() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = preloading("processes=2 threads=2 preload=fork", APPLICATION).start();
    server.expect_log("to fork the group's processes");
    server.allow_log("signal 9");
    let before = workers(&server, 2);
    let first = zygote(&server, &before);
    first.signal(libc::SIGKILL);
    wait::until_true("another zygote", || {
        server.log().lines_with("is forked from now on").len() == 2
    });
    assert_eq!(workers(&server, 2), before);
    let second = zygote(&server, &before);
    process::send(before[0].pid, libc::SIGKILL);
    wait::until_true("it is gone", || Process::of(before[0].pid).is_none());
    let after = workers(&server, 2);
    assert!(after.iter().all(|worker| worker.hooked));
    assert_eq!(imports(&server), [first.pid, second.pid]);
}

#[test]
fn nobody_is_left_when_the_monitor_is_killed_and_the_next_one_preloads_again() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = preloading("processes=2 threads=2 preload=fork", APPLICATION).start();
    server.allow_log("wsgi-monitor");
    server.allow_log("monitor");
    let before = workers(&server, 2);
    let gone: Vec<u32> = server.daemons().iter().map(|process| process.pid).collect();
    process::send(before[0].parent, libc::SIGKILL);
    wait::until_true("its processes are gone", || {
        gone.iter().all(|pid| Process::of(*pid).is_none())
    });
    let after = workers(&server, 2);
    assert!(after.iter().all(|worker| worker.hooked));
    assert_eq!(imports(&server).len(), 2);
}

#[test]
fn nobody_is_left_when_httpd_is_killed() {
    if only_ours("it has no such option") {
        return;
    }
    let mut server = preloading("processes=2 threads=2 preload=fork", APPLICATION).start();
    workers(&server, 2);
    server.allow_log("");
    assert_eq!(server.daemons().len(), 3);
    let children = server.children();
    process::send(server.pid(), libc::SIGKILL);
    // httpd's own children do not end by themselves when their parent is gone.
    for child in children {
        child.signal(libc::SIGKILL);
    }
    wait::until_true("no daemon or monitor is left", || {
        process::of_server(0, server.root()).is_empty()
    });
    server.stop();
}

#[test]
fn processes_that_are_forked_share_what_is_loaded() {
    if only_ours("it has no such option") {
        return;
    }
    let taken = |options: &str| {
        let server = preloading(options, APPLICATION).start();
        let workers = workers(&server, 4);
        let own = |worker: &Told| {
            let process = Process::of(worker.pid).expect("it serves");
            let rollup = process.read("smaps_rollup");
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let number = line.and_then(|line| line.trim().strip_suffix("kB"));
            number.map_or(0, |number| number.trim().parse::<u64>().unwrap_or(0))
        };
        let all: u64 = workers.iter().map(own).sum();
        assert_eq!(server.log().lines_with("MB of memory (PSS)").len(), 4);
        all / 4
    };
    let alone = taken("processes=4 threads=2");
    let forked = taken("processes=4 threads=2 preload=fork");
    eprintln!("PSS of each of 4 processes: {alone} kB alone, {forked} kB forked");
    assert!(alone > 50_000, "{alone} kB");
    assert!(forked * 2 < alone, "{forked} kB of {alone} kB");
}
