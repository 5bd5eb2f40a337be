//! The smallest application under every MPM, in both modes.

use wsgi_tests::{Mode, Mpm, Request};

use crate::support::serving;

fn says_hello(mode: Mode, mpm: Mpm) {
    let server = serving(mode, "hello").mpm(mpm).start();
    let mut connection = server.connect();
    for _ in 0..20 {
        let response = connection.roundtrip(&Request::get("/")).expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.text(), "Hello World!");
        assert_eq!(response.header("Content-Type"), Some("text/plain"));
        assert_eq!(response.header("Content-Length"), Some("12"));
    }
}

#[test]
fn embedded_under_event() {
    says_hello(Mode::Embedded, Mpm::Event);
}

#[test]
fn embedded_under_prefork() {
    says_hello(Mode::Embedded, Mpm::Prefork);
}

#[test]
fn embedded_under_worker() {
    says_hello(Mode::Embedded, Mpm::Worker);
}

#[test]
fn daemon_under_event() {
    says_hello(Mode::Daemon, Mpm::Event);
}

#[test]
fn daemon_under_prefork() {
    says_hello(Mode::Daemon, Mpm::Prefork);
}

#[test]
fn daemon_under_worker() {
    says_hello(Mode::Daemon, Mpm::Worker);
}

#[test]
fn the_module_answers_to_the_names_configurations_test_for() {
    let server = serving(Mode::Daemon, "hello")
        .directive(
            "<IfModule mod_wsgi.c>\nWSGIScriptAlias /by-file @APPS@/hello/app.wsgi\n</IfModule>",
        )
        .directive(
            "<IfModule wsgi_module>\nWSGIScriptAlias /by-name @APPS@/hello/app.wsgi\n</IfModule>",
        )
        .directive("<IfModule !mod_wsgi.c>\nNoSuchDirective\n</IfModule>")
        .start();
    assert_eq!(server.text("/by-file"), "Hello World!");
    assert_eq!(server.text("/by-name"), "Hello World!");
}
