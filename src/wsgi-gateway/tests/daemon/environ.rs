//! What an application finds in its environ and its interpreter.

use wsgi_wire::head::{Body, flag};

use super::harness::{Daemon, Request, Setup, each_python, newest_python};
use super::script;

const EVALUATE: &str = "def evaluate(environ, start_response):\n    \
         import sys, os\n    \
         result = repr(eval(environ['test.expression']))\n    \
         start_response('200 OK', [])\n    \
         return [result.encode('utf-8', 'backslashreplace')]\n";

fn evaluates(daemon: &Daemon, request: Request<'_>, expression: &str, expected: &str) {
    let request = request.with(b"test.expression", expression.as_bytes());
    let answer = daemon.connect().ask(&request);
    assert_eq!(answer.text(), expected, "{expression}: {}", answer.logged());
}

#[test]
fn the_environ_holds_what_pep_3333_asks_for() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(EVALUATE));
        for (expression, expected) in [
            ("type(environ) is dict", "True"),
            (
                "environ['REQUEST_METHOD'], environ['SERVER_PORT']",
                "('GET', '80')",
            ),
            ("environ['wsgi.version']", "(1, 0)"),
            ("environ['wsgi.url_scheme']", "'http'"),
            (
                "environ['wsgi.multithread'], environ['wsgi.multiprocess']",
                "(True, False)",
            ),
            (
                "environ['wsgi.run_once'], environ['wsgi.input_terminated']",
                "(False, True)",
            ),
            ("environ['wsgi.input'].read()", "b''"),
            ("callable(environ['wsgi.file_wrapper'])", "True"),
            ("hasattr(environ['wsgi.errors'], 'writelines')", "True"),
            (
                "environ['apache.version'], environ['mod_wsgi.version']",
                "((2, 4, 71), (6, 1, 1))",
            ),
            (
                "0 < environ['mod_wsgi.request_start'] and environ['mod_wsgi.queue_start'] <= \
              environ['mod_wsgi.daemon_start'] <= environ['mod_wsgi.application_start']",
                "True",
            ),
            ("type(environ['mod_wsgi.thread_id'])", "<class 'int'>"),
        ] {
            evaluates(&daemon, Request::get("/evaluate"), expression, expected);
        }
    });
}

#[test]
fn values_are_latin1_and_paths_are_decoded_as_file_names() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(EVALUATE));
        let request = Request::get("/evaluate").with(b"HTTP_X", b"caf\xe9");
        evaluates(
            &daemon,
            request,
            "ascii(environ['HTTP_X'])",
            "\"'caf\\\\xe9'\"",
        );
        let expression = "os.fsencode(environ['SCRIPT_FILENAME']) == os.fsencode(__file__)";
        evaluates(&daemon, Request::get("/evaluate"), expression, "True");
    });
}

#[test]
fn a_later_pair_replaces_an_earlier_one_and_requests_do_not_mix() {
    let daemon = Daemon::start(newest_python(), &script(EVALUATE));
    let request = Request::get("/evaluate")
        .with(b"A", b"1")
        .with(b"A", b"2")
        .with(b"B", b"3");
    evaluates(&daemon, request, "environ['A'], environ['B']", "('2', '3')");
    evaluates(
        &daemon,
        Request::get("/evaluate"),
        "'A' in environ",
        "False",
    );
    let request = Request::get("/evaluate").with(b"A", b"4");
    evaluates(&daemon, request, "environ['A']", "'4'");
}

#[test]
fn the_scheme_follows_the_https_flag() {
    let daemon = Daemon::start(newest_python(), &script(EVALUATE));
    let request = Request::get("/evaluate").flags(flag::HTTPS);
    evaluates(&daemon, request, "environ['wsgi.url_scheme']", "'https'");
}

#[test]
fn a_process_with_one_thread_says_so() {
    let setup = Setup::new(newest_python(), &script(EVALUATE)).threads(1);
    let daemon = setup
        .with(|config| config.gateway.multiprocess = true)
        .start();
    let expression = "environ['wsgi.multithread'], environ['wsgi.multiprocess']";
    evaluates(
        &daemon,
        Request::get("/evaluate"),
        expression,
        "(False, True)",
    );
}

#[test]
fn the_interpreter_offers_the_modules_mod_wsgi_and_apache() {
    each_python(|python| {
        let daemon = Daemon::start(python, &script(EVALUATE));
        for (expression, expected) in [
            ("__import__('mod_wsgi').version", "(6, 1, 1)"),
            ("__import__('mod_wsgi').process_group", "'tested'"),
            ("__import__('mod_wsgi').application_group", "''"),
            ("__import__('mod_wsgi').threads_per_process", "2"),
            ("__import__('mod_wsgi').maximum_processes", "1"),
            (
                "__import__('mod_wsgi').FileWrapper is environ['wsgi.file_wrapper']",
                "True",
            ),
            ("__import__('apache').version", "(2, 4, 71)"),
            ("sys.argv", "['mod_wsgi']"),
            ("__name__.startswith('_mod_wsgi_')", "True"),
            ("sys.modules[__name__].__dict__ is globals()", "True"),
        ] {
            evaluates(&daemon, Request::get("/evaluate"), expression, expected);
        }
    });
}

#[test]
fn a_body_with_a_declared_length_shows_it() {
    let daemon = Daemon::start(newest_python(), &script(EVALUATE));
    let request = Request::post("/evaluate", Body::Inline(b"abc"));
    let expression = "environ['CONTENT_LENGTH'], environ['wsgi.input'].read()";
    evaluates(&daemon, request, expression, "('3', b'abc')");
}
