//! Request bodies: wsgi.input, its framings and its limits.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::serving;

const LINES: &str = "first line\nsecond\n\nfourth without an end";

/// Operations of `tests/apps/input` and what they yield for [`LINES`].
const READS: &[(&str, &str)] = &[
    ("read", "b'first line\\nsecond\\n\\nfourth without an end'"),
    (
        "read:-1",
        "b'first line\\nsecond\\n\\nfourth without an end'",
    ),
    (
        "read:5;read:5;read:0;read:2",
        "b'first'\nb' line'\nb''\nb'\\ns'",
    ),
    (
        "read:1000;read;read:1",
        "b'first line\\nsecond\\n\\nfourth without an end'\nb''\nb''",
    ),
    (
        "readline;readline;readline;readline;readline",
        "b'first line\\n'\nb'second\\n'\nb'\\n'\nb'fourth without an end'\nb''",
    ),
    (
        "readline:3;readline:20;readline:-1",
        "b'fir'\nb'st line\\n'\nb'second\\n'",
    ),
    ("readline:0;readline", "b''\nb'first line\\n'"),
    (
        "readlines",
        "[b'first line\\n', b'second\\n', b'\\n', b'fourth without an end']",
    ),
    (
        "readlines:12;read",
        "[b'first line\\n', b'second\\n']\nb'\\nfourth without an end'",
    ),
    (
        "iter",
        "[b'first line\\n', b'second\\n', b'\\n', b'fourth without an end']",
    ),
    (
        "next;read:3;readline;next",
        "b'first line\\n'\nb'sec'\nb'ond\\n'\nb'\\n'",
    ),
    (
        "readline;readlines;iter;read",
        "b'first line\\n'\n[b'second\\n', b'\\n', b'fourth without an end']\n[]\nb''",
    ),
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

in_both_modes! {
    fn every_way_to_read_gives_the_right_bytes(mode) {
        let server = serving(mode, "input").directive("WSGIChunkedRequest On").start();
        for (operations, expected) in READS {
            let target = format!("/?{operations}");
            let whole = server.send(&Request::post(&target, LINES));
            assert_eq!(whole.text(), *expected, "{operations}");
            let chunked = server.send(&Request::post_chunked(&target, LINES));
            assert_eq!(chunked.text(), *expected, "{operations}, chunked");
        }
    }

    fn a_request_without_a_body_reads_as_empty(mode) {
        let server = serving(mode, "input").start();
        assert_eq!(server.text("/?read;readline;readlines;iter"), "b''\nb''\n[]\n[]");
    }

    fn bodies_of_every_size_come_back_as_they_were_sent(mode) {
        let server = serving(mode, "echo").directive("WSGIChunkedRequest On").start();
        let mut connection = server.connect();
        let mut sizes = vec![0, 1, 999, 8191, 8192, 16383, 16384, 16385, 65536];
        let deadlocks = mode == Mode::Daemon && only_ours("bodies over a socket's buffer, echoed");
        if !deadlocks {
            sizes.extend([300_000, 3_000_000]);
        }
        for size in sizes {
            let body = pattern(size);
            let response = connection.roundtrip(&Request::post("/", body.clone())).expect("whole");
            assert!(response.whole && response.body == body, "{size}");
            let request = Request::post_chunked("/", body.clone());
            let response = connection.roundtrip(&request).expect("chunked");
            assert!(response.whole && response.body == body, "{size}, chunked");
        }
    }

    fn a_chunked_body_is_refused_unless_allowed(mode) {
        let mut server = serving(mode, "input")
            .directive("<Location /allowed>\nWSGIChunkedRequest On\n</Location>")
            .start();
        server.allow_log("hunked");
        let refused = server.send(&Request::post_chunked("/?read", "abc"));
        assert_eq!(refused.status(), 411);
        let allowed = server.send(&Request::post_chunked("/allowed?read", "abc"));
        assert_eq!(allowed.text(), "b'abc'");
    }

    fn a_body_nobody_reads_does_not_disturb_the_next_request(mode) {
        let server = serving(mode, "ignore_input").start();
        let mut connection = server.connect();
        for size in [10, 20_000, 500_000] {
            let response = connection.roundtrip(&Request::post("/", pattern(size)));
            assert_eq!(response.expect("an answer").text(), "ignored", "{size}");
        }
    }

    fn one_hundred_continue_is_sent_when_the_application_reads(mode) {
        let server = serving(mode, "input").start();
        let request = Request::post("/?read", "abc").header("Expect", "100-continue");
        let mut connection = server.connect();
        connection.write(&request.head()).expect("sent");
        let interim = connection.one_head(false).expect("an interim response");
        assert_eq!(interim.status, 100);
        connection.write(&request.framed_body()).expect("sent");
        let response = connection.response(false).expect("an answer");
        assert_eq!((response.status(), response.text().as_str()), (200, "b'abc'"));
    }

    fn one_hundred_continue_is_not_sent_when_nobody_reads(mode) {
        if mode == Mode::Daemon && only_ours("its daemons get every body at once") {
            return;
        }
        let server = serving(mode, "ignore_input").start();
        let request = Request::post("/", "abc").header("Expect", "100-continue");
        let mut connection = server.connect();
        connection.write(&request.head()).expect("sent");
        let head = connection.one_head(false).expect("an answer");
        assert_eq!(head.status, 200);
    }

    fn a_body_over_the_limit_is_refused(mode) {
        let mut server = serving(mode, "upload_hash")
            .directive("LimitRequestBody 1000")
            .directive("WSGIChunkedRequest On")
            .start();
        server.allow_log("LimitRequestBody");
        server.allow_log("limit");
        server.allow_log("larger");
        server.allow_log("equest body");
        let response = server.send(&Request::post("/", pattern(1001)));
        assert_eq!(response.status(), 413);
        assert_eq!(server.send(&Request::post("/", pattern(1000))).status(), 200);
    }

    fn a_content_length_that_is_no_number_is_refused(mode) {
        let mut server = serving(mode, "input").start();
        server.allow_log("Content-Length");
        server.allow_log("AH");
        let mut connection = server.connect();
        let head = "POST /?read HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n";
        connection.write(head.as_bytes()).expect("sent");
        assert_eq!(connection.response(false).expect("an answer").status(), 400);
    }

    fn the_application_learns_that_the_client_has_gone(mode) {
        let mut server = serving(mode, "input_error").start();
        server.allow_log("equest");
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc";
        connection.write(head.as_bytes()).expect("sent");
        drop(connection);
        let note = wait::until("the application's note", || {
            fs::read_to_string(server.state("input_error")).ok().filter(|note| !note.is_empty())
        });
        assert!(note.starts_with("OSError: mod_wsgi request data read error: "), "{note}");
    }

    fn the_input_is_dead_when_its_request_is_over(mode) {
        let server = serving(mode, "input_kept").start();
        assert_eq!(server.send(&Request::post("/", "abc")).text(), "kept");
        let answer = server.text("/");
        assert!(answer.ends_with("Error") || answer == "b''", "{answer}");
    }

    fn malformed_chunks_do_not_pass_for_a_body(mode) {
        let mut server = serving(mode, "input_error").directive("WSGIChunkedRequest On").start();
        server.allow_log("equest");
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.write(head.as_bytes()).expect("sent");
        connection.write(b"3\r\nabc\r\nzz\r\n").expect("sent");
        // The answer's status is the application's or ours: it must only not have read a whole.
        let _ = connection.response(false);
        let note = wait::until("the application's note", || {
            fs::read_to_string(server.state("input_error")).ok().filter(|note| !note.is_empty())
        });
        assert!(note.starts_with("OSError: mod_wsgi request data read error: "), "{note}");
    }
}

/// The application lets the error through, so the answer is ours: RFC 9110 §15.5.9.
fn a_body_that_stalls(mode: Mode) {
    if only_ours("the C module answers 500 to a stalled body") {
        return;
    }
    let mut server: Server = serving(mode, "upload_hash").directive("Timeout 1").start();
    server.allow_log("");
    let mut connection = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc";
    connection.write(head.as_bytes()).expect("sent");
    assert_eq!(connection.response(false).expect("an answer").status(), 408);
}

#[test]
fn a_body_that_stalls_ends_as_408_embedded() {
    a_body_that_stalls(Mode::Embedded);
}

#[test]
fn a_body_that_stalls_ends_as_408_daemon() {
    a_body_that_stalls(Mode::Daemon);
}

#[test]
fn a_chunked_body_over_the_limit_is_refused_when_the_limit_is_passed() {
    if only_ours("the C module answers 500 in a daemon") {
        return;
    }
    for mode in [Mode::Embedded, Mode::Daemon] {
        let mut server = serving(mode, "upload_hash")
            .directive("LimitRequestBody 1000\nWSGIChunkedRequest On")
            .start();
        server.allow_log("");
        let response = server.send(&Request::post_chunked("/", pattern(100_000)));
        assert_eq!(response.status(), 413, "{mode:?}");
    }
}
