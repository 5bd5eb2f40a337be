//! Bodies larger than memory should ever hold, both ways, and clients that take their time.

use std::thread;
use std::time::Instant;

use wsgi_tests::apache::only_ours;
use wsgi_tests::{Mode, Request, Server, wait};

use crate::support::serving;

const MIB: usize = 1 << 20;
const PIECES: usize = 1024;
/// SHA-256 of 1024 times the MiB that `piece` makes, computed once by sha256sum.
const HASH: &str = "e18e3f358b46eae9266ac36a5ff6347f6bf09711dff389597f237d5fe83111d8";
/// What a gibibyte may add to any process.
const GROWTH_KIB: u64 = 16 * 1024;

/// The same MiB as `tests/apps/download` repeats.
fn piece() -> Vec<u8> {
    (0..MIB).map(|index| (index % 251) as u8).collect()
}

/// Checks that no process of the server grows while `work` runs.
fn without_growth(server: &Server, work: impl FnOnce()) {
    let before = server.processes();
    for process in &before {
        process.forget_peak();
    }
    let resident: Vec<u64> = before
        .iter()
        .map(|process| process.memory().resident)
        .collect();
    work();
    for (process, resident) in before.iter().zip(resident) {
        let growth = process.memory().peak.saturating_sub(resident);
        let title = process.executable.display();
        assert!(
            growth <= GROWTH_KIB,
            "{} {title} grew by {growth} KiB",
            process.pid
        );
    }
}

in_both_modes! {
    fn a_gibibyte_of_chunks_is_hashed_right_in_constant_memory(mode) {
        let server = serving(mode, "upload_hash")
            .directive("WSGIChunkedRequest On")
            .alone()
            .start();
        // Everything that is loaded once is loaded before the measurement.
        let warm = server.send(&Request::post_chunked("/", piece()));
        assert_eq!(warm.status(), 200);
        without_growth(&server, || {
            let mut connection = server.connect();
            let request = Request::new("POST", "/").header("Transfer-Encoding", "chunked");
            connection.write(&request.head()).expect("sent");
            let mut chunk = format!("{MIB:x}\r\n").into_bytes();
            chunk.extend_from_slice(&piece());
            chunk.extend_from_slice(b"\r\n");
            for _ in 0..PIECES {
                connection.write(&chunk).expect("sent");
            }
            connection.write(b"0\r\n\r\n").expect("sent");
            let response = connection.response(false).expect("an answer");
            assert_eq!(response.text(), format!("{HASH} {}", PIECES * MIB));
        });
    }

    fn a_gibibyte_is_generated_right_in_constant_memory(mode) {
        let server = serving(mode, "download").alone().start();
        assert_eq!(server.get("/?1").body, piece());
        let doubled = [piece(), piece()].concat();
        without_growth(&server, || {
            let mut connection = server.connect();
            connection.write(&Request::get(&format!("/?{PIECES}")).head()).expect("sent");
            let head = connection.head(false).expect("a head");
            let mut at = 0;
            let whole = connection.body(&head, |bytes| {
                for part in bytes.chunks(MIB) {
                    let from = at % MIB;
                    assert!(part == &doubled[from..from + part.len()], "wrong bytes at {at}");
                    at += part.len();
                }
            });
            assert!(whole.expect("a body"));
            assert_eq!(at, PIECES * MIB);
        });
    }

    fn a_slow_reader_stalls_only_itself(mode) {
        let server = Server::builder(mode)
            .app("/hello", "hello")
            .app("/", "download")
            .directive("WSGIApplicationGroup %{GLOBAL}")
            .start();
        let mut slow = server.connect();
        slow.write(&Request::get("/?64").head()).expect("sent");
        let head = slow.head(false).expect("a head");
        // Nothing is read now: the socket's buffers are full long before 64 MiB are through.
        for _ in 0..50 {
            assert_eq!(server.text("/hello"), "Hello World!");
        }
        let mut length = 0;
        let whole = slow.body(&head, |bytes| length += bytes.len());
        assert!(whole.expect("a body"));
        assert_eq!(length, 64 * MIB);
    }

    fn a_slow_writer_stalls_only_itself(mode) {
        let server = Server::builder(mode)
            .app("/hello", "hello")
            .app("/", "upload_hash")
            .directive("WSGIApplicationGroup %{GLOBAL}")
            .start();
        let mut slow = server.connect();
        let request = Request::post("/", piece());
        slow.write(&request.head()).expect("sent");
        slow.write(b"\0").expect("sent");
        for _ in 0..50 {
            assert_eq!(server.text("/hello"), "Hello World!");
        }
        slow.write(&request.framed_body()[1..]).expect("sent");
        let response = slow.response(false).expect("an answer");
        assert!(response.text().ends_with(&format!(" {MIB}")), "{}", response.text());
    }
}

