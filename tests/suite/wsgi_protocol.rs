//! start_response, write() and the iterable: PEP 3333, "Specification Details".

use wsgi_tests::apache::only_ours;
use wsgi_tests::wait;

use crate::support::{is_not_taken_for_whole, serving};

/// What `tests/apps/start_response_wrong` must catch, by case.
const REFUSED: &[(&str, &[&str])] = &[
    ("status-bytes", &["TypeError"]),
    ("status-short", &["ValueError"]),
    ("status-word", &["ValueError"]),
    ("status-unspaced", &["ValueError"]),
    ("status-newline", &["ValueError"]),
    ("status-wide", &["UnicodeEncodeError", "ValueError"]),
    ("headers-tuple", &["TypeError"]),
    ("header-list", &["TypeError"]),
    ("header-triple", &["ValueError", "TypeError"]),
    ("name-empty", &["ValueError"]),
    ("name-space", &["ValueError"]),
    ("name-newline", &["ValueError"]),
    ("name-bytes", &["TypeError"]),
    ("value-newline", &["ValueError"]),
    ("value-bytes", &["TypeError"]),
    ("value-int", &["TypeError"]),
    ("value-wide", &["UnicodeEncodeError", "ValueError"]),
    ("exc-info-tuple", &["RuntimeError", "TypeError"]),
    ("none", &["TypeError"]),
];

in_both_modes! {
    fn start_response_refuses_what_is_no_status_or_header(mode) {
        let server = serving(mode, "start_response_wrong").start();
        for (case, errors) in REFUSED {
            let response = server.get(&format!("/?{case}"));
            assert_eq!(response.status(), 200, "{case}");
            assert!(errors.contains(&response.text().as_str()), "{case}: {}", response.text());
            assert_eq!(response.header("X-Injected"), None);
        }
    }

    fn start_response_may_be_called_again_before_output_with_exc_info(mode) {
        let server = serving(mode, "start_response_twice").start();
        let response = server.get("/?before-exc_info");
        assert_eq!(response.status(), 500);
        assert_eq!(response.head.all("X-Call"), ["second"]);
        assert_eq!(response.text(), "body");
    }

    fn start_response_called_again_before_output_replaces_the_first(mode) {
        // More than PEP 3333 asks for; applications have come to rely on it.
        let server = serving(mode, "start_response_twice").start();
        let response = server.get("/?before-plain");
        assert_eq!(response.status(), 500);
        assert_eq!(response.head.all("X-Call"), ["second"]);
    }

    fn start_response_after_output_raises_the_given_exception(mode) {
        let mut server = serving(mode, "start_response_twice").start();
        server.expect_traceback("ValueError: late trouble");
        let response = server.get("/?after-exc_info");
        assert_ne!(response.head.all("X-Call"), ["second"]);
        is_cut_after_what_was_sent(&response);
    }

    fn start_response_after_output_without_exc_info_is_an_error(mode) {
        let mut server = serving(mode, "start_response_twice").start();
        server.expect_traceback("Error");
        is_cut_after_what_was_sent(&server.get("/?after-plain"));
    }

    fn a_body_before_start_response_is_an_error(mode) {
        let mut server = serving(mode, "no_start").start();
        server.expect_traceback("Error");
        assert_eq!(server.get("/").status(), 500);
    }

    fn write_and_the_iterable_follow_one_another(mode) {
        let server = serving(mode, "writes").start();
        assert_eq!(server.text("/"), "one two three four");
    }

    fn every_kind_of_iterable_is_a_body(mode) {
        let server = serving(mode, "bodies").start();
        let hundred: String = (0..100).map(|number| format!("{number:03}")).collect();
        for (case, body) in [
            ("list", "list"),
            ("tuple", "tuple"),
            ("generator", "generator"),
            ("getitem", "getitem"),
            ("empty-list", ""),
            ("empty-strings", ""),
            ("hundred", &hundred),
        ] {
            assert_eq!(server.text(&format!("/?{case}")), body, "{case}");
        }
    }

    fn a_body_that_is_no_iterable_of_bytes_is_an_error(mode) {
        let mut server = serving(mode, "bodies").start();
        server.expect_traceback("Error");
        for case in ["str", "none", "number", "bytes"] {
            let response = server.get(&format!("/?{case}"));
            assert_eq!(response.status(), 500, "{case}");
            assert!(!response.text().contains("Error:"), "{case}");
        }
    }

    fn close_is_called_once_after_a_whole_body(mode) {
        let server = serving(mode, "closed").start();
        assert_eq!(server.text("/"), "firstsecond");
        closed_once(&server);
    }

    fn close_is_called_once_after_an_exception(mode) {
        let mut server = serving(mode, "closed").start();
        server.expect_traceback("ValueError: in the middle");
        server.get("/?raise");
        closed_once(&server);
    }

    fn close_is_called_once_when_the_client_has_gone(mode) {
        let mut server = serving(mode, "closed").start();
        // How a client's going is seen, and what is said about it, depends on where it is seen.
        server.allow_log("client");
        server.allow_log("closed");
        let mut connection = server.connect();
        connection.write(b"GET /?large HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        connection.head(false).expect("a head");
        drop(connection);
        closed_once(&server);
    }

    fn an_exception_in_close_does_not_change_the_response(mode) {
        let mut server = serving(mode, "closed").start();
        server.expect_traceback("ValueError: while closing");
        let response = server.get("/?close-raises");
        assert_eq!(response.status(), 200);
        assert_eq!(response.text(), "firstsecond");
        closed_once(&server);
    }

    fn the_same_interpreter_answers_again(mode) {
        let server = serving(mode, "counter").start();
        let counts: Vec<String> = (0..3)
            .map(|_| server.text("/").split(' ').nth(1).unwrap_or("").to_owned())
            .collect();
        assert_eq!(counts, ["1", "2", "3"]);
    }
}

#[track_caller]
fn is_cut_after_what_was_sent(response: &wsgi_tests::Response) {
    if !only_ours("an error page follows, or the response looks whole") {
        is_not_taken_for_whole(response, "sent;");
    }
}

#[track_caller]
fn closed_once(server: &wsgi_tests::Server) {
    let marks = || std::fs::read_to_string(server.state("closed")).unwrap_or_default();
    wait::until_true("close() is called", || !marks().is_empty());
    // Another request's answer tells that the first one's thread is through.
    server.get("/?settled");
    wait::until_true("close() is called again", || marks().lines().count() == 2);
}
