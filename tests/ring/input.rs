//! wsgi.input: every way to read, with a declared length and in chunks.

use wsgi_tests::{Request, Server};

use crate::case::Group;

const LINES: &str = "alpha\nbeta\n\ngamma";

/// Operations of `tests/apps/input` and what they yield for [`LINES`].
const READS: &[(&str, &str, &str)] = &[
    ("read_all", "read", r"b'alpha\nbeta\n\ngamma'"),
    ("read_of_minus_one", "read:-1", r"b'alpha\nbeta\n\ngamma'"),
    ("read_of_nothing", "read:0", "b''"),
    ("read_of_one", "read:1", "b'a'"),
    ("read_twice", "read:2;read:3", "b'al'\nb'pha'"),
    (
        "read_of_just_all",
        "read:17;read:1",
        "b'alpha\\nbeta\\n\\ngamma'\nb''",
    ),
    (
        "read_of_more_than_there_is",
        "read:100",
        r"b'alpha\nbeta\n\ngamma'",
    ),
    (
        "read_after_the_end",
        "read;read;read:5",
        "b'alpha\\nbeta\\n\\ngamma'\nb''\nb''",
    ),
    (
        "read_nothing_after_the_end",
        "read;read:0",
        "b'alpha\\nbeta\\n\\ngamma'\nb''",
    ),
    ("readline_once", "readline", r"b'alpha\n'"),
    (
        "readline_twice",
        "readline;readline",
        "b'alpha\\n'\nb'beta\\n'",
    ),
    (
        "readline_of_an_empty_line",
        "readline;readline;readline",
        "b'alpha\\n'\nb'beta\\n'\nb'\\n'",
    ),
    (
        "readline_without_an_end",
        "read:12;readline",
        "b'alpha\\nbeta\\n\\n'\nb'gamma'",
    ),
    (
        "readline_after_the_end",
        "read;readline",
        "b'alpha\\nbeta\\n\\ngamma'\nb''",
    ),
    ("readline_with_a_limit", "readline:3", "b'alp'"),
    (
        "readline_with_a_limit_at_the_end",
        "readline:6;readline",
        "b'alpha\\n'\nb'beta\\n'",
    ),
    (
        "readline_with_a_limit_before_the_end",
        "readline:5;readline",
        "b'alpha'\nb'\\n'",
    ),
    (
        "readline_with_a_large_limit",
        "readline:1000",
        r"b'alpha\n'",
    ),
    ("readline_with_a_limit_of_nothing", "readline:0", "b''"),
    (
        "readline_with_a_limit_of_minus_one",
        "readline:-1",
        r"b'alpha\n'",
    ),
    (
        "readlines_all",
        "readlines",
        r"[b'alpha\n', b'beta\n', b'\n', b'gamma']",
    ),
    (
        "readlines_with_a_hint_of_one",
        "readlines:1",
        r"[b'alpha\n']",
    ),
    (
        "readlines_with_a_hint_over_a_line",
        "readlines:7",
        r"[b'alpha\n', b'beta\n']",
    ),
    (
        "readlines_with_a_large_hint",
        "readlines:1000",
        r"[b'alpha\n', b'beta\n', b'\n', b'gamma']",
    ),
    (
        "readlines_with_a_hint_of_minus_one",
        "readlines:-1",
        r"[b'alpha\n', b'beta\n', b'\n', b'gamma']",
    ),
    (
        "readlines_after_the_end",
        "read;readlines",
        "b'alpha\\nbeta\\n\\ngamma'\n[]",
    ),
    (
        "iteration",
        "iter",
        r"[b'alpha\n', b'beta\n', b'\n', b'gamma']",
    ),
    (
        "iteration_after_a_read",
        "read:2;iter",
        "b'al'\n[b'pha\\n', b'beta\\n', b'\\n', b'gamma']",
    ),
    (
        "iteration_after_a_line",
        "readline;iter",
        "b'alpha\\n'\n[b'beta\\n', b'\\n', b'gamma']",
    ),
    (
        "iteration_twice",
        "iter;iter",
        "[b'alpha\\n', b'beta\\n', b'\\n', b'gamma']\n[]",
    ),
    (
        "next_then_read",
        "next;read",
        "b'alpha\\n'\nb'beta\\n\\ngamma'",
    ),
    (
        "a_line_then_a_read",
        "readline;read:4",
        "b'alpha\\n'\nb'beta'",
    ),
    ("a_read_then_a_line", "read:3;readline", "b'alp'\nb'ha\\n'"),
    (
        "a_mixture",
        "read:1;readline:2;next;readlines:1;read",
        "b'a'\nb'lp'\nb'ha\\n'\n[b'beta\\n']\nb'\\ngamma'",
    ),
];

