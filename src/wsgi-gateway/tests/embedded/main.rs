//! The gateway inside a process that is no Python: what an Apache child does, without Apache.
//!
//! A process can hold one libpython only, so the test starts its own program again for every Python
//! that has one; `in_one_process` is the part that runs there.

mod client;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use client::{Client, Outcome, Request};
use process::{Gateway, LIBRARY, PROGRAM, gateway_library, pythons};
use wsgi_wire::Failure;
use wsgi_wire::function::Answer;

#[test]
fn every_python_serves_inside_a_foreign_process() {
    gateway_library();
    for python in pythons() {
        eprintln!("with {}", python.library.display());
        let environment = python.virtual_environment();
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "in_one_process", "--ignored", "--nocapture"])
            .env(LIBRARY, &python.library)
            .env(PROGRAM, environment.join("bin/python"))
            .status()
            .expect("this program runs again");
        assert!(
            status.success(),
            "with {}: {status}",
            python.library.display()
        );
    }
}

const SCRIPT: &str = "
import atexit, gc, os, sys, threading
executions = sys.executions = getattr(sys, 'executions', 0) + 1
atexit.register(lambda: open(__file__ + '.' + sys.modules['mod_wsgi'].application_group, 'w').close())
def application(environ, start_response):
    return globals()[environ['PATH_INFO'][1:]](environ, start_response)
def hello(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
def echo(environ, start_response):
    global kept
    kept = environ['wsgi.input']
    start_response('200 OK', [])
    return iter([environ['wsgi.input'].read()])
def late(environ, start_response):
    start_response('200 OK', [])
    try:
        return [kept.read()]
    except RuntimeError as error:
        return [str(error).encode()]
def fails(environ, start_response):
    print('printed')
    raise LookupError('no luck')
def decides(environ, argument):
    lookup = environ['mod_ssl.var_lookup']
    assert lookup('SSL_CIPHER') is None
    return [argument, environ['SERVER_NAME'], lookup('SSL_PROTOCOL')]
def file(environ, start_response):
    start_response('200 OK', [])
    source = open(__file__, 'rb')
    source.seek(7)
    return environ['wsgi.file_wrapper'](source)
def compressed(environ, start_response):
    import gzip
    with gzip.open(__file__ + '.gz', 'wb') as target:
        target.write(b'plain text')
    start_response('200 OK', [])
    return environ['wsgi.file_wrapper'](gzip.open(__file__ + '.gz'))
def imports(environ, start_response):
    try:
        raise ImportError('cannot load module more than once per process')
    except ImportError as error:
        raise RuntimeError('numpy is broken') from error
def validated(environ, start_response):
    from wsgiref.validate import validator
    def application(environ, start_response):
        environ['wsgi.input'].readline()
        environ['wsgi.errors'].write('validated')
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'valid']
    return validator(application)(environ, start_response)
def blocks(environ, start_response):
    start_response('200 OK', [])
    gc.collect()
    return [str(sys.getallocatedblocks()).encode()]
def outer(environ, start_response):
    start_response('200 OK', [])
    print('before', end='')
    yield b'outer'
    print(' and after')
def counted(environ, start_response):
    start_response('200 OK', [])
    return [str(executions).encode()]
def where(environ, start_response):
    start_response('200 OK', [])
    found = [sys.prefix, environ['mod_wsgi.process_group'], str(environ['mod_wsgi.daemon_start'])]
    return ['|'.join(found).encode()]
def hinted(environ, start_response):
    environ['wsgi.early_hints']([('Link', '</a.css>; rel=preload')])
    start_response('200 OK', [])
    return [b'']
def elsewhere(environ, start_response):
    found = []
    def read():
        found.append(environ['wsgi.input'].read())
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    start_response('200 OK', [])
    return found
";

#[test]
#[ignore = "run by every_python_serves_inside_a_foreign_process"]
fn in_one_process() {
    let script = scratch_script();
    let gateway = Gateway::start();
    let ask = |path: &str| Client::new().ask(&gateway, &Request::new(&script, path));
    assert_eq!(gateway.start_again(), -1);
    responses(&ask);
    failures(&ask);
    functions(&gateway, &script);
    bodies(&gateway, &script);
    requests_inside_requests(&gateway, &script);
    reloads(&gateway, &script);
    many_threads_and_groups(&gateway, &script);
    measure(&gateway, &script);
    nothing_is_left_of_a_request(&gateway, &script);
    gateway.stop();
    for group in ["", "first", "second"] {
        let mark = PathBuf::from(format!("{}.{group}", script.display()));
        assert!(mark.exists(), "exit functions ran in {group:?}");
    }
}

fn scratch_script() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = directory.join(format!("embedded-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory for the test");
    let script = directory.join("app.wsgi");
    fs::write(&script, SCRIPT).expect("the script is written");
    script
}

fn responses(ask: &dyn Fn(&str) -> Outcome) {
    let hello = ask("/hello");
    assert_eq!(
        (hello.code, hello.status, &*hello.body),
        (0, 200, &b"hello"[..])
    );
    assert_eq!(hello.header("Content-Length"), Some("5"));
    let file = ask("/file");
    assert_eq!(file.code, 0);
    assert_eq!(file.body, SCRIPT.as_bytes()[7..]);
    // Its descriptor would give the compressed bytes.
    assert_eq!(ask("/compressed").body, b"plain text");
    let valid = ask("/validated");
    assert_eq!(
        (valid.code, &*valid.body),
        (0, &b"valid"[..]),
        "{:?}",
        valid.log
    );
    assert_eq!(valid.log, ["validated"]);
    let hinted = ask("/hinted");
    assert_eq!((hinted.code, hinted.interim), (0, vec![103]));
    let found = String::from_utf8(ask("/where").body).expect("a path");
    let program = PathBuf::from(std::env::var_os(PROGRAM).expect("set by the test"));
    let prefix = program.parent().and_then(Path::parent).expect("a prefix");
    assert_eq!(found, format!("{}||0.0", prefix.display()));
}

