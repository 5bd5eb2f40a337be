//! Connections, threads and permits: who is answered, who waits, who is sent away.

use std::time::Duration;

use wsgi_wire::head::Body;

use super::harness::{
    Child, Daemon, Message, Request, Setup, each_python, newest_python, wait_until,
};
use super::script;

/// A request whose application waits for its body, so that it runs until we let it end.
fn occupy(daemon: &Daemon) -> Child {
    let child = daemon.connect();
    child.send(&Request::post("/wait_for_body", Body::Pulled(None)));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    assert!(matches!(child.receive(), Message::BodyWanted(_)));
    child
}

/// Lets it end.
fn let_go(child: &Child) {
    child.send_body(b"");
    let answer = child.collect(&[]);
    assert!(answer.is_whole(), "{answer:?}");
}

#[test]
fn a_request_is_answered_and_its_connection_carries_the_next() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(""));
        let child = daemon.connect();
        for _ in 0..3 {
            let answer = child.ask(&Request::get("/hello"));
            assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
            assert!(answer.is_whole());
        }
        wait_until("the hint page tells of three requests", || {
            daemon.served() == 3
        });
    });
}

#[test]
fn the_first_answer_on_a_connection_tells_who_answers() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    child.send(&Request::get("/hello"));
    match child.receive() {
        Message::Welcome { pid, slot } => assert_eq!((pid, slot), (daemon.pid as u32, 0)),
        other => panic!("{other:?}"),
    }
    assert!(child.collect(&[]).is_whole());
    child.send(&Request::get("/hello"));
    assert!(matches!(child.receive(), Message::Head(_)));
}

#[test]
fn as_many_requests_run_at_once_as_there_are_threads() {
    let daemon = Setup::new(newest_python(), &script("")).threads(3).start();
    let running: Vec<_> = (0..3).map(|_| occupy(&daemon)).collect();
    assert_eq!((daemon.active(), daemon.threads()), (3, 3));
    running.iter().for_each(let_go);
    wait_until("no request runs", || daemon.active() == 0);
}

#[test]
fn a_new_connection_waits_in_the_queue_until_a_thread_is_free() {
    let daemon = Setup::new(newest_python(), &script("")).threads(1).start();
    let running = occupy(&daemon);
    let queued = [daemon.connect(), daemon.connect(), daemon.connect()];
    for child in &queued {
        child.send(&Request::get("/hello"));
    }
    let_go(&running);
    for child in &queued {
        assert_eq!(child.collect(&[]).text(), "hello");
    }
}

#[test]
fn a_kept_connection_is_told_busy_when_no_thread_is_free_and_stays_of_use() {
    let daemon = Setup::new(newest_python(), &script("")).threads(1).start();
    let kept = daemon.connect();
    assert!(kept.ask(&Request::get("/hello")).is_whole());
    let running = occupy(&daemon);
    for _ in 0..3 {
        let answer = kept.ask(&Request::get("/hello"));
        assert!(matches!(answer.end, Some(Message::Busy)), "{answer:?}");
        assert!(answer.head.is_none());
    }
    let_go(&running);
    wait_until("the connection is answered again", || {
        kept.ask(&Request::get("/hello")).text() == "hello"
    });
}

#[test]
fn a_connection_that_is_closed_between_requests_costs_nothing() {
    let daemon = Setup::new(newest_python(), &script("")).threads(1).start();
    for _ in 0..50 {
        assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    }
    drop(daemon.connect());
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    wait_until("no request runs", || daemon.active() == 0);
}

#[test]
fn a_head_larger_than_a_sockets_buffer_arrives() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def length(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 return [str(len(environ['HTTP_LONG'])).encode()]\n",
        ),
    );
    for length in [30_000, 100_000, 1_000_000, 5_000_000] {
        let value = vec![b'x'; length];
        let child = daemon.connect();
        let answer = child.ask(&Request::get("/length").with(b"HTTP_LONG", &value));
        assert_eq!(answer.text(), length.to_string());
        assert!(child.ask(&Request::get("/hello")).is_whole());
    }
}

#[test]
fn bytes_that_are_no_message_close_their_connection_only() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let kept = daemon.connect();
    assert!(kept.ask(&Request::get("/hello")).is_whole());
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[1, 3, 0, 0, 0, 0, 0, 0],
        &[1, 1, 0, 0, 255, 255, 255, 255],
    ] {
        let child = daemon.connect();
        child.send_bytes(garbage);
        assert!(matches!(child.receive(), Message::Reset | Message::Closed));
    }
    assert!(kept.ask(&Request::get("/hello")).is_whole());
    assert!(
        daemon.log().contains("unreadable message"),
        "{}",
        daemon.log()
    );
}

