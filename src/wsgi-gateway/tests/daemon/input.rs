//! `wsgi.input`: pulled from the child, never more than asked for.

use std::fs;

use wsgi_wire::Failure;
use wsgi_wire::head::Body;

use super::harness::{Answer, Daemon, Message, Request, each_python, newest_python};
use super::script;

const READS: &str = "def run(environ, start_response):\n    \
         stream = environ['wsgi.input']\n    \
         result = repr(eval(environ['test.expression']))\n    \
         start_response('200 OK', [])\n    \
         return [result.encode()]\n";

fn pulled(daemon: &Daemon, expression: &str, body: &[u8]) -> Answer {
    let child = daemon.connect();
    let request = Request::post("/run", Body::Pulled(None));
    child.send(&request.with(b"test.expression", expression.as_bytes()));
    child.collect(body)
}

#[test]
fn every_way_to_read_gives_the_same_bytes_pulled_or_inline() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(READS));
        let body = b"one\ntwo\n\nthree";
        for (expression, expected) in [
            ("stream.read()", "b'one\\ntwo\\n\\nthree'"),
            ("stream.read(-1)", "b'one\\ntwo\\n\\nthree'"),
            ("stream.read(None)", "b'one\\ntwo\\n\\nthree'"),
            (
                "stream.read(5), stream.read(100), stream.read(1)",
                "(b'one\\nt', b'wo\\n\\nthree', b'')",
            ),
            ("stream.read(0)", "b''"),
            ("stream.readline(), stream.read(2)", "(b'one\\n', b'tw')"),
            ("stream.readline(2), stream.readline()", "(b'on', b'e\\n')"),
            (
                "stream.readlines()",
                "[b'one\\n', b'two\\n', b'\\n', b'three']",
            ),
            ("list(stream)", "[b'one\\n', b'two\\n', b'\\n', b'three']"),
            ("stream.readlines(4)", "[b'one\\n']"),
            (
                "stream.read(), stream.readline(), list(stream)",
                "(b'one\\ntwo\\n\\nthree', b'', [])",
            ),
        ] {
            assert_eq!(
                pulled(&daemon, expression, body).text(),
                expected,
                "{expression}"
            );
            let inline = Request::post("/run", Body::Inline(body));
            let inline = inline.with(b"test.expression", expression.as_bytes());
            assert_eq!(
                daemon.connect().ask(&inline).text(),
                expected,
                "{expression}, inline"
            );
        }
    });
}

#[test]
fn nothing_is_asked_for_until_the_application_reads() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    child.send(&Request::post("/hello", Body::Pulled(Some(10))));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    assert!(matches!(child.receive(), Message::Head(_)));
    assert!(child.collect(&[]).is_whole());
    assert!(child.ask(&Request::get("/hello")).is_whole());
}

#[test]
fn a_declared_length_is_read_without_asking_for_the_end() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    child.send(&Request::post("/wait_for_body", Body::Pulled(Some(5))));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    match child.receive() {
        Message::BodyWanted(max) => assert!((1..=5).contains(&max), "{max}"),
        other => panic!("{other:?}"),
    }
    child.send_body(b"12345");
    match child.receive() {
        Message::Head(head) => assert_eq!(head.status, 200),
        other => panic!("{other:?}"),
    }
    assert_eq!(child.collect(&[]).text(), "12345");
}

#[test]
fn pieces_of_any_size_are_joined() {
    let daemon = Daemon::start(newest_python(), &script(""));
    let child = daemon.connect();
    child.send(&Request::post("/wait_for_body", Body::Pulled(None)));
    let mut sent = Vec::new();
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    for length in [1usize, 2, 3, 1000, 1, 4000] {
        match child.receive() {
            Message::BodyWanted(max) => {
                let piece = vec![b'a' + (length % 26) as u8; length.min(max as usize)];
                child.send_body(&piece);
                sent.extend_from_slice(&piece);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(child.collect(&[]).body, sent);
}

#[test]
fn a_body_that_fails_raises_os_error_and_the_application_may_still_answer() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def tries(environ, start_response):\n    \
                 try:\n        \
                     environ['wsgi.input'].read()\n    \
                 except OSError as error:\n        \
                     start_response('413 Too Large', [])\n        \
                     return [b'caught']\n",
        ),
    );
    let child = daemon.connect();
    child.send(&Request::post("/tries", Body::Pulled(None)));
    assert!(matches!(child.receive(), Message::Welcome { .. }));
    assert!(matches!(child.receive(), Message::BodyWanted(_)));
    child.fail_body(Failure::BodyTooLarge);
    let answer = child.collect(&[]);
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (413, "caught"),
        "{answer:?}"
    );
}

#[test]
fn a_body_that_fails_under_an_application_that_does_not_care_fails_its_request() {
    let daemon = Daemon::start(newest_python(), &script(""));
    for failure in [
        Failure::ClientGone,
        Failure::BodyTimedOut,
        Failure::BodyTooLarge,
    ] {
        let child = daemon.connect();
        child.send(&Request::post("/wait_for_body", Body::Pulled(None)));
        assert!(matches!(child.receive(), Message::Welcome { .. }));
        assert!(matches!(child.receive(), Message::BodyWanted(_)));
        child.fail_body(failure);
        let answer = child.collect(&[]);
        assert!(answer.failure().is_some(), "{failure:?}: {answer:?}");
        assert!(answer.head.is_none());
    }
}

#[test]
fn a_long_body_read_in_pieces_does_not_grow_the_process() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def count(environ, start_response):\n    \
                 total = 0\n    \
                 for piece in iter(lambda: environ['wsgi.input'].read(65536), b''):\n        \
                     total += len(piece)\n    \
                 start_response('200 OK', [])\n    \
                 return [str(total).encode()]\n",
        ),
    );
    assert!(daemon.connect().ask(&Request::get("/hello")).is_whole());
    let before = peak_kilobytes(daemon.pid);
    let body = vec![7; 128 << 20];
    let child = daemon.connect();
    child.send(&Request::post("/count", Body::Pulled(None)));
    assert_eq!(child.collect(&body).text(), body.len().to_string());
    let grown = peak_kilobytes(daemon.pid) - before;
    assert!(grown < 4096, "grew by {grown} kB");
}

fn peak_kilobytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn input_that_outlives_its_request_raises_runtime_error() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "kept = []\n\
                 def keep(environ, start_response):\n    \
                     kept.append(environ['wsgi.input'])\n    \
                     start_response('200 OK', [])\n    \
                     return []\n\
                 def use(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     try:\n        \
                         return [kept[0].read()]\n    \
                     except RuntimeError:\n        \
                         return [b'refused']\n",
            ),
        );
        let child = daemon.connect();
        assert!(
            child
                .ask(&Request::post("/keep", Body::Pulled(None)))
                .is_whole()
        );
        assert_eq!(child.ask(&Request::get("/use")).text(), "refused");
    });
}