fn failures(ask: &dyn Fn(&str) -> Outcome) {
    let failed = ask("/fails");
    assert_eq!(
        (failed.code, failed.body.len()),
        (Failure::Application as u8, 0)
    );
    let log = failed.log.join("\n");
    for part in [
        "printed",
        "LookupError exception raised processing WSGI script",
        "in fails",
        "LookupError: no luck",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!log.contains("<mod_wsgi>"), "{log}");
    let advice = ask("/imports").log.join("\n");
    assert!(
        advice.contains("WSGIApplicationGroup %{GLOBAL}"),
        "{advice}"
    );
}

fn functions(gateway: &Gateway, script: &Path) {
    let ask = |name| Client::new().ask(gateway, &Request::new(script, "/").function(name));
    let decided = ask("decides");
    let texts = ["x", "localhost", "TLSv1.3"].map(|text| Answer::Text(text.as_bytes().to_vec()));
    assert_eq!(decided.answers, [Answer::Items(texts.to_vec())]);
    assert_eq!((decided.code, decided.status), (0, 0));
    assert_eq!(ask("undefined").answers, [Answer::Missing]);
    let failed = ask("fails");
    assert_eq!(failed.code, Failure::Application as u8);
    assert!(failed.answers.is_empty());
    assert!(
        failed.log.iter().any(|line| line.contains("no luck")),
        "{:?}",
        failed.log
    );
}

fn bodies(gateway: &Gateway, script: &Path) {
    let body: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    let echoed = Client::with_body(&body).ask(gateway, &Request::new(script, "/echo").pulled());
    assert_eq!((echoed.code, echoed.body == body), (0, true));
    let late = Client::new().ask(gateway, &Request::new(script, "/late"));
    assert!(String::from_utf8_lossy(&late.body).contains("request has ended"));
    let other = Request::new(script, "/elsewhere").pulled();
    let other = Client::with_body(&body).ask(gateway, &other);
    assert_eq!((other.code, other.body == body), (0, true));
    let gone = Client::failing(Failure::ClientGone);
    let gone = gone.ask(gateway, &Request::new(script, "/echo").pulled());
    assert_eq!(gone.code, Failure::ClientGone as u8);
    let calm = |line: &String| line.contains("the client closed the connection");
    assert!(gone.log.iter().all(calm), "{:?}", gone.log);
}

fn requests_inside_requests(gateway: &Gateway, script: &Path) {
    for group in ["", "first"] {
        let inner = Request::new(script, "/outer").group(group);
        let client = Client::with_request_inside(gateway, inner);
        let outer = client.ask(gateway, &Request::new(script, "/outer"));
        assert_eq!((outer.code, &*outer.body), (0, &b"outerouter"[..]));
        assert_eq!(outer.log, ["before and after"]);
    }
}

fn reloads(gateway: &Gateway, script: &Path) {
    let count = || {
        Client::new()
            .ask(gateway, &Request::new(script, "/counted"))
            .body
    };
    assert_eq!(count(), b"1");
    fs::write(script, format!("{SCRIPT}\n")).expect("the script is written");
    process::set_modified(script, 1_000_000_000);
    assert_eq!(count(), b"2");
    fs::write(script, "raise LookupError('now broken')").expect("the script is written");
    process::set_modified(script, 1_000_000_001);
    let broken = Client::new().ask(gateway, &Request::new(script, "/counted"));
    assert_eq!(broken.code, Failure::ScriptLoad as u8);
    assert!(broken.log.join("\n").contains("now broken"));
    fs::write(script, SCRIPT).expect("the script is written");
    process::set_modified(script, 1_000_000_002);
    assert_eq!(count(), b"3");
}

fn many_threads_and_groups(gateway: &Gateway, script: &Path) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..300 {
                    let group = ["", "first", "second"][(thread + round) % 3];
                    let path = if round % 16 == 0 { "/fails" } else { "/hello" };
                    let request = Request::new(script, path).group(group);
                    let outcome = Client::new().ask(gateway, &request);
                    let expected = if round % 16 == 0 {
                        Failure::Application as u8
                    } else {
                        0
                    };
                    assert_eq!(outcome.code, expected, "{:?}", outcome.log);
                }
            });
        }
    });
}

/// Prints what a small request costs, for whoever changes something; asserts nothing, for the machine
/// may be busy.
fn measure(gateway: &Gateway, script: &Path) {
    const ROUNDS: u32 = 20_000;
    let request = Request::new(script, "/hello").like_a_browsers();
    let mut client = Client::new();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        client.ask_again(gateway, &request);
    }
    eprintln!("{:?} for a small request", start.elapsed() / ROUNDS);
}

fn nothing_is_left_of_a_request(gateway: &Gateway, script: &Path) {
    let ask = |path: &str| {
        Client::with_body(b"some\nlines").ask(gateway, &Request::new(script, path).pulled())
    };
    let blocks = || -> i64 {
        let body = String::from_utf8(ask("/blocks").body).expect("digits");
        body.parse().expect("a number")
    };
    let rounds = |count: usize| {
        for _ in 0..count {
            for path in ["/hello", "/fails", "/echo", "/hinted", "/file"] {
                assert!(!ask(path).log.is_empty() || path != "/fails");
            }
        }
    };
    rounds(50);
    let before = blocks();
    rounds(1500);
    let grown = blocks() - before;
    assert!(grown < 600, "{grown} blocks of memory after 7,500 requests");
}
