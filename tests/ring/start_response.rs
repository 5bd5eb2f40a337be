//! start_response and write(): what they accept, refuse and send (PEP 3333, "The start_response()
//! Callable").

use crate::case::Group;
use crate::script::{Outcome, Script, group_of};

/// An application that gives these arguments to start_response and answers `ok`.
fn given(name: &'static str, arguments: &str) -> Script {
    Script::new(
        name,
        &format!(
            "def application(environ, start_response):\n    start_response({arguments})\n    return \
             [b'ok']\n"
        ),
    )
}

fn body(name: &'static str, body: &str) -> Script {
    let body = body.replace('\n', "\n    ");
    Script::new(
        name,
        &format!("import sys\n\n\ndef application(environ, start_response):\n    {body}\n"),
    )
}

fn answer(status: u16) -> Outcome {
    Outcome::Answer(status, "ok".to_owned())
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = statuses();
    scripts.extend(refused());
    scripts.extend(messages());
    scripts.extend(calls());
    scripts.extend(writes());
    group_of("start_response", scripts)
}

fn statuses() -> Vec<Script> {
    vec![
        given("status_200", "'200 OK', []"),
        given("status_202", "'202 Accepted', []").comes_to(answer(202)),
        given("status_206", "'206 Partial Content', []").comes_to(answer(206)),
        given("status_207", "'207 Multi-Status', []").comes_to(answer(207)),
        given(
            "status_301",
            "'301 Moved', [('Location', 'http://localhost/x')]",
        )
        .comes_to(answer(301))
        .header("Location", &["http://localhost/x"]),
        given(
            "status_302_with_a_path",
            "'302 Found', [('Location', '/x')]",
        )
        .comes_to(answer(302))
        .header("Location", &["/x"]),
        given("status_303", "'303 See Other', [('Location', '/x')]").comes_to(answer(303)),
        given("status_400", "'400 Bad', []").comes_to(answer(400)),
        given(
            "status_401",
            "'401 Who', [('WWW-Authenticate', 'Basic realm=\"x\"')]",
        )
        .comes_to(answer(401))
        .header("WWW-Authenticate", &["Basic realm=\"x\""]),
        given("status_404", "'404 Absent', []").comes_to(answer(404)),
        given("status_405", "'405 No', [('Allow', 'GET')]")
            .comes_to(answer(405))
            .header("Allow", &["GET"]),
        given("status_410", "'410 Gone', []").comes_to(answer(410)),
        given("status_418", "'418 Teapot', []").comes_to(answer(418)),
        given("status_422", "'422 Unprocessable', []").comes_to(answer(422)),
        given("status_429", "'429 Slow Down', [('Retry-After', '3')]")
            .comes_to(answer(429))
            .header("Retry-After", &["3"]),
        given("status_500_of_the_application", "'500 Mine', []").comes_to(answer(500)),
        given("status_503", "'503 Later', []").comes_to(answer(503)),
        given("status_599", "'599 Odd', []").comes_to(answer(599)),
        given(
            "a_reason_with_punctuation",
            "'200 It\\'s (quite) fine!', []",
        ),
        given("a_reason_in_latin_1", "'200 Caf\\xe9', []"),
    ]
}