/// Says a thousand things in a row and then, after the client has got them, one more.
const TALKER: &str = "\
import os
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    for number in range(1000):
        yield b'%07d\\n' % number
    gate = os.path.join(environ['TEST_STATE'], 'go')
    while not os.path.exists(gate):
        pass
    yield b'last'
";

#[test]
fn many_small_pieces_travel_together_and_none_waits_for_the_next() {
    if only_ours("each piece is sent on its own") {
        return;
    }
    let server = Server::builder(Mode::Daemon)
        .file("apps/talker.wsgi", TALKER)
        .directive("WSGIScriptAlias / @ROOT@/apps/talker.wsgi")
        .start();
    let mut connection = server.connect();
    let began = Instant::now();
    connection.write(&Request::get("/").head()).expect("sent");
    connection.head(false).expect("a head");
    let (mut pieces, mut bytes) = (0, 0);
    while bytes < 8000 {
        let chunk = connection.chunk().expect("a chunk").expect("more");
        bytes += chunk.len();
        pieces += 1;
    }
    // One at once, then one each 5 ms at most; a thousand pieces take far less than a second.
    let most = 2 + began.elapsed().as_millis() / 5;
    assert!(pieces <= most, "{pieces} pieces in {:?}", began.elapsed());
    std::fs::write(server.state("go"), "").expect("the state directory is ours");
    let last = connection.chunk().expect("a chunk");
    assert_eq!(last, Some(b"last".to_vec()));
}

#[test]
fn an_application_can_answer_while_it_reads() {
    if only_ours("its daemons read the whole body first") {
        return;
    }
    for mode in [Mode::Embedded, Mode::Daemon] {
        let server = serving(mode, "echo").start();
        let mut connection = server.connect();
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 131072\r\n\r\n";
        connection.write(head.as_bytes()).expect("sent");
        connection.write(&[b'a'; 65536]).expect("sent");
        let head = connection
            .head(false)
            .expect("an answer before the body's end");
        let mut first = Vec::new();
        while first.len() < 65536 {
            first.extend(connection.chunk().expect("a chunk").expect("more"));
        }
        assert_eq!(head.status, 200);
        connection.write(&[b'b'; 65536]).expect("sent");
        let mut rest = Vec::new();
        while let Some(chunk) = connection
            .chunk()
            .expect("a chunk")
            .filter(|c| !c.is_empty())
        {
            rest.extend(chunk);
        }
        assert_eq!(
            [first, rest].concat(),
            [[b'a'; 65536], [b'b'; 65536]].concat()
        );
    }
}

#[test]
fn readers_that_go_away_free_their_threads() {
    let mut server = serving(Mode::Daemon, "download")
        .daemon("threads=2")
        .start();
    server.allow_log("client");
    server.allow_log("closed");
    server.allow_log("roken pipe");
    server.allow_log("eset by peer");
    let leavers: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = server.connect();
            thread::spawn(move || {
                connection
                    .write(&Request::get("/?64").head())
                    .expect("sent");
                connection.head(false).expect("a head");
            })
        })
        .collect();
    for leaver in leavers {
        leaver.join().expect("got its head");
    }
    wait::until_true("the threads are free again", || server.get("/?1").whole);
}
