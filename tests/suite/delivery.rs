//! How a response gets to its client: status lines, odd headers, filters, streams, lost clients.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::client::Framing;
use wsgi_tests::{Mode, Request, Response, Server, wait};

use crate::support::serving;

/// What `tests/apps/said` answers to this Python text.
fn say(server: &Server, text: &str) -> Response {
    server.get(&format!("/?{}", encoded(text)))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

in_both_modes! {
    fn a_status_needs_no_reason_and_any_number_goes(mode) {
        let server = serving(mode, "said").start();
        for (line, status) in [
            ("200 ", 200),
            ("200", 200),
            ("204 Nothing", 204),
            ("207 Multi-Status", 207),
            ("226 IM Used", 226),
            ("299 Private", 299),
            ("308 Moved", 308),
            ("418 I'm a teapot", 418),
            ("428 Precondition Required", 428),
            ("451 Gone by law", 451),
            ("499 Private", 499),
            ("511 Log in", 511),
            ("599 Private", 599),
        ] {
            let response = say(&server, &format!("(\"{line}\", [], [b'x'])"));
            assert_eq!(response.status(), status, "{line}");
            if let Some((_, reason)) = line.split_once(' ').filter(|(_, reason)| !reason.is_empty()) {
                assert_eq!(response.head.reason, reason, "{line}");
            }
        }
    }

    fn a_reason_may_have_any_latin_1_text(mode) {
        let server = serving(mode, "said").start();
        let response = say(&server, "('200 caf\\xe9 \"quoted\"', [], [b'x'])");
        assert_eq!(response.head.reason, "caf\u{e9} \"quoted\"");
    }

    fn a_header_named_status_is_a_header(mode) {
        if mode == Mode::Daemon && only_ours("its daemons speak CGI, where Status is the status") {
            return;
        }
        let server = serving(mode, "said").start();
        let response = say(&server, "('200 OK', [('Status', '404 Other')], [b'x'])");
        assert_eq!((response.status(), response.head.reason.as_str()), (200, "OK"));
        assert_eq!(response.header("Status"), Some("404 Other"));
    }

    fn a_status_that_says_error_is_the_applications(mode) {
        if mode == Mode::Daemon && only_ours("its daemons use the line as a signal") {
            return;
        }
        let server = serving(mode, "said").start();
        for line in ["200 Error", "200 Continue", "200 Rejected", "200 Timeout"] {
            let response = say(&server, &format!("('{line}', [], [b'x'])"));
            assert_eq!((response.status(), response.text().as_str()), (200, "x"), "{line}");
        }
    }

    fn header_values_are_kept_to_the_byte(mode) {
        let server = serving(mode, "said").start();
        let response = say(&server, "('200 OK', [('X-Tab', 'a\\tb'), ('X-Long', 'y' * 7000), \
            ('X-Comma', 'a, b,, c'), ('X-Quote', '\"a\\\\\\\\b\"'), ('x-lower', 'z')], [])"
            .replace("'y' * 7000", &format!("'{}'", "y".repeat(4000))).as_str());
        assert_eq!(response.header("X-Tab"), Some("a\tb"));
        assert_eq!(response.header("X-Long").map(str::len), Some(4000));
        assert_eq!(response.header("X-Comma"), Some("a, b,, c"));
        assert!(response.head.headers.iter().any(|(name, _)| name == "x-lower"));
    }

    fn cookies_and_challenges_keep_their_order_and_number(mode) {
        let server = serving(mode, "said").start();
        let response = say(&server, "('401 Who', [('Set-Cookie', 'a=1'), ('WWW-Authenticate', 'Basic'), \
            ('Set-Cookie', 'b=2'), ('WWW-Authenticate', 'Digest'), ('Set-Cookie', 'c=3')], [b'x'])");
        assert_eq!(response.head.all("Set-Cookie"), ["a=1", "b=2", "c=3"]);
        assert_eq!(response.head.all("WWW-Authenticate"), ["Basic", "Digest"]);
        assert_eq!(response.text(), "x");
    }

    fn an_application_may_ask_for_the_connections_end(mode) {
        let server = serving(mode, "said").start();
        let mut connection = server.connect();
        let text = encoded("('200 OK', [('Connection', 'close'), ('Content-Length', '1')], [b'x'])");
        let response = connection.roundtrip(&Request::get(&format!("/?{text}"))).expect("an answer");
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(connection.roundtrip(&Request::get("/")).is_err());
    }

    fn validators_of_the_application_are_left_to_it(mode) {
        let server = serving(mode, "said").start();
        let text = "('200 OK', [('ETag', '\"v1\"'), ('Last-Modified', 'Sat, 01 Jan 2022 00:00:00 GMT'), \
            ('Content-Length', '1')], [b'x'])";
        let target = format!("/?{}", encoded(text));
        for (name, value) in [
            ("If-None-Match", "\"v1\""),
            ("If-Modified-Since", "Sat, 01 Jan 2022 00:00:00 GMT"),
            ("If-Match", "\"other\""),
        ] {
            let response = server.send(&Request::get(&target).header(name, value));
            assert_eq!((response.status(), response.text().as_str()), (200, "x"), "{name}");
            assert_eq!(response.header("ETag"), Some("\"v1\""));
            assert_eq!(response.header("Last-Modified"), Some("Sat, 01 Jan 2022 00:00:00 GMT"));
        }
    }

    fn a_response_is_not_dated_into_the_future(mode) {
        if mode == Mode::Embedded && only_ours("there a date is checked in daemon mode only") {
            return;
        }
        let server = serving(mode, "said").start();
        let modified = |date: &str| {
            let text = format!("('200 OK', [('Last-Modified', '{date}')], [b'x'])");
            let response = server.get(&format!("/?{}", encoded(&text)));
            (
                response.header("Last-Modified").map(str::to_owned),
                response.header("Date").map(str::to_owned),
            )
        };
        let (modified_at, sent_at) = modified("Wed, 01 Jan 2098 00:00:00 GMT");
        let year = |date: Option<String>| date.and_then(|date| date.get(12..16).map(str::to_owned));
        assert_eq!(year(modified_at), year(sent_at));
        let past = "Sat, 01 Jan 2022 00:00:00 GMT";
        assert_eq!(modified(past).0.as_deref(), Some(past));
    }

    fn a_304_carries_its_headers_and_no_body(mode) {
        let server = serving(mode, "said").start();
        let mut connection = server.connect();
        for line in ["304 Not Modified", "204 No Content"] {
            let text = format!("('{line}', [('ETag', '\"v1\"'), ('Set-Cookie', 'a=1')], [b'body'])");
            let request = Request::get(&format!("/?{}", encoded(&text)));
            let response = connection.roundtrip(&request).expect("an answer");
            assert!(line.starts_with(&response.status().to_string()));
            assert_eq!(response.header("ETag"), Some("\"v1\""));
            assert_eq!(response.header("Set-Cookie"), Some("a=1"));
            let text = encoded("('200 OK', [], [b'next'])");
            let next = connection.roundtrip(&Request::get(&format!("/?{text}"))).expect("an answer");
            assert_eq!(next.text(), "next", "after {line}");
        }
    }

    fn empty_pieces_and_no_pieces_make_an_empty_body(mode) {
        let server = serving(mode, "said").start();
        for pieces in ["[]", "[b'']", "[b'', b'', b'']"] {
            let response = say(&server, &format!("('200 OK', [('X-Is', 'there')], {pieces})"));
            assert_eq!((response.status(), response.body.len()), (200, 0), "{pieces}");
            assert_eq!(response.header("X-Is"), Some("there"), "{pieces}");
        }
    }

    fn a_head_request_never_gets_a_body_however_it_is_made(mode) {
        let server = serving(mode, "said").app("/stream", "download").start();
        let mut connection = server.connect();
        for text in [
            "('200 OK', [], [b'one', b'two'])",
            "('200 OK', [('Content-Length', '6')], [b'one', b'two'])",
            "('200 OK', [('Content-Length', '6')], [])",
            "('404 No', [('Content-Type', 'text/plain')], [b'one'])",
        ] {
            let target = format!("/?{}", encoded(text));
            let head = connection.roundtrip(&Request::new("HEAD", &target)).expect("an answer");
            assert_eq!(head.body, b"", "{text}");
            if text.contains("Length") {
                assert_eq!(head.header("Content-Length"), Some("6"), "{text}");
            }
        }
        let next = connection.roundtrip(&Request::get("/?('200%20OK',[],[b'x'])")).expect("an answer");
        assert_eq!(next.text(), "x");
    }

    fn a_compressed_stream_still_streams(mode) {
        let server = Server::builder(mode)
            .modules(&["deflate", "filter"])
            .app("/", "gated")
            .directive("SetOutputFilter DEFLATE")
            .start();
        let mut connection = server.connect();
        let request = Request::get("/").header("Accept-Encoding", "gzip");
        connection.write(&request.head()).expect("sent");
        let head = connection.head(false).expect("a head");
        assert_eq!(head.header("Content-Encoding"), Some("gzip"));
        assert_eq!(head.framing, Framing::Chunked);
        let mut packed = connection.chunk().expect("a chunk before the gate opens").expect("data");
        fs::write(server.state("gate"), "").expect("the directory is ours");
        while let Some(chunk) = connection.chunk().expect("a chunk").filter(|chunk| !chunk.is_empty()) {
            packed.extend(chunk);
        }
        fs::write(server.state("packed.gz"), packed).expect("the directory is ours");
        let output = std::process::Command::new("gzip")
            .arg("-dc")
            .arg(server.state("packed.gz"))
            .output()
            .expect("gzip is installed");
        assert_eq!(output.stdout, b"onetwo");
    }

    fn a_short_response_is_compressed_with_its_length(mode) {
        let server = serving(mode, "said")
            .modules(&["deflate", "filter"])
            .directive("SetOutputFilter DEFLATE")
            .start();
        let text = format!("('200 OK', [('Content-Length', '500')], [b'{}'])", "z".repeat(500));
        let request = Request::get(&format!("/?{}", encoded(&text)));
        let plain = server.send(&request);
        assert_eq!((plain.body.len(), plain.header("Content-Encoding")), (500, None));
        let packed = server.send(&request.header("Accept-Encoding", "gzip"));
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
        assert!(packed.whole && packed.body.len() < 100, "{}", packed.body.len());
        assert!(packed.header("Vary").is_some_and(|vary| vary.contains("Accept-Encoding")));
    }

    fn ranges_are_the_applications_to_answer(mode) {
        let server = serving(mode, "said").start();
        for text in [
            "('200 OK', [('Content-Length', '10')], [b'0123456789'])",
            "('200 OK', [('ETag', '\"a\"')], [b'01234', b'56789'])",
        ] {
            let request = Request::get(&format!("/?{}", encoded(text)));
            for range in ["bytes=2-4", "bytes=100-", "bytes=0-1,4-5"] {
                let response = server.send(&request.clone().header("Range", range));
                assert_eq!((response.status(), response.text().as_str()), (200, "0123456789"));
            }
        }
        let text = "('206 Partial Content', [('Content-Range', 'bytes 2-4/10')], [b'234'])";
        let request = Request::get(&format!("/?{}", encoded(text))).header("Range", "bytes=2-4");
        let response = server.send(&request);
        assert_eq!((response.status(), response.text().as_str()), (206, "234"));
        assert_eq!(response.header("Content-Range"), Some("bytes 2-4/10"));
    }

    fn a_list_is_sent_whole_to_who_asks_for_a_part(mode) {
        let server = serving(mode, "hello").start();
        let response = server.send(&Request::get("/").header("Range", "bytes=2-4"));
        assert_eq!((response.status(), response.text().as_str()), (200, "Hello World!"));
    }

    fn a_client_that_stops_reading_ends_the_response_in_silence(mode) {
        let mut server = serving(mode, "endless").start();
        if wsgi_tests::apache::compat().is_some() {
            server.allow_log("");
        }
        for target in ["/", "/?write"] {
            let _ = fs::remove_file(server.state("closed"));
            let mut connection = server.connect();
            connection.write(&Request::get(target).head()).expect("sent");
            connection.head(false).expect("a head");
            connection.chunk().expect("a chunk");
            drop(connection);
            wait::until_true("the application is closed", || server.state("closed").exists());
        }
    }

    fn a_client_of_http_1_0_gets_a_body_that_ends_with_the_connection(mode) {
        let server = serving(mode, "bodies").start();
        let mut connection = server.connect();
        connection.write(b"GET /?generator HTTP/1.0\r\n\r\n").expect("sent");
        let response = connection.response(false).expect("an answer");
        assert_eq!(response.header("Transfer-Encoding"), None);
        assert_eq!(response.text(), "generator");
    }

    fn requests_in_one_packet_are_answered_in_order(mode) {
        let server = serving(mode, "said").start();
        let mut connection = server.connect();
        let mut bytes = Vec::new();
        for number in 0..10 {
            let text = encoded(&format!("('200 OK', [], [b'{number}'])"));
            bytes.extend(Request::get(&format!("/?{text}")).head());
        }
        connection.write(&bytes).expect("sent");
        for number in 0..10 {
            let response = connection.response(false).expect("an answer");
            assert_eq!(response.text(), number.to_string());
        }
    }

    fn date_and_server_are_the_servers(mode) {
        let server = serving(mode, "said").start();
        let response = say(&server, "('200 OK', [('Date', 'never'), ('Server', 'mine')], [b'x'])");
        assert_eq!(response.head.all("Date").len(), 1);
        assert_eq!(response.head.all("Server").len(), 1);
        assert!(response.header("Server").is_some_and(|name| name.starts_with("Apache")));
        assert_ne!(response.header("Date"), Some("never"));
    }

    fn a_header_name_that_http_does_not_allow_is_not_sent(mode) {
        let mut server = serving(mode, "said").start();
        server.allow_log("X(Y)");
        let response = say(&server, "('200 OK', [('X(Y)', 'z')], [b'x'])");
        assert_eq!(response.status(), 500);
        assert_eq!(response.header("X(Y)"), None);
    }

    fn a_thousand_headers_and_a_long_one_arrive(mode) {
        if mode == Mode::Daemon && only_ours("its daemons limit a line to header-buffer-size") {
            return;
        }
        let app = "def application(environ, start_response):\n    \
            headers = [('X-%d' % index, 'value') for index in range(1000)]\n    \
            start_response('200 OK', headers + [('X-Long', 'y' * 60000)])\n    return [b'x']\n";
        let server = Server::builder(mode).file("apps/many/app.wsgi", app).app("/", "many").start();
        let response = server.get("/");
        assert_eq!(response.header("X-999"), Some("value"));
        assert_eq!(response.header("X-Long").map(str::len), Some(60000));
    }

    fn a_compressed_response_to_head_has_the_headers_of_the_one_to_get(mode) {
        let server = serving(mode, "said")
            .modules(&["deflate", "filter"])
            .directive("SetOutputFilter DEFLATE")
            .start();
        let text = format!("('200 OK', [('Content-Length', '500')], [b'{}'])", "z".repeat(500));
        let target = format!("/?{}", encoded(&text));
        let mut connection = server.connect();
        let ask = |method: &str| Request::new(method, &target).header("Accept-Encoding", "gzip");
        let head = connection.roundtrip(&ask("HEAD")).expect("an answer");
        let get = connection.roundtrip(&ask("GET")).expect("an answer");
        assert_eq!(head.header("Content-Encoding"), Some("gzip"));
        assert_eq!(head.header("Vary"), get.header("Vary"));
        assert_ne!(head.header("Content-Length"), Some("500"));
    }

    fn a_client_that_resets_its_http_2_stream_ends_the_response_in_silence(mode) {
        let mut server = serving(mode, "endless")
            .modules(&["http2"])
            .directive("Protocols h2c http/1.1")
            .start();
        if wsgi_tests::apache::compat().is_some() {
            server.allow_log("");
        }
        let url = format!("http://127.0.0.1:{}/", server.address().port());
        // curl ends the stream when it has had enough, and tells so by its status.
        let status = std::process::Command::new("curl")
            .args(["--silent", "--http2-prior-knowledge", "--max-time", "1", "--output", "/dev/null"])
            .arg(&url)
            .status()
            .expect("curl is installed");
        assert_eq!(status.code(), Some(28));
        wait::until_true("the application is closed", || server.state("closed").exists());
    }
}
