//! Response headers: what an application gives and what a client gets.

use wsgi_tests::Mode;

use crate::case::Group;
use crate::script::{Outcome, Script, group_of};

fn giving(name: &'static str, headers: &str) -> Script {
    Script::new(
        name,
        &format!(
            "def application(environ, start_response):\n    start_response('200 OK', [{headers}])\n    \
             return [b'ok']\n"
        ),
    )
}

const JOINED: &str =
    "it joins repeated headers of a daemon's response, which breaks all that are no lists";

const CHUNKED: &str = "it sends a known body in chunks; a length is what PEP 3333 recommends";

fn answer(text: &str) -> Outcome {
    Outcome::Answer(200, text.to_owned())
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = values();
    scripts.extend(repeated());
    scripts.extend(framing());
    group_of("headers", scripts)
}

fn values() -> Vec<Script> {
    vec![
        giving("a_content_type", "('Content-Type', 'text/html')")
            .header("Content-Type", &["text/html"]),
        giving(
            "a_content_type_with_a_charset",
            "('Content-Type', 'text/html; charset=utf-8')",
        )
        .header("Content-Type", &["text/html; charset=utf-8"]),
        giving(
            "a_content_type_in_lower_case",
            "('content-type', 'text/css')",
        )
        .header("Content-Type", &["text/css"]),
        giving("no_content_type_is_none", "").header("Content-Type", &[]),
        giving("an_empty_value", "('X-Empty', '')").header("X-Empty", &[""]),
        giving("a_value_with_spaces_inside", "('X-A', 'b  c')").header("X-A", &["b  c"]),
        giving("a_value_with_a_tab", "('X-A', 'b\\tc')").header("X-A", &["b\tc"]),
        giving("a_value_in_latin_1", "('X-A', '\\xe9')").header("X-A", &["\u{e9}"]),
        giving(
            "utf_8_as_latin_1",
            "('X-A', '\\u2603'.encode().decode('latin-1'))",
        )
        .header("X-A", &["\u{e2}\u{98}\u{83}"]),
        giving("a_value_with_quotes_and_commas", "('X-A', 'a=\"b, c\"; d')")
            .header("X-A", &["a=\"b, c\"; d"]),
        giving("a_value_with_a_colon", "('X-A', 'http://x:1/')").header("X-A", &["http://x:1/"]),
        giving("a_long_value", "('X-A', 'v' * 7000)"),
        giving("a_name_with_an_underscore", "('X_A', '1')").header("X_A", &["1"]),
        giving(
            "a_name_with_every_token_character",
            "('X!#$%&*+.^`|~', '1')",
        )
        .header("X!#$%&*+.^`|~", &["1"]),
        giving("a_name_in_lower_case", "('x-lower', '1')").header("X-Lower", &["1"]),
        giving("an_etag", "('ETag', '\"abc\"')").header("ETag", &["\"abc\""]),
        giving("a_weak_etag", "('ETag', 'W/\"abc\"')").header("ETag", &["W/\"abc\""]),
        giving(
            "last_modified",
            "('Last-Modified', 'Mon, 01 Jan 2024 00:00:00 GMT')",
        )
        .header("Last-Modified", &["Mon, 01 Jan 2024 00:00:00 GMT"]),
        giving("cache_control", "('Cache-Control', 'no-store, max-age=0')")
            .header("Cache-Control", &["no-store, max-age=0"]),
        giving("expires", "('Expires', '0')").header("Expires", &["0"]),
        giving("vary", "('Vary', 'Accept, Cookie')").header("Vary", &["Accept,Cookie"]),
        giving("content_encoding", "('Content-Encoding', 'identity')")
            .header("Content-Encoding", &["identity"]),
        giving("content_language", "('Content-Language', 'de')")
            .header("Content-Language", &["de"]),
        giving(
            "content_disposition",
            "('Content-Disposition', 'attachment; filename=\"a b.txt\"')",
        )
        .header("Content-Disposition", &["attachment; filename=\"a b.txt\""]),
        giving("content_range", "('Content-Range', 'bytes 0-1/10')")
            .header("Content-Range", &["bytes 0-1/10"]),
        giving(
            "strict_transport_security",
            "('Strict-Transport-Security', 'max-age=1')",
        )
        .header("Strict-Transport-Security", &["max-age=1"]),
        giving(
            "a_header_named_status_is_a_header",
            "('Status', '404 Not Found')",
        )
        .header("Status", &["404 Not Found"])
        .theirs_in(
            Mode::Daemon,
            Outcome::Status(404),
            "its daemons answer in the manner of CGI, where this header is the status; a header is \
                 what the application gave, so ours is right",
        ),
        giving(
            "a_location_with_a_full_url",
            "('Location', 'http://localhost/there')",
        )
        .header("Location", &["http://localhost/there"]),
    ]
}

