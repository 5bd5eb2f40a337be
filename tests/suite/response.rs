//! Responses: status lines, headers, framing, files.

use std::fs;

use wsgi_tests::apache::only_ours;
use wsgi_tests::client::Framing;
use wsgi_tests::{Request, wait};

use crate::support::{is_not_taken_for_whole, serving};

in_both_modes! {
    fn the_status_line_is_the_applications(mode) {
        let server = serving(mode, "status").start();
        for (line, status, reason) in [
            ("200+OK", 200, "OK"),
            ("201+Created+it", 201, "Created it"),
            ("299+Own+Words", 299, "Own Words"),
            ("404+Nowhere", 404, "Nowhere"),
            ("500+Own+Error", 500, "Own Error"),
            ("503+Later", 503, "Later"),
        ] {
            let response = server.get(&format!("/?{line}"));
            assert_eq!(response.status(), status);
            assert_eq!(response.head.reason, reason);
            assert_eq!(response.text(), "body");
        }
    }

    fn headers_arrive_as_they_were_given(mode) {
        let server = serving(mode, "headers").start();
        let response = server.get("/");
        assert_eq!(response.head.reason, "Quite Fine");
        assert_eq!(response.head.all("Set-Cookie"), ["a=1; Path=/", "b=2; Path=/"]);
        assert_eq!(response.header("X-Latin"), Some("caf\u{e9}"));
        assert_eq!(response.header("X-Empty"), Some(""));
        assert_eq!(response.header("ETag"), Some("\"abc\""));
        let type_ = response.header("Content-Type").unwrap_or_default().to_ascii_lowercase();
        assert_eq!(type_, "text/plain; charset=utf-8");
        for number in 0..60 {
            let value = number.to_string();
            assert_eq!(response.header(&format!("X-Many-{number}")), Some(&*value));
        }
    }

    fn repeated_headers_are_kept_apart(mode) {
        if mode == wsgi_tests::Mode::Daemon
            && only_ours("the C module joins them in a daemon")
        {
            return;
        }
        let server = serving(mode, "headers").start();
        assert_eq!(server.get("/").head.all("X-Repeated"), ["one", "two"]);
    }

    fn a_head_request_gets_the_headers_only(mode) {
        let server = serving(mode, "hello").start();
        let mut connection = server.connect();
        let head = connection.roundtrip(&Request::new("HEAD", "/")).expect("an answer");
        assert_eq!(head.status(), 200);
        assert_eq!(head.header("Content-Length"), Some("12"));
        assert_eq!(head.body, b"");
        // A body after all would be taken for the next response.
        let next = connection.roundtrip(&Request::get("/")).expect("an answer");
        assert_eq!(next.text(), "Hello World!");
    }

    fn statuses_that_have_no_body_get_none(mode) {
        let server = serving(mode, "status").start();
        let mut connection = server.connect();
        for line in ["204+No+Content", "304+Not+Modified"] {
            let request = Request::get(&format!("/?{line}"));
            let response = connection.roundtrip(&request).expect("an answer");
            assert!(line.starts_with(&response.status().to_string()));
            let next = connection.roundtrip(&Request::get("/?200+OK")).expect("an answer");
            assert_eq!(next.text(), "body", "after {line}");
        }
    }

    fn a_body_without_a_length_keeps_the_connection(mode) {
        let server = serving(mode, "bodies").start();
        let mut connection = server.connect();
        for _ in 0..2 {
            let response = connection.roundtrip(&Request::get("/?generator")).expect("an answer");
            // httpd may find the length by itself when the whole body is there at once.
            assert_ne!(response.head.framing, Framing::Close);
            assert!(response.whole);
            assert_eq!(response.text(), "generator");
        }
    }

    fn bytes_over_the_declared_length_are_not_sent(mode) {
        let mut server = serving(mode, "length").start();
        server.allow_log("Content-Length");
        let mut connection = server.connect();
        let response = connection.roundtrip(&Request::get("/?7")).expect("an answer");
        assert_eq!(response.text(), "0123456");
        let response = connection.roundtrip(&Request::get("/?10")).expect("an answer");
        assert_eq!(response.text(), "0123456789");
    }

    fn a_body_under_its_declared_length_is_seen_to_be_cut(mode) {
        let mut server = serving(mode, "length").start();
        server.allow_log("Content-Length");
        let response = server.get("/?20");
        is_not_taken_for_whole(&response, "0123456789");
    }

    fn a_content_length_that_is_no_length_is_an_error(mode) {
        let mut server = serving(mode, "length").start();
        server.expect_traceback("Error");
        for length in ["many", "-5"] {
            assert_eq!(server.get(&format!("/?{length}")).status(), 500, "{length}");
        }
    }

    fn file_wrapper_sends_the_file(mode) {
        let server = serving(mode, "file_sent").start();
        let content: Vec<u8> = (0..200_000u32).map(|index| (index % 253) as u8).collect();
        fs::write(server.state("sent"), &content).expect("the directory is ours");
        let body = |case: &str| {
            let response = server.get(&format!("/?{case}"));
            assert!(response.status() == 200 && response.whole, "{case}");
            response
        };
        let plain = body("plain");
        assert_eq!(plain.body, content);
        assert_eq!(plain.header("Content-Length"), Some("200000"));
        assert_eq!(body("offset").body, content[100..]);
        assert_eq!(body("length").body, content[..1000]);
        assert_eq!(body("wrapped").body, content);
        assert_eq!(body("bytesio").text(), "from memory");
        if !only_ours("objects without close() are wrapped too") {
            assert_eq!(body("readonly").text(), "from an object");
        }
        assert_eq!(body("pipe").text(), "from a pipe");
        // A file may be closed after its last byte has arrived here.
        let marks = || fs::read_to_string(server.state("file-closed")).unwrap_or_default();
        wait::until_true("each file is closed", || marks().lines().count() >= 4);
        assert_eq!(marks().lines().count(), 4, "each file is closed once");
    }

    fn a_response_streams_while_the_application_still_works(mode) {
        for app in ["gated", "gated_write"] {
            let server = serving(mode, app).start();
            let mut connection = server.connect();
            connection.write(&Request::get("/").head()).expect("sent");
            let head = connection.head(false).expect("a head");
            assert_eq!(head.framing, Framing::Chunked);
            assert_eq!(connection.chunk().expect("a chunk"), Some(b"one".to_vec()), "{app}");
            fs::write(server.state("gate"), "").expect("the directory is ours");
            assert_eq!(connection.chunk().expect("a chunk"), Some(b"two".to_vec()), "{app}");
            assert_eq!(connection.chunk().expect("a chunk"), Some(Vec::new()), "{app}");
        }
    }

    fn the_declared_type_does_not_come_from_the_scripts_name(mode) {
        let server = serving(mode, "location").app("/none", "no_start").start();
        let response = server.get("/?http://localhost/elsewhere");
        assert_eq!(response.header("Location"), Some("http://localhost/elsewhere"));
        assert_eq!(response.text(), "unused");
    }
}

#[test]
fn a_local_location_with_status_200_is_answered_from_there() {
    let server = wsgi_tests::Server::builder(wsgi_tests::Mode::Daemon)
        .app("/app", "location")
        .file("htdocs/page.txt", "from the document root")
        .start();
    let response = server.get("/app?/page.txt");
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), "from the document root");
    assert_eq!(response.header("Location"), None);
}

#[test]
fn a_files_descriptor_is_closed_after_it_was_sent() {
    let server = serving(wsgi_tests::Mode::Daemon, "file_sent").start();
    fs::write(server.state("sent"), vec![b'x'; 100_000]).expect("the directory is ours");
    for _ in 0..50 {
        server.get("/?plain");
    }
    let path = server.state("sent");
    wait::until_true("no process holds the file", || {
        !server.processes().iter().any(|process| {
            let descriptors = fs::read_dir(format!("/proc/{}/fd", process.pid));
            descriptors
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        })
    });
}