/// A request of eight header bytes that announces `length` more, and what of them is given.
fn announced(length: u32, given: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 0, 0];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(given);
    bytes
}

#[test]
fn who_does_not_know_the_secret_is_refused_and_named() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let stranger = daemon.connect();
    assert!(stranger.send(&Request::get("/hello").of_a_stranger()));
    assert!(matches!(stranger.receive(), Message::Reset));
    let line = format!("process {} of user", std::process::id());
    assert!(daemon.log().contains(&line), "{}", daemon.log());
    assert_eq!(daemon.served(), 0);
}

#[test]
fn who_does_not_know_the_secret_takes_no_thread() {
    let daemon = Setup::new(newest_python(), &script("")).threads(1).start();
    let stranger = daemon.connect();
    stranger.send_bytes(&announced(1 << 20, &[0; 64]));
    // The one thread has room for whoever comes next.
    let next = daemon.connect();
    assert!(next.send(&Request::get("/hello").of_a_stranger()));
    assert!(matches!(next.receive(), Message::Reset));
    assert!(matches!(stranger.receive(), Message::Reset));
}

#[test]
fn who_does_not_know_the_secret_starts_no_clock() {
    let start = || {
        Setup::new(newest_python(), &script(""))
            .with(|config| config.settings.startup_timeout = Duration::from_secs(1))
            .start()
    };
    let (daemon, mut other) = (start(), start());
    let stranger = daemon.connect();
    stranger.send(&Request::get("/hello").of_a_stranger());
    assert!(matches!(stranger.receive(), Message::Reset));
    // Its clock starts later, and runs out.
    let missing = Request::get("/").script(other.file("missing.wsgi"));
    assert!(!other.connect().ask(&missing).is_whole());
    other.ended();
    let log = daemon.log();
    assert!(!log.contains("startup-timeout"), "{log}");
}

#[test]
fn a_client_that_leaves_during_its_request_does_not_keep_the_thread() {
    let daemon = Setup::new(newest_python(), &script("")).threads(1).start();
    drop(occupy(&daemon));
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    wait_until("no request runs", || daemon.active() == 0);
}

/// Sends more than sockets hold, and tells by a file when its iteration is closed.
const POURS: &str = "import os\n\
     def pours(environ, start_response):\n    \
         start_response('200 OK', [])\n    \
         try:\n        \
             for _ in range(1000):\n            \
                 yield b'x' * 65536\n    \
         finally:\n        \
             open(os.path.join(os.path.dirname(__file__), 'closed'), 'w').close()\n";

#[test]
fn a_client_that_does_not_read_stalls_its_own_request_only() {
    let daemon = Daemon::start(newest_python(), &script(POURS));
    let slow = daemon.connect();
    slow.send(&Request::get("/pours"));
    wait_until("the response is begun", || daemon.active() == 1);
    let other = daemon.connect();
    for _ in 0..100 {
        assert!(other.ask(&Request::get("/hello")).is_whole());
    }
    assert_eq!(daemon.active(), 1);
    assert_eq!(slow.collect(&[]).body.len(), 1000 * 65536);
}

#[test]
fn a_client_that_leaves_during_its_response_ends_the_iteration() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(POURS));
        let child = daemon.connect();
        child.send(&Request::get("/pours"));
        assert!(matches!(child.receive(), Message::Welcome { .. }));
        drop(child);
        wait_until("the iteration is closed", || daemon.file("closed").exists());
        wait_until("no request runs", || daemon.active() == 0);
    });
}

#[test]
fn programs_of_the_application_inherit_no_descriptor() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def inherited(environ, start_response):\n    \
                 import subprocess\n    \
                 listed = subprocess.run(['ls', '/proc/self/fd'], close_fds=False,\n        \
                     stdout=subprocess.PIPE).stdout\n    \
                 start_response('200 OK', [])\n    \
                 return [listed]\n",
        ),
    );
    let answer = daemon.connect().ask(&Request::get("/inherited"));
    // The fourth is the directory that ls reads.
    assert_eq!(answer.text(), "0\n1\n2\n3\n");
}

#[test]
fn the_process_list_shows_the_display_name() {
    let named = Setup::new(newest_python(), &script(""))
        .with(|config| config.settings.display_name = Some(b"(wsgi:tested)".to_vec()));
    let daemon = named.start();
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    let shown = std::fs::read(format!("/proc/{}/cmdline", daemon.pid)).unwrap();
    assert!(
        shown.starts_with(b"(wsgi:tested)\0"),
        "{}",
        String::from_utf8_lossy(&shown)
    );
}
