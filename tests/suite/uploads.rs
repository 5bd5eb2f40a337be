//! Request bodies that are changed, cut, limited or answered on their way.

use std::io::Write;
use std::process::{Command, Stdio};

use wsgi_tests::apache::only_ours;
use wsgi_tests::client::Framing;
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::serving;

/// Bytes packed by gzip(1).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is installed");
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("gzip ends");
    writer.join().expect("no panic").expect("gzip reads it all");
    output.stdout
}

fn chunked_head(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
}

in_both_modes! {
    fn an_inflated_body_is_read_to_its_end(mode) {
        let server = serving(mode, "echo")
            .modules(&["deflate", "filter"])
            .directive("SetInputFilter DEFLATE\nDeflateInflateRatioLimit 1000\nWSGIChunkedRequest On")
            .start();
        let mut connection = server.connect();
        let deadlocks = mode == Mode::Daemon && only_ours("bodies over a socket's buffer, echoed");
        let sizes: &[u32] = if deadlocks { &[10, 20_000] } else { &[10, 20_000, 500_000] };
        for &size in sizes {
            let plain: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let packed = gzip(&plain);
            for request in [
                Request::post("/", packed.clone()).header("Content-Encoding", "gzip"),
                Request::post_chunked("/", packed.clone()).header("Content-Encoding", "gzip"),
                Request::post("/", plain.clone()),
            ] {
                let response = connection.roundtrip(&request).expect("an answer");
                assert!(response.whole && response.body == plain, "{size}: {}", response.body.len());
            }
        }
    }

    fn an_inflated_body_is_read_by_lines_and_pieces(mode) {
        let server = serving(mode, "input")
            .modules(&["deflate", "filter"])
            .directive("SetInputFilter DEFLATE")
            .start();
        let packed = gzip(b"first\nsecond\nthird");
        for (operations, expected) in [
            ("read:3;readline;read", "b'fir'\nb'st\\n'\nb'second\\nthird'"),
            ("readlines", "[b'first\\n', b'second\\n', b'third']"),
            ("iter;read:1", "[b'first\\n', b'second\\n', b'third']\nb''"),
        ] {
            let request = Request::post(&format!("/?{operations}"), packed.clone());
            let response = server.send(&request.header("Content-Encoding", "gzip"));
            assert_eq!(response.text(), expected, "{operations}");
        }
    }

    fn a_client_that_goes_away_is_one_calm_line(mode) {
        let mut server = serving(mode, "upload_hash").start();
        if wsgi_tests::apache::compat().is_some() {
            server.allow_log("");
        }
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc";
        connection.write(head.as_bytes()).expect("sent");
        drop(connection);
        if only_ours("it logs a traceback") {
            return;
        }
        let line = server.wait_for_log("the client closed the connection");
        assert!(line.contains("[wsgi:info]") && line.contains("upload_hash/app.wsgi"), "{line}");
        assert_eq!(server.text("/").split(' ').nth(1), Some("0"));
        assert_eq!(server.log().lines_with("the client closed").len(), 1);
        assert!(!server.log().text().contains("Traceback"));
    }

    fn an_application_that_handles_the_loss_is_not_mentioned(mode) {
        if only_ours("it logs the failure to read") {
            return;
        }
        let server = serving(mode, "input_error").start();
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nabc";
        connection.write(head.as_bytes()).expect("sent");
        drop(connection);
        wait::until_true("the application's note", || server.state("input_error").exists());
        server.get("/");
        assert!(server.log().lines_with("the client closed").is_empty());
    }

    fn trailers_do_not_disturb_what_follows(mode) {
        let server = serving(mode, "echo").directive("WSGIChunkedRequest On").start();
        let mut connection = server.connect();
        for _ in 0..2 {
            connection.write(chunked_head("/").as_bytes()).expect("sent");
            connection.write(b"3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: t\r\n\r\n").expect("sent");
            assert_eq!(connection.response(false).expect("an answer").text(), "abcdefg");
        }
    }

    fn an_answer_begins_while_the_question_still_comes(mode) {
        if only_ours("its daemons get the whole body first") && mode == Mode::Daemon {
            return;
        }
        let server = serving(mode, "dialogue").directive("WSGIChunkedRequest On").start();
        let mut connection = server.connect();
        connection.write(chunked_head("/").as_bytes()).expect("sent");
        connection.write(b"5\r\nfirst\r\n").expect("sent");
        let head = connection.head(false).expect("a head before the body's end");
        assert_eq!(head.framing, Framing::Chunked);
        assert_eq!(connection.chunk().expect("a chunk"), Some(b"<first>".to_vec()));
        connection.write(b"6\r\nsecond\r\n").expect("sent");
        assert_eq!(connection.chunk().expect("a chunk"), Some(b"<second>".to_vec()));
        connection.write(b"0\r\n\r\n").expect("sent");
        assert_eq!(connection.chunk().expect("a chunk"), Some(Vec::new()));
        let next = connection.roundtrip(&Request::post("/", "x")).expect("an answer");
        assert_eq!(next.text(), "<x>");
    }

    fn a_transfer_coding_that_is_not_chunked_is_not_implemented(mode) {
        let mut server = serving(mode, "input").directive("WSGIChunkedRequest On").start();
        server.allow_log("ransfer");
        for coding in ["gzip", "identity", "gzip, chunked", "chunked, gzip"] {
            let head = format!("POST /?read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n");
            let mut connection = server.connect();
            connection.write(head.as_bytes()).expect("sent");
            let status = connection.response(false).expect("an answer").status();
            assert!([400, 501].contains(&status), "{coding}: {status}");
        }
    }

    fn a_body_shorter_than_declared_is_a_failure_not_an_end(mode) {
        let server = serving(mode, "input_error").start();
        let mut server: Server = server;
        server.allow_log("equest");
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
        connection.write(head.as_bytes()).expect("sent");
        connection.finish_writing().expect("half closed");
        let note = wait::until("the application's note", || {
            std::fs::read_to_string(server.state("input_error")).ok().filter(|note| !note.is_empty())
        });
        assert!(note.starts_with("OSError: mod_wsgi request data read error: "), "{note}");
    }

    fn a_body_longer_than_declared_is_the_next_request(mode) {
        let server = serving(mode, "echo").start();
        let mut connection = server.connect();
        let first = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
        connection.write(first.as_bytes()).expect("sent");
        connection.write(&Request::post("/", "second").head()).expect("sent");
        connection.write(b"second").expect("sent");
        assert_eq!(connection.response(false).expect("an answer").text(), "abc");
        assert_eq!(connection.response(false).expect("an answer").text(), "second");
    }

    fn a_body_slower_than_mod_reqtimeout_allows_is_a_408(mode) {
        if only_ours("it answers 500") {
            return;
        }
        let server = serving(mode, "upload_hash")
            .modules(&["reqtimeout"])
            .directive("RequestReadTimeout body=1")
            .start();
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
        connection.write(head.as_bytes()).expect("sent");
        assert_eq!(connection.response(false).expect("an answer").status(), 408);
        let line = server.wait_for_log("too slowly");
        assert!(line.contains("[wsgi:info]"), "{line}");
    }

    fn an_expectation_is_answered_once_before_a_chunked_body(mode) {
        let server = serving(mode, "echo").directive("WSGIChunkedRequest On").start();
        let mut connection = server.connect();
        let request = Request::post_chunked("/", "abc").header("Expect", "100-continue");
        for _ in 0..2 {
            connection.write(&request.head()).expect("sent");
            assert_eq!(connection.one_head(false).expect("an interim response").status, 100);
            connection.write(&request.framed_body()).expect("sent");
            let response = connection.response(false).expect("an answer");
            assert_eq!((response.head.interim.len(), response.text().as_str()), (0, "abc"));
        }
    }

    fn an_upload_over_http_2_is_read_to_its_end(mode) {
        let server = serving(mode, "upload_hash")
            .modules(&["http2"])
            .directive("Protocols h2c http/1.1\nWSGIChunkedRequest On")
            .start();
        let url = format!("http://127.0.0.1:{}/", server.address().port());
        std::fs::write(server.state("body"), vec![b'z'; 700_000]).expect("the directory is ours");
        let data = format!("@{}", server.state("body").display());
        let options = ["--http2-prior-knowledge", "--data-binary", &data];
        let answer = wsgi_tests::curl::fetch(&url, &options);
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8_lossy(&answer.body).ends_with(" 700000"));
        if mode == Mode::Daemon && only_ours("its daemons read such a body as empty") {
            return;
        }
        // Without a length: HTTP/2 needs no chunks for that.
        let options = ["--http2-prior-knowledge", "-T", &data[1..], "-H", "Content-Length:"];
        let answer = wsgi_tests::curl::fetch(&url, &options);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 200 && body.ends_with(" 700000"), "{} {body}", answer.status);
    }
}