fn refused() -> Vec<Script> {
    vec![
        given("no_arguments", "").fails("TypeError"),
        given("no_headers", "'200 OK'").fails("TypeError"),
        given("a_status_of_bytes", "b'200 OK', []").fails("TypeError"),
        given("a_status_that_is_a_number", "200, []").fails("TypeError"),
        given("a_status_that_is_none", "None, []").fails("TypeError"),
        given("an_empty_status", "'', []").fails("ValueError"),
        given("a_status_of_two_digits", "'20 OK', []").fails("ValueError"),
        given("a_status_of_four_digits", "'2000 OK', []").fails("ValueError"),
        given("a_status_without_a_number", "'OK', []").fails("ValueError"),
        given("a_status_without_a_space", "'200OK', []").fails("ValueError"),
        given("a_status_with_a_line_end", "'200 OK\\r\\nX: y', []").fails("ValueError"),
        given("a_status_with_a_control", "'200 O\\x01K', []").fails("ValueError"),
        given("a_status_beyond_latin_1", "'200 \\u2603', []").fails("UnicodeEncodeError"),
        given("headers_in_a_tuple", "'200 OK', ()").fails("TypeError"),
        given("headers_in_a_dict", "'200 OK', {}").fails("TypeError"),
        given("headers_that_are_none", "'200 OK', None").fails("TypeError"),
        given("a_header_that_is_a_list", "'200 OK', [['a', 'b']]").fails("TypeError"),
        given("a_header_that_is_a_str", "'200 OK', ['ab']").fails("TypeError"),
        given("a_header_of_one", "'200 OK', [('a',)]").fails("Error"),
        given("a_header_of_three", "'200 OK', [('a', 'b', 'c')]").fails("Error"),
        given("a_name_of_bytes", "'200 OK', [(b'a', 'b')]").fails("TypeError"),
        given("a_value_of_bytes", "'200 OK', [('a', b'b')]").fails("TypeError"),
        given("a_value_that_is_a_number", "'200 OK', [('Content-Length', 2)]").fails("TypeError"),
        given("a_value_that_is_none", "'200 OK', [('a', None)]").fails("TypeError"),
        given("an_empty_name", "'200 OK', [('', 'b')]").fails("ValueError"),
        given("a_name_with_a_space", "'200 OK', [('a b', 'c')]").fails("ValueError"),
        // The message shows the name, whose second line is a record of its own.
        given("a_name_with_a_line_end", "'200 OK', [('a\\n', 'c')]")
            .fails("ValueError")
            .may_log("] '"),
        given("a_name_beyond_latin_1", "'200 OK', [('\\u2603', 'c')]").fails("Error"),
        given("a_value_with_a_line_feed", "'200 OK', [('a', 'b\\nc')]").fails("ValueError"),
        given("a_value_with_a_carriage_return", "'200 OK', [('a', 'b\\rc')]").fails("ValueError"),
        given("a_value_beyond_latin_1", "'200 OK', [('a', '\\u2603')]").fails("Error"),
        given("a_length_that_is_no_number", "'200 OK', [('Content-Length', 'x')]")
            .fails("ValueError"),
        given("exc_info_of_two", "'200 OK', [], (1, 2)").fails("RuntimeError").theirs(
            answer(200),
            "it takes any tuple; PEP 3333 says the three values of sys.exc_info(), so ours is right",
        ),
        given("exc_info_that_is_a_str", "'200 OK', [], 'abc'").fails("Error"),
    ]
}

/// An application that answers what start_response says against these arguments.
fn said(name: &'static str, arguments: &str, message: &str) -> Script {
    body(
        name,
        &format!(
            "try:\n    start_response({arguments})\nexcept Exception as error:\n    text = \
             '%s: %s' % (type(error).__name__, error)\nstart_response('200 OK', \
             [('Content-Type', 'text/plain')])\nreturn [text.encode()]"
        ),
    )
    .answers(message)
}

