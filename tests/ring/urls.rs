//! From the request target to SCRIPT_NAME and PATH_INFO: decoding, slashes, dots and oddities.

use wsgi_tests::{Request, Server};

use crate::case::{Group, differs};

/// Name of the case, target, and `SCRIPT_NAME|PATH_INFO|file` as latin-1 bytes.
const PATHS: &[(&str, &str, &str)] = &[
    ("the_root", "/", "|/|app.wsgi"),
    ("a_segment", "/a", "|/a|app.wsgi"),
    ("a_slash_at_the_end", "/a/", "|/a/|app.wsgi"),
    ("several_segments", "/a/b/c", "|/a/b/c|app.wsgi"),
    ("a_quoted_space", "/a%20b", "|/a b|app.wsgi"),
    ("a_plus_is_a_plus", "/a+b", "|/a+b|app.wsgi"),
    ("a_quoted_plus", "/a%2Bb", "|/a+b|app.wsgi"),
    ("a_quoted_percent", "/a%25b", "|/a%b|app.wsgi"),
    ("a_percent_is_decoded_once", "/a%2541", "|/a%41|app.wsgi"),
    ("quoted_letters", "/%61%62", "|/ab|app.wsgi"),
    ("lower_case_digits", "/%c3%a9", "|/\u{e9}|app.wsgi"),
    ("upper_case_digits", "/%C3%A9", "|/\u{e9}|app.wsgi"),
    ("a_quoted_question_mark", "/a%3Fb", "|/a?b|app.wsgi"),
    ("a_quoted_hash", "/a%23b", "|/a#b|app.wsgi"),
    ("a_quoted_colon", "/a%3Ab", "|/a:b|app.wsgi"),
    ("a_quoted_semicolon", "/a%3Bb", "|/a;b|app.wsgi"),
    ("a_semicolon", "/a;b=c", "|/a;b=c|app.wsgi"),
    ("a_comma_and_an_equals", "/a,b=c", "|/a,b=c|app.wsgi"),
    ("a_tilde", "/~user", "|/~user|app.wsgi"),
    ("a_quoted_tilde", "/%7Euser", "|/~user|app.wsgi"),
    ("a_dollar_and_an_at", "/$a@b", "|/$a@b|app.wsgi"),
    ("parentheses_and_stars", "/(a)*!'", "|/(a)*!'|app.wsgi"),
    ("brackets", "/a%5Bb%5D", "|/a[b]|app.wsgi"),
    ("a_backslash", "/a%5Cb", "|/a\\b|app.wsgi"),
    ("a_quoted_quote", "/a%22b", "|/a\"b|app.wsgi"),
    ("a_quoted_line_feed", "/a%0Ab", "|/a\nb|app.wsgi"),
    ("a_quoted_tab", "/a%09b", "|/a\tb|app.wsgi"),
    ("a_dot_segment", "/a/./b", "|/a/b|app.wsgi"),
    ("a_double_dot_segment", "/a/../b", "|/b|app.wsgi"),
    ("a_quoted_dot_segment", "/a/%2E/b", "|/a/b|app.wsgi"),
    ("dots_within_a_name", "/a..b/.c", "|/a..b/.c|app.wsgi"),
    ("three_dots", "/.../a", "|/.../a|app.wsgi"),
    ("doubled_slashes", "/a//b", "|/a/b|app.wsgi"),
    ("slashes_at_the_start", "//a", "|/a|app.wsgi"),
    ("slashes_at_the_end", "/a//", "|/a/|app.wsgi"),
    ("many_slashes", "/a////b///c", "|/a/b/c|app.wsgi"),
    ("a_mount", "/mount", "/mount||app.wsgi"),
    ("a_mount_with_a_slash", "/mount/", "/mount|/|app.wsgi"),
    ("below_a_mount", "/mount/a%20b", "/mount|/a b|app.wsgi"),
    ("a_quoted_mount", "/%6Dount/a", "/mount|/a|app.wsgi"),
    ("slashes_around_a_mount", "//mount//a", "/mount|/a|app.wsgi"),
    (
        "a_mount_is_no_prefix_of_a_name",
        "/mounted",
        "|/mounted|app.wsgi",
    ),
    ("a_mount_is_case_sensitive", "/Mount", "|/Mount|app.wsgi"),
    ("dots_into_a_mount", "/x/../mount/a", "/mount|/a|app.wsgi"),
    ("dots_out_of_a_mount", "/mount/../a", "|/a|app.wsgi"),
    (
        "a_mount_of_two_segments",
        "/two/segments/x",
        "/two/segments|/x|app.wsgi",
    ),
    ("half_a_mount_of_two_segments", "/two/x", "|/two/x|app.wsgi"),
    (
        "a_mount_with_a_space",
        "/with%20space/x",
        "/with space|/x|app.wsgi",
    ),
    (
        "a_mount_beyond_ascii",
        "/caf%C3%A9/x",
        "/caf\u{e9}|/x|app.wsgi",
    ),
    ("a_query_is_no_path", "/a?b/c", "|/a|app.wsgi"),
    (
        "a_quoted_slash_where_it_is_allowed",
        "/slashes/a%2Fb",
        "/slashes|/a/b|app.wsgi",
    ),
];

