//! Requests that break the rules of HTTP (RFC 9112), byte by byte: each gets the status that httpd and
//! mod_wsgi give, and none reaches the application as something else than it is.

use std::io::ErrorKind;

use wsgi_tests::apache::compat;
use wsgi_tests::{Mode, Server};

use crate::support::serving;

/// What a request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// One status, with httpd alone, with mod_wsgi and with us.
    Same(u16),
    /// Ours where mod_wsgi's answer blames the application for what the client did.
    Ours(u16),
}

use Outcome::{Ours, Same};

/// Request line and headers up to the empty line: `\n` stands for CRLF, and what follows `|` is sent
/// as it is.
const HEADS: &[(&str, Outcome)] = &[
    ("GET / HTTP/1.1\nHost: a\n", Same(200)),
    ("\nGET / HTTP/1.1\nHost: a\n", Same(200)),
    ("GET / HTTP/1.0\n", Same(200)),
    ("GET / HTTP/1.1\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nHost: b\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a b\n", Same(400)),
    ("GET / HTTP/1.1\nHost: [::1\n", Same(400)),
    ("GET / HTTP/1.1\nHost:\n", Same(400)),
    ("FOO / HTTP/1.1\nHost: a\n", Same(200)),
    ("get / HTTP/1.1\nHost: a\n", Same(200)),
    ("G(T / HTTP/1.1\nHost: a\n", Same(400)),
    ("GET http://a/ HTTP/1.1\nHost: a\n", Same(200)),
    ("GET http://other/x HTTP/1.1\nHost: a\n", Same(200)),
    ("GET ftp://a/ HTTP/1.1\nHost: a\n", Same(400)),
    ("GET a/b HTTP/1.1\nHost: a\n", Same(400)),
    ("CONNECT a:80 HTTP/1.1\nHost: a\n", Same(200)),
    ("OPTIONS * HTTP/1.1\nHost: a\n", Same(200)),
    ("OPTIONS / HTTP/1.1\nHost: a\n", Same(200)),
    ("TRACE / HTTP/1.1\nHost: a\n", Same(200)),
    ("GET / HTTP/2.0\nHost: a\n", Same(200)),
    ("GET / HTTP/1.5\nHost: a\n", Same(200)),
    ("GET / HTTP/0.9\nHost: a\n", Same(400)),
    ("GET / HTP/1.1\nHost: a\n", Same(400)),
    ("GET / HTTP/1.1 x\nHost: a\n", Same(400)),
    ("GET  / HTTP/1.1\nHost: a\n", Same(400)),
    ("GET\t/ HTTP/1.1\nHost: a\n", Same(400)),
    (" GET / HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /%00 HTTP/1.1\nHost: a\n", Same(404)),
    ("GET /%zz HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /a%2fb HTTP/1.1\nHost: a\n", Same(404)),
    ("GET /../../etc/passwd HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /%2e%2e/etc/passwd HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /a/../b HTTP/1.1\nHost: a\n", Same(200)),
    ("GET /\x01 HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /a b HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /#fragment HTTP/1.1\nHost: a\n", Same(400)),
    ("GET /?a=\" HTTP/1.1\nHost: a\n", Same(200)),
    ("GET / HTTP/1.1\nHost: a\nno colon\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\n: empty\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX Y: z\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX-Y : z\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX(Y): z\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX_Y: z\n", Same(200)),
    ("GET / HTTP/1.1\nHost: a\nX: a\x00b\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX: a\x01b\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nX: a\n folded\n", Same(200)),
    ("GET / HTTP/1.1\n folded\nHost: a\n", Same(400)),
    ("GET / HTTP/1.1\nHost: a\nExpect: nonsense\n", Same(417)),
    ("GET / HTTP/1.1\nHost: a\nConnection: \"\n", Same(200)),
    ("GET / HTTP/1.1\nHost: a\nRange: bytes=9-1\n", Same(200)),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: -1\n", Same(400)),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: +5\n", Same(400)),
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 5, 5\n",
        Same(400),
    ),
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 6\n",
        Same(400),
    ),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: 0x5\n", Same(400)),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: 5 5\n", Same(400)),
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999999\n",
        Same(400),
    ),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: \n", Same(400)),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: 0\n", Same(200)),
    ("POST / HTTP/1.1\nHost: a\n", Same(200)),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\n",
        Same(400),
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n",
        Same(400),
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, gzip\n",
        Same(400),
    ),
    ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding:\n", Same(400)),
    (
        "POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n",
        Ours(400),
    ),
];

/// Bodies after a head with `Transfer-Encoding: chunked`; `\n` stands for CRLF.
const CHUNKS: &[(&str, Outcome)] = &[
    ("3\nabc\n0\n\n", Same(200)),
    ("3;name=value\nabc\n0\n\n", Same(200)),
    ("3 \nabc\n0\n\n", Same(200)),
    ("0003\nabc\n000\n\n", Same(200)),
    ("A\n0123456789\n0\n\n", Same(200)),
    ("3\nabc\n0\nX-Trailer: a\n\n", Same(200)),
    ("zz\nabc\n0\n\n", Ours(400)),
    ("-1\nabc\n0\n\n", Ours(400)),
    ("+3\nabc\n0\n\n", Ours(400)),
    ("0x3\nabc\n0\n\n", Ours(400)),
    ("\nabc\n0\n\n", Ours(400)),
    ("3\nabcd\n0\n\n", Ours(400)),
    ("3\nabcX0\n\n", Ours(400)),
    ("FFFFFFFFFFFFFFFFF\nabc\n0\n\n", Ours(413)),
    ("3\x00\nabc\n0\n\n", Ours(400)),
];