fn repeated() -> Vec<Script> {
    vec![
        giving(
            "cookies_stay_apart_and_in_order",
            "('Set-Cookie', 'b=1'), ('Set-Cookie', 'a=2'), \
               ('Set-Cookie', 'c=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT')",
        )
        .header(
            "Set-Cookie",
            &["b=1", "a=2", "c=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        ),
        giving(
            "challenges_stay_apart",
            "('WWW-Authenticate', 'Basic realm=\"a\"'), \
               ('WWW-Authenticate', 'Bearer')",
        )
        .header("WWW-Authenticate", &["Basic realm=\"a\"", "Bearer"]),
        giving(
            "links_stay_apart",
            "('Link', '</a>; rel=x'), ('Link', '</b>; rel=y')",
        )
        .header("Link", &["</a>; rel=x", "</b>; rel=y"])
        .theirs_in(Mode::Daemon, Outcome::Status(200), JOINED),
        giving(
            "others_stay_apart",
            "('X-A', '1'), ('X-B', '0'), ('X-A', '2')",
        )
        .header("X-A", &["1", "2"])
        .theirs_in(Mode::Daemon, Outcome::Status(200), JOINED),
        giving("equal_ones_stay_two", "('X-A', '1'), ('X-A', '1')")
            .header("X-A", &["1", "1"])
            .theirs_in(Mode::Daemon, Outcome::Status(200), JOINED),
        giving(
            "vary_is_joined_by_httpd",
            "('Vary', 'Accept'), ('Vary', 'Cookie')",
        )
        .header("Vary", &["Accept,Cookie"]),
    ]
}

fn framing() -> Vec<Script> {
    let sized = |name, length: &str, body: &str| {
        Script::new(
            name,
            &format!(
                "def application(environ, start_response):\n    start_response('200 OK', \
                 [('Content-Length', '{length}')])\n    return {body}\n"
            ),
        )
    };
    vec![
        sized("a_length_that_is_right", "2", "[b'ok']").header("Content-Length", &["2"]),
        sized("a_length_in_pieces", "2", "iter([b'o', b'k'])").header("Content-Length", &["2"]),
        sized("a_length_of_zero", "0", "[]").answers("").header("Content-Length", &["0"]),
        sized("more_than_the_length_is_dropped", "2", "[b'okay']").may_log("Content-Length"),
        sized("a_further_piece_is_dropped", "2", "[b'ok', b'ay']").may_log("Content-Length"),
        Script::returning("one_piece_gets_its_length", "[b'ok']")
            .header("Content-Length", &["2"])
            .theirs(answer("ok"), CHUNKED),
        Script::returning("an_empty_body_gets_a_length", "[]")
            .answers("")
            .header("Transfer-Encoding", &[])
            .theirs(answer(""), CHUNKED),
        Script::returning("a_head_request_has_no_body", "[b'ok']")
            .method("HEAD")
            .answers(""),
        Script::new(
            "status_204_has_no_body",
            "def application(environ, start_response):\n    start_response('204 No Content', [])\n    \
             return []\n",
        )
        .comes_to(Outcome::Answer(204, String::new())),
        Script::new(
            "status_304_has_no_body",
            "def application(environ, start_response):\n    start_response('304 Not Modified', \
             [('ETag', '\"x\"')])\n    return []\n",
        )
        .comes_to(Outcome::Answer(304, String::new()))
        .header("ETag", &["\"x\""]),
        Script::new(
            "status_204_loses_a_body",
            "def application(environ, start_response):\n    start_response('204 No Content', [])\n    \
             return [b'body']\n",
        )
        .comes_to(Outcome::Answer(204, String::new())),
        Script::returning("a_range_of_a_list_is_the_applications", "[b'ok']")
            .with("Range", "bytes=0-0"),
        Script::returning("a_range_of_a_generator_is_the_applications", "(p for p in (b'o', b'k'))")
            .with("Range", "bytes=0-0"),
        sized("a_range_of_a_known_length_is_the_applications", "2", "[b'ok']")
            .with("Range", "bytes=0-0"),
        Script::returning(
            "a_range_of_a_file_is_served",
            "environ['wsgi.file_wrapper'](__import__('tempfile').TemporaryFile())",
        )
        .with_source(|source| {
            source
                .replace("return environ", "file = environ")
                .replace("(__import__('tempfile').TemporaryFile())", "")
                + "    import tempfile\n    made = tempfile.TemporaryFile()\n    \
                   made.write(b'ok')\n    made.flush()\n    made.seek(0)\n    return file(made)\n"
        })
        .with("Range", "bytes=0-0")
        .comes_to(Outcome::Answer(206, "o".to_owned()))
        .header("Content-Range", &["bytes 0-0/2"])
        .theirs_in(
            Mode::Daemon,
            answer("ok"),
            "its daemons send a file's bytes; a file is one in either mode, so a range of it is right",
        ),
    ]
}