/// Name of the case, target and status.
const STATUSES: &[(&str, &str, u16)] = &[
    ("a_percent_without_digits", "/a%zz", 400),
    ("a_percent_at_the_end", "/a%", 400),
    ("a_percent_with_one_digit", "/a%2", 400),
    ("a_quoted_zero", "/a%00b", 404),
    ("above_the_root", "/../a", 400),
    ("far_above_the_root", "/a/../../b", 400),
];

/// The cases.
pub fn group() -> Group {
    let group = Group::new("urls", |mode| {
        Server::builder(mode)
            .app("/mount", "mapped")
            .app("/two/segments", "mapped")
            .directive("WSGIScriptAlias \"/with space\" @APPS@/mapped/app.wsgi")
            .directive("WSGIScriptAlias /caf\u{e9} @APPS@/mapped/app.wsgi")
            .app("/slashes", "mapped")
            .app("/", "mapped")
            .directive("AllowEncodedSlashes On\nLimitRequestLine 16000")
    });
    let mut group = group;
    for &(name, target, status) in STATUSES {
        group = group.case(name, move |server, _| {
            server.allow_log("AH10244");
            assert_eq!(server.get(target).status(), status, "{target}");
        });
    }
    for &(name, target, expected) in PATHS {
        group = group.case(name, move |server, _| {
            assert_eq!(server.text(target), expected, "{target}");
        });
    }
    whole_targets(group)
}

/// Sends this request line as it is and gives the text that came.
fn raw(server: &Server, line: &str) -> (u16, String) {
    let mut connection = server.connect();
    let head = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write(head.as_bytes()).expect("sent");
    let response = connection.response(false).expect("an answer");
    (response.status(), response.text())
}

fn whole_targets(group: Group) -> Group {
    group
        .case("a_whole_url_as_the_target", |server, _| {
            let (status, text) = raw(server, "GET http://localhost/a?b HTTP/1.1");
            assert_eq!((status, text.as_str()), (200, "|/a|app.wsgi"));
        })
        .case("http_1_0", |server, _| {
            let (status, text) = raw(server, "GET /a HTTP/1.0");
            assert_eq!((status, text.as_str()), (200, "|/a|app.wsgi"));
        })
        .case("a_star_is_not_the_applications", |server, _| {
            let (status, text) = raw(server, "OPTIONS * HTTP/1.1");
            assert_eq!((status, text.as_str()), (200, ""));
        })
        .case("a_segment_longer_than_a_file_name", |server, _| {
            let path = format!("/{}", "p".repeat(7000));
            let response = server.send(&Request::get(&format!("/mount{path}")));
            let why = "mod_wsgi: 404, as httpd first looks for the path information as a file, and finds \
                       that impossible; we look for the script, so a path may hold a long token";
            if differs(why) {
                server.allow_log("ppppp");
                assert_eq!(response.status(), 404);
            } else {
                assert_eq!(response.text(), format!("/mount|{path}|app.wsgi"));
            }
        })
        .case("a_segment_as_long_as_a_file_name", |server, _| {
            let path = format!("/{}", "p".repeat(255));
            assert_eq!(
                server.text(&format!("/mount{path}")),
                format!("/mount|{path}|app.wsgi")
            );
        })
        .case("a_long_query", |server, _| {
            let response = server.send(&Request::get(&format!("/a?{}", "q".repeat(15_000))));
            assert_eq!(response.text(), "|/a|app.wsgi");
        })
        .case("a_path_of_many_segments", |server, _| {
            let path = "/s".repeat(500);
            assert_eq!(server.text(&path), format!("|{path}|app.wsgi"));
        })
}