fn post(server: &Server, operations: &str, body: &str) -> String {
    server
        .send(&Request::post(&format!("/?{operations}"), body))
        .text()
}

/// The cases.
pub fn group() -> Group {
    let mut group = Group::new("input", |mode| {
        Server::builder(mode)
            .app("/echo", "echo")
            .app("/hash", "upload_hash")
            .app("/", "input")
            .directive("WSGIChunkedRequest On")
    });
    for &(name, operations, expected) in READS {
        group = group
            .case(name, move |server, _| {
                assert_eq!(post(server, operations, LINES), expected);
            })
            .case(&format!("{name}_in_chunks"), move |server, _| {
                let request = Request::post_chunked(&format!("/?{operations}"), LINES);
                assert_eq!(server.send(&request).text(), expected);
            });
    }
    sizes(lengths(group))
}

fn lengths(group: Group) -> Group {
    group
        .case("a_get_has_no_input", |server, _| {
            assert_eq!(server.text("/?read;readline;iter"), "b''\nb''\n[]");
        })
        .case("a_length_of_zero_is_no_input", |server, _| {
            assert_eq!(post(server, "read", ""), "b''");
        })
        .case("an_empty_chunked_body_is_no_input", |server, _| {
            assert_eq!(
                server.send(&Request::post_chunked("/?read", "")).text(),
                "b''"
            );
        })
        .case("put_and_patch_and_delete_have_input", |server, _| {
            for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
                let mut connection = server.connect();
                let head = format!(
                    "{method} /?read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\
                     Connection: close\r\n\r\nab"
                );
                connection.write(head.as_bytes()).expect("sent");
                let response = connection.response(false).expect("an answer");
                assert_eq!(response.text(), "b'ab'", "{method}");
            }
        })
        .case("a_get_may_have_a_body", |server, _| {
            let request = Request::post("/?read", "body");
            assert_eq!(server.send(&request).text(), "b'body'");
        })
        .case("carriage_returns_belong_to_lines", |server, _| {
            assert_eq!(
                post(server, "readline;readline", "a\r\nb"),
                "b'a\\r\\n'\nb'b'"
            );
        })
        .case("only_a_line_end", |server, _| {
            assert_eq!(post(server, "readlines", "\n"), "[b'\\n']");
        })
        .case(
            "unread_input_does_not_become_the_next_request",
            |server, _| {
                let mut connection = server.connect();
                let request = Request::post("/?read:2", "GET /evil HTTP/1.1\r\n\r\n");
                let response = connection.roundtrip(&request).expect("an answer");
                assert_eq!(response.text(), "b'GE'");
                let next = connection
                    .roundtrip(&Request::get("/?read"))
                    .expect("an answer");
                assert_eq!(next.text(), "b''");
            },
        )
        .case(
            "unread_chunks_do_not_become_the_next_request",
            |server, _| {
                let mut connection = server.connect();
                let request = Request::post_chunked("/?read:2", "x".repeat(3000));
                let response = connection.roundtrip(&request).expect("an answer");
                assert_eq!(response.text(), "b'xx'");
                let next = connection
                    .roundtrip(&Request::get("/?read"))
                    .expect("an answer");
                assert_eq!(next.text(), "b''");
            },
        )
        .case("two_requests_at_once_are_two", |server, _| {
            let mut connection = server.connect();
            let mut both = Request::post("/?read", "one").head();
            both.extend_from_slice(b"one");
            both.extend_from_slice(&Request::post("/?read", "two").head());
            both.extend_from_slice(b"two");
            connection.write(&both).expect("sent");
            assert_eq!(
                connection.response(false).expect("an answer").text(),
                "b'one'"
            );
            assert_eq!(
                connection.response(false).expect("an answer").text(),
                "b'two'"
            );
        })
}

fn sizes(mut group: Group) -> Group {
    for size in [
        1usize, 100, 4095, 4096, 8191, 8192, 8193, 16_384, 65_535, 65_536, 200_000,
    ] {
        group = group
            .case(&format!("a_body_of_{size}_bytes"), move |server, _| {
                let answer = server
                    .send(&Request::post("/hash", vec![b'b'; size]))
                    .text();
                assert!(answer.ends_with(&format!(" {size}")), "{answer}");
            })
            .case(
                &format!("a_chunked_body_of_{size}_bytes"),
                move |server, _| {
                    let request = Request::post_chunked("/hash", vec![b'b'; size]);
                    let answer = server.send(&request).text();
                    assert!(answer.ends_with(&format!(" {size}")), "{answer}");
                },
            );
    }
    group
}
