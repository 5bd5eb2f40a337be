//! Functions that are called in an application's place: what comes back for what they return.

use wsgi_wire::Failure;
use wsgi_wire::function::Answer;
use wsgi_wire::head::flag;

use super::harness::{Daemon, Request, each_python, newest_python};

const SCRIPT: &str = "
def none(environ, argument):
    return None
def truth(environ, argument):
    return environ['REQUEST_METHOD'] == 'GET'
def argument(environ, argument):
    return argument
def latin(environ, argument):
    return 'caf\\xe9'
def data(environ, argument):
    return b'\\xff'
def names(environ, argument):
    return (name for name in ['a', b'b', 3])
def number(environ, argument):
    return 3
def keys(environ, argument):
    return sorted(key for key in environ if '.' in key)
def looks_up(environ, argument):
    global kept
    kept = environ['mod_ssl.var_lookup']
    return [kept('SSL_PROTOCOL'), kept('SSL_CIPHER'), environ['mod_ssl.is_https']()]
def looks_up_late(environ, argument):
    try:
        return kept('SSL_PROTOCOL')
    except RuntimeError as error:
        return str(error)
def raises(environ, argument):
    raise LookupError('no luck')
def exits(environ, argument):
    raise SystemExit(1)
def endless(environ, argument):
    while True:
        yield 'x' * 1000
def surrogate(environ, argument):
    return '\\ud800'
def printed(environ, argument):
    print('from a function')
def application(environ, start_response):
    start_response('200 OK', [])
    return [b'application']
";

fn text(text: &str) -> Answer {
    Answer::Text(text.as_bytes().to_vec())
}

#[test]
fn each_value_has_its_answer() {
    each_python(|python| {
        let daemon = Daemon::start(python, SCRIPT);
        let child = daemon.connect();
        let cases: [(&[u8], Answer); 8] = [
            (b"none", Answer::None),
            (b"truth", Answer::Bool(true)),
            (b"argument", text("argument")),
            (b"latin", text("caf\u{e9}")),
            (b"data", Answer::Bytes(b"\xff".to_vec())),
            (
                b"names",
                Answer::Items(vec![
                    text("a"),
                    Answer::Bytes(b"b".to_vec()),
                    Answer::Other(b"int".to_vec()),
                ]),
            ),
            (b"number", Answer::Other(b"int".to_vec())),
            (b"missing", Answer::Missing),
        ];
        for (name, expected) in &cases {
            let answer = child.ask(&Request::get("/").functions(&[name]));
            assert!(answer.is_whole(), "{answer:?}");
            assert_eq!(answer.answers, std::slice::from_ref(expected));
            assert!(answer.head.is_none());
        }
        let names = cases.each_ref().map(|(name, _)| *name);
        let answer = child.ask(&Request::get("/").functions(&names));
        assert_eq!(answer.answers, cases.map(|(_, expected)| expected));
    });
}

#[test]
fn functions_share_processes_and_connections_with_applications() {
    let daemon = Daemon::start(newest_python(), SCRIPT);
    let child = daemon.connect();
    for _ in 0..3 {
        assert_eq!(child.ask(&Request::get("/")).text(), "application");
        let answer = child.ask(&Request::get("/").functions(&[b"truth"]));
        assert_eq!(answer.answers, [Answer::Bool(true)]);
    }
}

#[test]
fn a_function_may_ask_about_the_connection_while_its_request_lasts() {
    let daemon = Daemon::start(newest_python(), SCRIPT);
    let child = daemon.connect();
    for (flags, is_https) in [(0, false), (flag::HTTPS, true)] {
        let answer = child.ask(&Request::get("/").flags(flags).functions(&[b"looks_up"]));
        let expected = vec![text("TLSv1.3"), Answer::None, Answer::Bool(is_https)];
        assert_eq!(answer.answers, [Answer::Items(expected)]);
    }
    let answer = child.ask(&Request::get("/").functions(&[b"looks_up_late"]));
    assert_eq!(answer.answers, [text("the request has ended")]);
}

#[test]
fn an_exception_is_logged_and_is_no_answer() {
    let daemon = Daemon::start(newest_python(), SCRIPT);
    let child = daemon.connect();
    for (name, logged) in [
        (&b"raises"[..], "LookupError: no luck"),
        (b"exits", "SystemExit"),
        (b"surrogate", "UnicodeEncodeError"),
        (b"endless", "more than the"),
    ] {
        let answer = child.ask(&Request::get("/").functions(&[name, b"none"]));
        assert_eq!(answer.failure(), Some(Failure::Application), "{answer:?}");
        assert!(answer.answers.is_empty());
        assert!(answer.logged().contains(logged), "{}", answer.logged());
    }
}

#[test]
fn what_a_function_prints_belongs_to_the_request() {
    let daemon = Daemon::start(newest_python(), SCRIPT);
    let answer = daemon
        .connect()
        .ask(&Request::get("/").functions(&[b"printed"]));
    assert_eq!(answer.answers, [Answer::None]);
    assert!(answer.logged().contains("from a function"));
}

#[test]
fn the_environ_of_a_function_has_no_body_and_no_way_to_answer() {
    let daemon = Daemon::start(newest_python(), SCRIPT);
    let answer = daemon
        .connect()
        .ask(&Request::get("/").functions(&[b"keys"]));
    let expected = [
        "apache.version",
        "mod_ssl.is_https",
        "mod_ssl.var_lookup",
        "mod_wsgi.application_group",
        "mod_wsgi.process_group",
        "mod_wsgi.version",
        "wsgi.errors",
    ];
    assert_eq!(answer.answers, [Answer::Items(expected.map(text).to_vec())]);
}
