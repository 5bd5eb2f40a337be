//! Process groups without request threads (`threads=0`): one script is the program of the process, is
//! started again when it ends, and is asked to end when the server stops.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Builder, Mode, Server, wait};

/// Tells where it runs, and how it ends.
const PROGRAM: &str = r#"
import atexit
import os
import signal
import sys
import threading
import time

import mod_wsgi

STATE = "@STATE@"


def note(name, text):
    with open(os.path.join(STATE, name), "a") as file:
        file.write(f"{text}\n")


atexit.register(note, "exit", "atexit")
mod_wsgi.subscribe_shutdown(lambda name, **about: note("exit", about["shutdown_reason"]))
main = threading.current_thread() is threading.main_thread()
freed = signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
freed = freed and signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
note("started", f"{os.getpid()} {main} {freed} {mod_wsgi.application_group!r}")
try:
    while True:
        time.sleep(600)
finally:
    note("exit", "finally")
"#;

fn running(script: &str, options: &str) -> Builder {
    Server::builder(Mode::Embedded)
        .file("apps/program/program.py", script)
        .directive(&format!("WSGIDaemonProcess tasks threads=0 {options}"))
        .directive(
            "WSGIImportScript @APPS@/program/program.py process-group=tasks \
             application-group=%{GLOBAL}",
        )
        .app("/", "hello")
}

fn lines(server: &Server, name: &str) -> Vec<String> {
    let text = fs::read_to_string(server.state(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_script_is_the_program_of_its_process_until_the_server_stops() {
    let mut server = running(PROGRAM, "").start();
    let started = wait::until("the program's start", || {
        lines(&server, "started").into_iter().next()
    });
    assert!(started.ends_with(" True True ''"), "{started}");
    // Apache's own mode works beside it.
    assert_eq!(server.text("/"), "Hello World!");
    assert_eq!(lines(&server, "started").len(), 1);
    server.stop();
    if only_ours("the order is its own") {
        return;
    }
    wait::until_true("its exit functions", || lines(&server, "exit").len() >= 3);
    assert_eq!(
        lines(&server, "exit"),
        ["finally", "shutdown_signal", "atexit"]
    );
}

#[test]
fn a_program_may_end_by_handlers_of_its_own() {
    let script = r#"
import os
import signal
import time

ended = []
signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
open("@STATE@/started", "w").close()
while not ended:
    time.sleep(0.01)
open("@STATE@/handled", "w").close()
"#;
    let mut server = running(script, "").start();
    wait::until_true("the program's start", || server.state("started").exists());
    server.stop();
    wait::until_true("its end", || server.state("handled").exists());
}

#[test]
fn a_program_that_is_over_runs_again_after_a_pause() {
    if only_ours("it is started again without a pause") {
        return;
    }
    let script = "open('@STATE@/started', 'a').write('x')\n";
    let mut server = running(script, "").start();
    server.allow_log("process group 'tasks'");
    let count = || fs::read_to_string(server.state("started")).map_or(0, |text| text.len());
    wait::until_true("three runs", || count() >= 3);
    assert!(count() < 6, "{}", count());
    server.wait_for_log("the program has ended (program_end)");
    let lines = server.log().lines_with("starting another in");
    assert!(!lines.is_empty());
}

#[test]
fn a_program_that_fails_is_explained_and_runs_again() {
    if only_ours("its lines are others") {
        return;
    }
    let script = "import sys\nif not open('@STATE@/runs', 'a').write('x'):\n    pass\n\
                  raise KeyError('missing')\n";
    let mut server = running(script, "").start();
    server.expect_traceback("KeyError: 'missing'");
    server.expect_log("KeyError exception raised by the program");
    server.expect_log("process group 'tasks'");
    let count = || fs::read_to_string(server.state("runs")).map_or(0, |text| text.len());
    wait::until_true("another run", || count() >= 2);
    assert!(!server.log().lines_with("status 1").is_empty());
}

#[test]
fn restart_interval_and_signals_replace_a_program() {
    if only_ours("its timers depend on others") {
        return;
    }
    let server = running(PROGRAM, "restart-interval=1").start();
    wait::until_true("a second run", || lines(&server, "started").len() >= 2);
    let exit = lines(&server, "exit");
    assert_eq!(exit[..3], ["finally", "graceful_signal", "atexit"]);
}

#[test]
fn a_program_that_does_not_end_is_killed() {
    if only_ours("it is killed in another way") {
        return;
    }
    let script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  open('@STATE@/started', 'w').close()\nwhile True:\n    time.sleep(1)\n";
    let mut server = running(script, "shutdown-timeout=1").start();
    wait::until_true("the program's start", || server.state("started").exists());
    server.expect_log("did not end in time");
    server.stop();
}

#[test]
fn a_group_without_threads_answers_no_requests() {
    if only_ours("the request waits for its time-out") {
        return;
    }
    let mut server = running(PROGRAM, "")
        .directive("<Location /wrong>\nWSGIProcessGroup tasks\n</Location>")
        .start();
    server.expect_log("has threads=0 and answers no requests");
    assert_eq!(server.get("/wrong").status(), 500);
    assert_eq!(server.text("/"), "Hello World!");
}

#[test]
fn what_a_group_without_threads_cannot_do_is_refused() {
    if only_ours("it looks at none of this") {
        return;
    }
    let group = "WSGIDaemonProcess tasks threads=0";
    let import = |name: &str| {
        format!("WSGIImportScript /srv/{name}.py process-group=tasks application-group=%{{GLOBAL}}")
    };
    let (one, other) = (import("one"), import("other"));
    for (lines, said_of) in [
        (group.to_owned(), "0 are named"),
        (format!("{group}\n{one}\n{other}"), "2 are named"),
        (
            format!(
                "{group}\n{one}\nWSGIScriptAlias / /srv/app.wsgi process-group=tasks \
                 application-group=%{{GLOBAL}}"
            ),
            "answers nothing",
        ),
        (
            format!(
                "{group}\n{one}\n<Location />\nWSGIAccessScript /srv/access.py process-group=tasks\n\
                 </Location>"
            ),
            "answers nothing",
        ),
        (
            format!("{group} recycle-memory=1G\n{one}"),
            "recycle-memory needs threads",
        ),
    ] {
        let (right, said) = Server::builder(Mode::Embedded)
            .directive(&lines)
            .configtest();
        assert!(!right && said.contains(said_of), "{lines}: {said}");
    }
    let (right, said) = Server::builder(Mode::Embedded)
        .directive(&format!("{group}\n{one}\n{one}"))
        .configtest();
    assert!(right, "{said}");
}