fn status_of(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut connection = server.connect();
    match connection.write(bytes) {
        // A server may refuse before it has read everything.
        Ok(()) => connection.finish_writing().unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => panic!("{error}"),
    }
    connection
        .response(false)
        .ok()
        .map(|response| response.status())
}

fn check(server: &Server, cases: impl Iterator<Item = (Vec<u8>, Outcome)>) {
    let mut complaints = Vec::new();
    for (bytes, expected) in cases {
        let found = status_of(server, &bytes);
        let right = match expected {
            Same(status) => found == Some(status),
            Ours(_) if compat().is_some() => found.is_some_and(|status| status >= 400),
            Ours(status) => found == Some(status),
        };
        if !right {
            let start = bytes[..bytes.len().min(200)].escape_ascii();
            complaints.push(format!("{found:?}, not {expected:?}: {start}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn start(mode: Mode) -> Server {
    let mut server = serving(mode, "upload_hash")
        .directive("WSGIChunkedRequest On\nLogLevel warn wsgi:info mpm_event:info")
        .start();
    // httpd explains each of its refusals.
    server.allow_log("");
    server
}

in_both_modes! {
    fn heads_that_break_the_rules_get_the_same_answers_everywhere(mode) {
        let server = start(mode);
        check(&server, HEADS.iter().map(|(head, expected)| {
            (format!("{head}\n").replace('\n', "\r\n").into_bytes(), *expected)
        }));
    }

    fn bodies_whose_framing_is_broken_are_the_clients_fault(mode) {
        let server = start(mode);
        let head = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n";
        check(&server, CHUNKS.iter().map(|(body, expected)| {
            (format!("{head}{body}").replace('\n', "\r\n").into_bytes(), *expected)
        }));
    }

    fn sizes_over_httpds_limits_are_refused(mode) {
        let server = start(mode);
        let long = "x".repeat(9000);
        let many = (0..101).map(|index| format!("X-{index}: y\r\n")).collect::<String>();
        let head = |line: &str, fields: &str| {
            format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
        };
        check(&server, [
            (head(&format!("GET /{long}"), ""), Same(414)),
            (head(&format!("GET /?{long}"), ""), Same(414)),
            (head(&format!("{long} /"), ""), Same(414)),
            (head("GET /", &format!("X: {long}\r\n")), Same(400)),
            (head("GET /", &format!("{long}: x\r\n")), Same(400)),
            (head("GET /", &many), Same(400)),
            (head("GET /", &format!("X: {}\r\n", "y".repeat(8000))), Same(200)),
        ].into_iter());
    }

    fn line_ends_without_a_carriage_return_are_refused(mode) {
        let server = start(mode);
        check(&server, [
            (b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), Same(400)),
            (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_vec(), Same(400)),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".to_vec(), Same(400)),
        ].into_iter());
    }

    fn both_framings_at_once_are_not_smuggled(mode) {
        let server = start(mode);
        let mut connection = server.connect();
        connection
            .write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\nabc\r\n0\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("sent");
        let response = connection.response(false).expect("an answer");
        if response.status() == 200 {
            assert!(response.text().ends_with(" 3"), "{}", response.text());
        }
        // httpd closes the connection, as a proxy in front may have understood it differently.
        assert!(connection.response(false).is_err());
    }

    fn an_application_sees_a_folded_header_as_one_line(mode) {
        let server = serving(mode, "environ").start();
        let mut connection = server.connect();
        connection.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Fold: a\r\n  b\r\n\tc\r\n\r\n").expect("sent");
        let environ = crate::support::environ_of(&connection.response(false).expect("an answer").text());
        assert_eq!(environ["HTTP_X_FOLD"].1, "'a b c'");
    }

    fn an_application_sees_odd_methods_and_targets_as_they_are(mode) {
        let server = serving(mode, "environ").start();
        let ask = |line: &str| {
            let mut connection = server.connect();
            connection.write(format!("{line}\r\nHost: a.example\r\n\r\n").as_bytes()).expect("sent");
            let text = connection.response(false).expect("an answer").text();
            let environ = crate::support::environ_of(&text);
            ["REQUEST_METHOD", "REQUEST_URI", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL"]
                .map(|key| environ[key].1.trim_matches('\'').to_owned())
        };
        assert_eq!(ask("FOO /a?b HTTP/1.1"), ["FOO", "/a?b", "/a", "b", "HTTP/1.1"]);
        assert_eq!(ask("get / HTTP/1.1"), ["get", "/", "/", "", "HTTP/1.1"]);
        assert_eq!(
            ask("GET http://a.example/x?y HTTP/1.1"),
            ["GET", "http://a.example/x?y", "/x", "y", "HTTP/1.1"]
        );
        assert_eq!(ask("GET //a///b?c//d HTTP/1.0"), ["GET", "//a///b?c//d", "/a/b", "c//d", "HTTP/1.0"]);
        assert_eq!(ask("GET /a%20b%C3%A9/../c HTTP/1.1")[2], "/c");
    }
}
