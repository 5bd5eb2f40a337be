//! Faults that others had, or that we had: each is here so that it does not come back.

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request};

use crate::support::{environ_of, is_not_taken_for_whole, serving};

in_both_modes! {
    // CVE-2014-0242: the Content-Type of one request's response was another's memory.
    fn content_types_of_many_responses_are_their_own(mode) {
        let server = serving(mode, "headers").app("/unused", "hello").start();
        let mut connection = server.connect();
        for _ in 0..200 {
            let response = connection.roundtrip(&Request::get("/")).expect("an answer");
            let kind = response.header("Content-Type").unwrap_or_default().to_ascii_lowercase();
            assert_eq!(kind, "text/plain; charset=utf-8");
        }
    }

    // A client's headers must not reach the names that modules and proxies write.
    fn a_client_cannot_set_variables_of_the_server(mode) {
        let server = serving(mode, "environ").start();
        let request = Request::get("/")
            .header("X-Client-IP", "203.0.113.9")
            .header("Remote-User", "admin")
            .header("mod-wsgi.process-group", "other");
        let environ = environ_of(&server.send(&request).text());
        assert_eq!(environ["REMOTE_ADDR"].1, "'127.0.0.1'");
        assert!(!environ.contains_key("REMOTE_USER"));
        assert_eq!(environ["HTTP_REMOTE_USER"].1, "'admin'");
        let group = if mode == Mode::Daemon { "'app'" } else { "''" };
        assert_eq!(environ["mod_wsgi.process_group"].1, group);
    }

    // RFC 9112 §6.3: a message with both framings is an attempt to smuggle a request.
    fn two_framings_of_one_body_do_not_make_two_requests(mode) {
        let mut server = serving(mode, "echo").directive("WSGIChunkedRequest On").start();
        server.allow_log("Transfer-Encoding");
        server.allow_log("Content-Length");
        let mut connection = server.connect();
        connection
            .write(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
            )
            .expect("sent");
        let first = connection.response(false).expect("an answer");
        assert!(first.status() == 400 || first.body.is_empty(), "{}", first.text());
    }

    // A connection that will be closed must not lose the framing that tells a cut from an end.
    fn a_failure_after_bytes_is_seen_when_the_expectation_was_not_met(mode) {
        if only_ours("a truncated response of a C daemon looks whole") {
            return;
        }
        let mut server = serving(mode, "raises").start();
        server.expect_traceback("ValueError: secret trouble");
        let request = Request::post("/?late-value", "abc").header("Expect", "100-continue");
        let mut connection = server.connect();
        connection.write(&request.head()).expect("sent");
        is_not_taken_for_whole(&connection.response(false).expect("an answer"), "some");
    }

    // Long lines and many of them must not be cut or slow anything down without bound.
    fn a_header_section_of_httpds_full_size_arrives(mode) {
        let server = serving(mode, "environ").start();
        let mut request = Request::get("/");
        for number in 0..90 {
            request = request.header(&format!("X-Long-{number}"), &"v".repeat(1000));
        }
        let environ = environ_of(&server.send(&request).text());
        for number in 0..90 {
            assert_eq!(environ[&format!("HTTP_X_LONG_{number}")].1.len(), 1002);
        }
    }
}