/// The words are known to users of mod_wsgi, and to tests of theirs.
#[rustfmt::skip]
fn messages() -> Vec<Script> {
    vec![
        said("says_what_is_no_code", "'OK', []",
            "ValueError: status code must be a 3 digit integer: b'OK'"),
        said("says_what_has_four_digits", "'2000 OK', []",
            "ValueError: status code must be a 3 digit integer: b'2000 OK'"),
        said("says_what_lacks_a_space", "'200OK', []",
            "ValueError: no space following status code: b'200OK'"),
        said("says_which_reason", "'200 OK\\r\\nX-A: b', []",
            r"ValueError: control character in status reason phrase: b'200 OK\r\nX-A: b'"),
        said("says_that_headers_are_no_list", "'200 OK', ()",
            "TypeError: start_response() argument 2 must be list, not tuple"),
        said("says_what_is_no_tuple", "'200 OK', ['ab']",
            "TypeError: each header must be a 2-tuple, not str"),
        said("says_how_long_a_tuple_is", "'200 OK', [('a', 'b', 'c')]",
            "ValueError: each header must be a 2-tuple, got length 3"),
        said("says_what_is_no_str", "'200 OK', [(42, 'b')]", "TypeError: must be str, not int"),
        said("says_that_a_name_is_empty", "'200 OK', [('', 'b')]", "ValueError: header name is empty"),
        said("says_which_name_has_a_space", "'200 OK', [('a b', 'c')]",
            "ValueError: space character in header name: b'a b'"),
        said("says_which_name_has_a_control", "'200 OK', [('a\\tb', 'c')]",
            r"ValueError: control character in header name: b'a\tb'"),
        said("says_which_value_breaks_the_line", "'200 OK', [('a', 'b\\nc')]",
            r"ValueError: carriage return/line feed character in header value: b'b\nc'"),
        said("says_a_value_as_python_does", "'200 OK', [('a', '\"\\'\\r')]",
            r#"ValueError: carriage return/line feed character in header value: b'"\'\r'"#),
        said("says_what_exc_info_is", "'200 OK', [], 'abc'",
            "RuntimeError: start_response() argument 'exc_info' must be a 3-tuple or None"),
        body("says_that_it_was_called_before", "write = start_response('200 OK', \
             [])\nwrite(b'a')\ntry:\n    start_response('500 Late', [])\nexcept RuntimeError as \
             error:\n    return [str(error).encode()]")
            .answers("astart_response() called more than once without exc_info"),
    ]
}

fn calls() -> Vec<Script> {
    vec![
        body("exc_info_of_none_is_none", "start_response('200 OK', [], None)\nreturn [b'ok']"),
        body(
            "a_second_call_before_output_with_exc_info",
            "start_response('200 OK', [('X-A', '1')])\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    \
             start_response('409 Late', [('X-A', '2')], sys.exc_info())\nreturn [b'ok']",
        )
        .comes_to(answer(409))
        .header("X-A", &["2"]),
        body(
            "a_first_call_with_exc_info",
            "try:\n    1 / 0\nexcept ZeroDivisionError:\n    start_response('409 Late', [], \
             sys.exc_info())\nreturn [b'ok']",
        )
        .comes_to(answer(409)),
        body(
            "no_call_at_all",
            "return [b'x']",
        )
        .fails("Error"),
        body("a_call_from_another_thread", "import threading\nthread = threading.Thread(target=lambda: \
             start_response('203 Thread', []))\nthread.start()\nthread.join()\nreturn [b'ok']")
            .comes_to(answer(203)),
        body("it_answers_a_callable", "write = start_response('200 OK', [])\nreturn \
             [str(callable(write)).encode()]")
            .answers("True"),
        body("the_list_may_change_afterwards", "headers = [('X-A', '1')]\nstart_response('200 OK', \
             headers)\nheaders.append(('X-B', '2'))\nreturn [b'ok']")
            .header("X-A", &["1"]),
        body("a_call_as_late_as_the_body", "def produce():\n    start_response('203 Late', [])\n    \
             yield b'ok'\nreturn produce()")
            .comes_to(answer(203)),
        body("an_exception_that_is_caught_inside", "try:\n    start_response('bad', [])\nexcept \
             ValueError:\n    start_response('203 Again', [])\nreturn [b'ok']")
            .comes_to(answer(203)),
        body("the_names_of_the_pep_are_keywords", "start_response(status='200 OK', headers=[])\nreturn \
             [b'ok']")
            .theirs(
                Outcome::Failure("TypeError"),
                "it refuses keywords; PEP 3333 leaves that to the server, and ours harms nobody",
            ),
    ]
}

fn writes() -> Vec<Script> {
    let start = "write = start_response('200 OK', [('Content-Type', 'text/plain')])\n";
    let with = |name, rest: &str| body(name, &format!("{start}{rest}"));
    vec![
        with("write_alone", "write(b'ok')\nreturn []"),
        with("write_twice", "write(b'o')\nwrite(b'k')\nreturn []"),
        with("write_before_the_iterable", "write(b'o')\nreturn [b'k']"),
        with("write_of_nothing", "write(b'')\nreturn [b'ok']"),
        with(
            "write_within_a_generator",
            "def rest():\n    yield b'a'\n    write(b'b')\n    yield \
             b'c'\nreturn rest()",
        )
        .answers("abc"),
        with("write_answers_none", "return [repr(write(b'')).encode()]").answers("None"),
        with("write_of_much", "write(b'w' * 200000)\nreturn []").answers(&"w".repeat(200_000)),
        with("write_of_a_str", "write('text')\nreturn []").fails("TypeError"),
        with("write_of_none", "write(None)\nreturn []").fails("TypeError"),
        with("write_without_an_argument", "write()\nreturn []").fails("TypeError"),
        body(
            "write_beyond_the_declared_length",
            "write = start_response('200 OK', \
             [('Content-Length', '2')])\nwrite(b'okay')\nreturn []",
        )
        .may_log("Content-Length"),
        body(
            "write_in_the_thread_of_another",
            "import threading\nwrite = start_response('200 OK', \
             [])\nthread = threading.Thread(target=write, args=(b'ok',))\nthread.start()\n\
             thread.join()\nreturn []",
        ),
    ]
}
