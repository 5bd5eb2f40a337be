//! The state of a connection after requests that are odd, refused or broken off: what follows is
//! understood as the client meant it, or the connection ends. Nothing of it is the server's error.

use std::io::ErrorKind;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Server};

use crate::support::serving;

/// What comes after each request of the table.
const NEXT: &str = "GET /next HTTP/1.1\nHost: a\nConnection: close\n\n";

/// A request (`\n` stands for CRLF), its status, and whether the next one on the connection is
/// answered.
const REQUESTS: &[(&str, u16, bool)] = &[
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
        200,
        true,
    ),
    (
        "GET / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
        200,
        true,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 003\n\nabc",
        200,
        true,
    ),
    (
        "POST /?unread HTTP/1.1\nHost: a\nContent-Length: 44\n\n\
      GET /hidden HTTP/1.1\nHost: a\nX: yyyyyyyyyy\n\n",
        200,
        true,
    ),
    (
        "POST /?unread HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        200,
        true,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: CHUNKED\n\n3;a=\"b;c\"\nabc\n0;x\n\n",
        200,
        true,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\nT: 1\nContent-Length: 9\n\n",
        200,
        true,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\nno trailer\n\n",
        400,
        false,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        200,
        false,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n\
      3\nabc\n0\n\n",
        501,
        false,
    ),
    (
        "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n3\nabc\n0\n\n",
        501,
        false,
    ),
    (
        "POST / HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        200,
        false,
    ),
    ("GET / HTTP/1.0\nConnection: keep-alive\n\n", 200, true),
    ("GET / HTTP/1.0\n\n", 200, false),
    (
        "POST /limited HTTP/1.1\nHost: a\nContent-Length: 9\n\nabcdefghi",
        413,
        false,
    ),
    (
        "POST /limited HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n9\nabcdefghi\n0\n\n",
        413,
        false,
    ),
    (
        "POST /?unread HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 3\n\nabc",
        200,
        false,
    ),
];

const SCRIPT: &str = "\
def application(environ, start_response):
    if environ['QUERY_STRING'] != 'unread':
        environ['wsgi.input'].read()
    start_response('200 OK', [('Content-Length', '4')])
    return [environ['PATH_INFO'].encode()[:4].ljust(4)]
";

fn start(mode: Mode) -> Server {
    Server::builder(mode)
        .file("apps/reads.wsgi", SCRIPT)
        .directive(
            "WSGIScriptAlias / @ROOT@/apps/reads.wsgi\nWSGIChunkedRequest On\n\
             <Location /limited>\nLimitRequestBody 5\n</Location>",
        )
        .start()
}

fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

in_both_modes! {
    fn after_odd_requests_the_next_is_understood_or_refused(mode) {
        if only_ours("it blames applications for some of them, and chunks what is in one piece") {
            return;
        }
        // The harness finds a line about it in the log, were it a warning or an error.
        let server = start(mode);
        for (request, status, next) in REQUESTS {
            let mut connection = server.connect();
            match connection.write(&wire(&format!("{request}{NEXT}"))) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => panic!("{error}"),
            }
            let first = connection.response(false).expect("an answer");
            assert_eq!(first.status(), *status, "{request}");
            let second = connection.response(false).ok();
            let second = second.map(|response| (response.status(), response.text()));
            let expected = next.then(|| (200, "/nex".to_owned()));
            assert_eq!(second, expected, "{request}");
        }
    }

    fn a_client_that_leaves_at_any_byte_is_no_error(mode) {
        if only_ours("its application gets the blame, at level error") {
            return;
        }
        let server = serving(mode, "upload_hash").directive("WSGIChunkedRequest On").start();
        for request in [
            "POST / HTTP/1.1\nHost: a\nExpect: 100-continue\nContent-Length: 10\n\n0123456789",
            "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5\n01234\n5;e\n56789\n0\nT: 1\n\n",
        ] {
            let bytes = wire(request);
            for length in 1..bytes.len() {
                let mut connection = server.connect();
                connection.write(&bytes[..length]).expect("sent");
                if length % 2 == 0 {
                    connection.finish_writing().expect("the connection is open");
                    if let Ok(response) = connection.response(false) {
                        assert!(response.status() < 500, "{length}: {response:?}");
                    }
                }
            }
        }
        // Every thread is free again.
        for _ in 0..20 {
            assert_eq!(server.get("/").status(), 200);
        }
    }
}
