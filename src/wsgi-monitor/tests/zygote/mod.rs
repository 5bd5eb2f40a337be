//! Daemons that are forked from a zygote: whose children they are, and what the monitor believes.

use wsgi_unix::process::{self, Ended};
use wsgi_wire::launch::{ImportScript, List};

use crate::support::{Monitor, Setup};

/// A zygote in Python: `on_fork(channel)` is what it does when it is told to fork.
const ZYGOTE: &str = r#"exec /usr/bin/env python3 -c '
import os, signal, socket, sys
config = os.fdopen(3, "rb").read()
monitor = socket.socket(fileno=6)
READY, HELLO, CANNOT = b"\x01\x01", b"\x01\x03", b"\x01\x04"
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
def serve(channel):
    channel.send(READY)
    channel.recv(16)
    os._exit(0)
def forked(work):
    reader, writer = os.pipe()
    if os.fork():
        os.wait()
        os.close(writer)
        os.close(reader)
    elif os.fork():
        os._exit(0)
    else:
        os.close(writer)
        os.read(reader, 1)
        os.setsid()
        monitor.close()
        work()
        os._exit(0)
def worker(channel):
    channel.send(HELLO)
    say("worker", os.getpid(), os.getppid())
    serve(channel)
def on_fork(channel):
    forked(lambda: worker(channel))
if config[-2:] != b"\x01\x00":
    say("plain", os.getpid())
    serve(monitor)
say("zygote", os.getpid())
@BEGIN@
monitor.send(READY)
while True:
    data, fds, _, _ = socket.recv_fds(monitor, 16, 2)
    if not data:
        os._exit(0)
    assert data == b"\x01\x03" and len(fds) == 2, (data, fds)
    os.close(fds[0])
    channel = socket.socket(fileno=fds[1])
    on_fork(channel)
    channel.close()
'"#;

/// A group of processes that are forked from a zygote, which does this before it is ready.
fn preloading(processes: u32, begin: &str) -> Monitor {
    let mut setup = Setup::new(processes, &ZYGOTE.replace("@BEGIN@", begin));
    let group = setup.group();
    group.preload = true;
    group.gateway.imports = List(vec![ImportScript::default()]);
    setup.start()
}

/// The numbers in the next line that begins with this word.
fn next(monitor: &mut Monitor, word: &str) -> Vec<i32> {
    loop {
        let line = monitor.line_with(&format!("{word} "));
        let mut words = line.split(' ');
        if words.next() == Some(word) {
            return words.map(|word| word.parse().unwrap()).collect();
        }
    }
}

#[test]
fn forked_processes_are_the_monitors_own_and_die_like_others() {
    let mut monitor = preloading(2, "");
    next(&mut monitor, "zygote");
    let workers = [next(&mut monitor, "worker"), next(&mut monitor, "worker")];
    for worker in &workers {
        assert_eq!(worker[1], monitor.pid, "its parent");
    }
    let victim = workers[0][0];
    process::signal(victim, libc::SIGKILL).unwrap();
    let line = monitor.line_with(&format!("process {victim} ended with signal 9"));
    assert!(line.contains("starting another at once"), "{line}");
    next(&mut monitor, "worker");
    monitor.lose_parent();
    let (ended, log) = monitor.end();
    assert_eq!(ended, Ended::Exit(0));
    assert_eq!(log.matches("zygote ").count(), 1, "{log}");
    assert!(!log.contains("plain "), "{log}");
}

#[test]
fn a_process_that_is_no_new_child_is_not_taken_for_one_and_lives_on() {
    // It says that it is the process it was to fork, which is known already.
    let itself = "def on_fork(channel): channel.send(HELLO)";
    // A child of its own, which never becomes the monitor's.
    let child = "def on_fork(channel):\n    if os.fork() == 0:\n        channel.send(HELLO)\n        \
                 say(\"child\", os.getpid())\n        signal.pause()";
    // The monitor's, but nobody's leader: its group could not be found at its end.
    let follower = "def on_fork(channel):\n    pid = os.fork()\n    if pid == 0:\n        \
                    if os.fork(): os._exit(0)\n        \
                    while os.getppid() != MONITOR: pass\n        \
                    channel.send(HELLO)\n        os._exit(3)\n    os.waitpid(pid, 0)\n\
                    MONITOR = os.getppid()";
    for hostile in [itself, child, follower] {
        let mut monitor = preloading(1, hostile);
        let zygote = next(&mut monitor, "zygote")[0];
        let line = monitor.line_with("could not be forked");
        assert!(line.contains("is no new child; trying again"), "{line}");
        assert!(process::signal(zygote, 0).is_ok(), "the zygote lives");
    }
}

#[test]
fn a_zygote_of_which_nothing_comes_is_given_up() {
    let mut monitor = preloading(1, "def on_fork(channel): signal.pause()");
    let zygote = next(&mut monitor, "zygote")[0];
    monitor.line_with("a process could not be forked: no process was forked within 10 s");
    let line = monitor.line_with("cannot be forked: it does not answer");
    assert!(line.contains(&format!("process {zygote} ")), "{line}");
    next(&mut monitor, "plain");
}

#[test]
fn a_group_that_cannot_be_forked_starts_its_processes_one_by_one() {
    let reason = "monitor.send(CANNOT + bytes([3, 0, 0, 0]) + b\"why\"); os._exit(0)";
    let mut monitor = preloading(2, reason);
    let zygote = next(&mut monitor, "zygote")[0];
    let line = monitor.line_with("cannot be forked: why");
    assert!(line.contains("[wsgi:warn]"), "{line}");
    assert!(line.contains(&format!("process {zygote} ")), "{line}");
    next(&mut monitor, "plain");
    next(&mut monitor, "plain");
    monitor.lose_parent();
    assert_eq!(monitor.end().0, Ended::Exit(0));
}

#[test]
fn a_zygote_that_cannot_load_leaves_it_to_the_processes() {
    let mut monitor = preloading(1, "os._exit(88)");
    let zygote = next(&mut monitor, "zygote")[0];
    let line = monitor.line_with("could not load the application, as told above");
    assert!(line.contains(&format!("process {zygote} ")), "{line}");
    next(&mut monitor, "plain");
}

#[test]
fn a_zygote_that_dies_is_followed_by_another_and_its_processes_live_on() {
    let mut monitor = preloading(1, "");
    let zygote = next(&mut monitor, "zygote")[0];
    let worker = next(&mut monitor, "worker")[0];
    process::signal(zygote, libc::SIGKILL).unwrap();
    let line = monitor.line_with(&format!("process {zygote} ended with signal 9"));
    assert!(
        line.contains("; starting another at once to fork"),
        "{line}"
    );
    assert_ne!(next(&mut monitor, "zygote")[0], zygote);
    assert!(process::signal(worker, 0).is_ok(), "it lives");
    monitor.line_with("is forked from now on");
    process::signal(worker, libc::SIGKILL).unwrap();
    assert_ne!(next(&mut monitor, "worker")[0], worker);
}

#[test]
fn a_zygote_that_always_dies_is_started_ever_more_slowly() {
    let mut monitor = preloading(1, "os._exit(3)");
    for pause in ["at once", "in 1 s", "in 2 s"] {
        let line = monitor.line_with("to fork the group's processes");
        assert!(
            line.contains(&format!("starting another {pause} ")),
            "{line}"
        );
    }
}
