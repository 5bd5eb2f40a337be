//! How a daemon's response travels through Apache to the client: time-outs, sizes and pauses that the
//! options of its group set.

use std::fs;
use std::time::{Duration, Instant};

use wsgi_tests::apache::{apache, only_ours};
use wsgi_tests::{Builder, Mode, Request, Server, wait};

use crate::support::serving;

/// Sends a piece, waits for the file `go`, sends as many bytes as the query says, waits for the file
/// `end` as many seconds as the query says, and ends.
const PAUSING: &str = r#"
import os
import time


def wait_for(environ, name, seconds):
    path = os.path.join(environ["TEST_STATE"], name)
    deadline = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.005)


def application(environ, start_response):
    count, seconds = environ["QUERY_STRING"].split("-")
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    wait_for(environ, "go", 60)
    yield b"x" * int(count)
    wait_for(environ, "end", float(seconds))
    yield b"last"
"#;

fn pausing(options: &str) -> Builder {
    serving(Mode::Daemon, "pausing")
        .file("apps/pausing/app.wsgi", PAUSING)
        .daemon(&format!("processes=1 threads=2 {options}"))
}

/// What comes after the first piece until the application has waited for two seconds.
fn second_chunk(server: &Server) -> Vec<u8> {
    let mut connection = server.connect();
    let request = Request::get("/?6-2").head();
    connection.write(&request).expect("sent");
    connection.head(false).expect("a head");
    let first = connection.chunk().expect("readable").expect("a chunk");
    assert_eq!(first, b"first");
    fs::write(server.state("go"), "").expect("ours");
    connection.chunk().expect("readable").expect("a chunk")
}

#[test]
fn a_piece_after_a_pause_comes_at_once() {
    let server = pausing("").start();
    assert_eq!(second_chunk(&server), b"xxxxxx");
}

#[test]
fn response_flush_delay_lets_pieces_travel_together() {
    if only_ours("its delay begins with the piece and not with the flush before") {
        return;
    }
    let server = pausing("response-flush-delay=60000").start();
    assert_eq!(second_chunk(&server), b"xxxxxxlast");
}

#[test]
fn response_buffer_size_bounds_what_filters_hold() {
    if only_ours("the bound is seen with a filter that holds on to data only") {
        return;
    }
    let server = pausing("response-flush-delay=60000 response-buffer-size=65536")
        .modules(&["buffer"])
        .directive("<Location />\nSetOutputFilter BUFFER\nBufferSize 10000000\n</Location>")
        .start();
    let mut connection = server.connect();
    let request = Request::get("/?100000-60").head();
    connection.write(&request).expect("sent");
    connection.head(false).expect("a head");
    assert_eq!(
        connection.chunk().expect("readable").expect("a chunk"),
        b"first"
    );
    fs::write(server.state("go"), "").expect("ours");
    let mut count = 0;
    while count < 65536 {
        let chunk = connection.chunk().expect("readable").expect("a chunk");
        count += chunk.len();
    }
    fs::write(server.state("end"), "").expect("ours");
}

#[test]
fn a_client_that_accepts_nothing_is_given_up_after_response_socket_timeout() {
    let mut server = serving(Mode::Daemon, "endless")
        .daemon("processes=1 threads=2 response-socket-timeout=1")
        .directive("Timeout 120")
        .start();
    // It calls that an error; we tell it at level info.
    server.allow_log("Unable to proxy response to client");
    let begun = Instant::now();
    let mut client = server.connect();
    client.write(&Request::get("/").head()).expect("sent");
    wait::until_true("the response is closed", || server.state("closed").exists());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    if !only_ours("its words are others, at level error") {
        server.wait_for_log("accepted no data for 1 s");
    }
}

#[test]
fn socket_timeout_holds_for_the_client_as_well() {
    let mut server = serving(Mode::Daemon, "endless")
        .daemon("processes=1 threads=2 socket-timeout=1")
        .directive("Timeout 120")
        .start();
    // It calls that an error; we tell it at level info.
    server.allow_log("Unable to proxy response to client");
    let mut client = server.connect();
    client.write(&Request::get("/").head()).expect("sent");
    wait::until_true("the response is closed", || server.state("closed").exists());
}

#[test]
fn a_kept_alive_connection_has_its_own_time_out_again() {
    let server = serving(Mode::Daemon, "hello")
        .daemon("processes=1 threads=2 response-socket-timeout=1")
        .directive("KeepAliveTimeout 60\nWSGIChunkedRequest On")
        .start();
    let mut client = server.connect();
    let get = Request::get("/");
    assert_eq!(client.roundtrip(&get).expect("an answer").status(), 200);
    // Longer than response-socket-timeout: reading the next request must not be cut by it.
    let mut head = Request::get("/").head();
    let rest = head.split_off(10);
    client.write(&head).expect("sent");
    let begun = Instant::now();
    wait::until_true("more than a second", || {
        begun.elapsed() > Duration::from_millis(1500)
    });
    client.write(&rest).expect("sent");
    assert_eq!(client.response(false).expect("an answer").status(), 200);
}

const LONG_HEADER: &str = r#"
def application(environ, start_response):
    length = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Long", "x" * length)])
    return [b"done"]
"#;

#[test]
fn a_header_over_header_buffer_size_is_a_500() {
    for (options, fits, over) in [
        ("header-buffer-size=32768", 20_000, 32_768),
        ("header-buffer-size=8192", 7000, 8192),
        ("header-buffer-size=100000", 90_000, 100_000),
    ] {
        let mut server = serving(Mode::Daemon, "long_header")
            .file("apps/long_header/app.wsgi", LONG_HEADER)
            .daemon(&format!("threads=2 {options}"))
            .start();
        if only_ours("the log names the header in another way") {
            server.allow_log("");
        } else {
            server.expect_log("header 'X-Long' is longer than header-buffer-size");
        }
        let response = server.get(&format!("/?{fits}"));
        assert_eq!(response.status(), 200, "{options}");
        assert_eq!(response.header("X-Long").map(str::len), Some(fits));
        assert_eq!(server.get(&format!("/?{over}")).status(), 500, "{options}");
        assert_eq!(server.get("/?10").status(), 200, "{options}");
    }
}

#[test]
fn buffers_of_both_ends_have_the_size_that_is_asked_for() {
    if only_ours("its connections do not stay") || !apache().as_root {
        return;
    }
    let server = serving(Mode::Daemon, "hello")
        .daemon("processes=1 threads=2 send-buffer-size=16384 receive-buffer-size=20480")
        .start();
    assert_eq!(server.get("/").status(), 200);
    // The kernel doubles what it is asked for (socket(7)).
    let wanted = (2 * 16384, 2 * 20480);
    for (whose, processes) in [("daemon", server.daemons()), ("child", server.children())] {
        let mut buffers = Vec::new();
        for process in processes {
            match process.unix_socket_buffers() {
                Ok(found) => buffers.extend(found),
                Err(error) => {
                    eprintln!("SKIPPED: this system does not let us look: {error}");
                    return;
                }
            }
        }
        assert!(buffers.contains(&wanted), "{whose}: {buffers:?}");
    }
}
