//! What an application may return, and what becomes of it (PEP 3333, "The Application Side").

use crate::case::Group;
use crate::script::{Outcome, Script, group_of};

const GENERATORS: &str = "
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
";

fn generating(name: &'static str, body: &str) -> Script {
    let body = body.replace('\n', "\n    ");
    Script::new(name, &format!("{}    {body}\n", GENERATORS.trim_start()))
}

fn class(name: &'static str, class: &str) -> Script {
    let source = format!(
        "{class}\n\n\ndef application(environ, start_response):\n    start_response('200 OK', \
         [('Content-Type', 'text/plain')])\n    return Body()\n"
    );
    Script::new(name, &source)
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = plain();
    scripts.extend(objects());
    scripts.extend(failures());
    group_of("iterables", scripts)
}

fn plain() -> Vec<Script> {
    vec![
        Script::returning("a_list", "[b'o', b'k']"),
        Script::returning("a_tuple", "(b'o', b'k')"),
        Script::returning("an_empty_list", "[]").answers(""),
        Script::returning("an_empty_tuple", "()").answers(""),
        Script::returning("empty_bytes", "[b'']").answers(""),
        Script::returning("empty_bytes_between", "[b'', b'o', b'', b'k', b'']"),
        Script::returning("a_list_iterator", "iter([b'o', b'k'])"),
        Script::returning("a_generator_expression", "(c for c in (b'o', b'k'))"),
        Script::returning("a_map", "map(str.encode, 'ok')"),
        Script::returning("a_filter", "filter(None, [b'o', b'', b'k'])"),
        Script::returning(
            "a_zip_of_columns",
            "(a + b for a, b in zip([b'o'], [b'k']))",
        ),
        Script::returning("a_reversed_list", "reversed([b'k', b'o'])"),
        Script::returning("a_set", "{b'ok'}"),
        Script::returning("a_frozenset", "frozenset([b'ok'])"),
        Script::returning("the_keys_of_a_dict", "{b'o': 1, b'k': 2}"),
        Script::returning("the_values_of_a_dict", "{1: b'o', 2: b'k'}.values()"),
        Script::returning("a_deque", "__import__('collections').deque([b'o', b'k'])"),
        Script::returning("a_chain", "__import__('itertools').chain([b'o'], [b'k'])"),
        Script::returning(
            "an_islice",
            "__import__('itertools').islice([b'o', b'k', b'x'], 2)",
        ),
        Script::returning("a_repeat", "__import__('itertools').repeat(b'ok', 1)"),
        Script::returning("a_bytes_io", "__import__('io').BytesIO(b'ok')"),
        Script::returning("an_open_file", "open(__file__, 'rb')").comes_to(Outcome::Status(200)),
        Script::returning(
            "lines_of_a_bytes_io",
            "__import__('io').BytesIO(b'o\\nk\\n')",
        )
        .answers("o\nk\n"),
        Script::returning(
            "a_callable_with_a_sentinel",
            "iter([b'ok', b'end'].pop, b'ok')",
        )
        .answers("end"),
        Script::returning("a_thousand_small_pieces", "[b'x'] * 1000").answers(&"x".repeat(1000)),
        Script::returning("one_large_piece", "[b'y' * 300000]").answers(&"y".repeat(300_000)),
        Script::returning("many_large_pieces", "[b'z' * 70000] * 5").answers(&"z".repeat(350_000)),
        Script::returning("bytes_with_every_value", "[bytes(range(128))]")
            .answers(&(0..128u8).map(char::from).collect::<String>()),
        Script::returning("bytes_with_zeros", "[b'a\\0b']").answers("a\0b"),
    ]
}

fn objects() -> Vec<Script> {
    vec![
        generating("a_generator_function", "yield b'o'\nyield b'k'"),
        generating("a_generator_that_yields_nothing", "return\nyield").answers(""),
        generating("a_generator_that_delegates", "yield from [b'o', b'k']"),
        generating("a_generator_that_returns_a_value", "yield b'ok'\nreturn 42"),
        Script::new(
            "a_generator_that_starts_late",
            "def application(environ, start_response):\n    yield b''\n    start_response('200 OK', \
             [])\n    yield b'ok'\n",
        ),
        Script::new(
            "a_generator_that_starts_with_its_first_piece",
            "def application(environ, start_response):\n    start_response('201 Made', [])\n    \
             yield b'ok'\n",
        )
        .comes_to(Outcome::Answer(201, "ok".to_owned())),
        class(
            "an_object_with_iter",
            "class Body:\n    def __iter__(self):\n        return iter([b'o', b'k'])",
        ),
        class(
            "an_object_whose_iter_is_a_generator",
            "class Body:\n    def __iter__(self):\n        yield b'o'\n        yield b'k'",
        ),
        class(
            "an_iterator_without_length",
            "class Body:\n    left = [b'o', b'k']\n    def __init__(self):\n        self.left = \
             [b'k', b'o']\n    def __iter__(self):\n        return self\n    def __next__(self):\n        \
             if not self.left:\n            raise StopIteration\n        return self.left.pop()",
        ),
        class(
            "a_sequence_by_getitem",
            "class Body:\n    def __getitem__(self, index):\n        return (b'o', b'k')[index]",
        ),
        class(
            "a_list_subclass",
            "class Body(list):\n    def __iter__(self):\n        return iter([b'o', b'k'])",
        ),
        class(
            "a_length_that_is_wrong_is_not_believed",
            "class Body:\n    def __len__(self):\n        return 1\n    def __iter__(self):\n        \
             return iter([b'o', b'k'])",
        ),
        class(
            "a_close_that_is_no_method_of_the_iterator",
            "class Body:\n    closed = False\n    def __iter__(self):\n        return iter([b'ok'])\n    \
             def close(self):\n        Body.closed = True",
        ),
        class(
            "a_close_that_returns_something",
            "class Body:\n    def __iter__(self):\n        return iter([b'ok'])\n    def close(self):\n        \
             return 'ignored'",
        ),
        class(
            "bytes_of_a_subclass",
            "class Piece(bytes):\n    pass\n\n\nclass Body:\n    def __iter__(self):\n        return \
             iter([Piece(b'ok')])",
        ),
    ]
}

fn failures() -> Vec<Script> {
    let cut = |text| Outcome::Cut("some", text);
    vec![
        Script::returning("none_is_no_body", "None").fails("TypeError"),
        Script::returning("a_number_is_no_body", "42").fails("TypeError"),
        Script::returning("a_str_is_no_body", "'text'").fails("TypeError"),
        Script::returning("bytes_are_no_body", "b'bytes'").fails("TypeError"),
        Script::returning("a_list_of_str_is_no_body", "['text']").fails("TypeError"),
        Script::returning("a_list_of_none_is_no_body", "[None]").fails("TypeError"),
        Script::returning("a_list_of_numbers_is_no_body", "[1, 2]").fails("TypeError"),
        Script::returning("a_bytearray_is_no_piece", "[bytearray(b'x')]").fails("TypeError"),
        Script::returning("a_memoryview_is_no_piece", "[memoryview(b'x')]").fails("TypeError"),
        Script::returning("a_type_is_no_body", "dict").fails("TypeError"),
        Script::returning("nothing_after_a_first_piece_that_is_wrong", "['text', b'bytes']")
            .fails("TypeError"),
        generating("a_failure_before_the_first_piece", "raise KeyError('early')\nyield b''")
            .fails("KeyError"),
        generating("a_failure_after_empty_pieces", "yield b''\nyield b''\nraise KeyError('e')")
            .fails("KeyError"),
        generating("a_failure_in_the_middle", "yield b'some'\nraise KeyError('late')")
            .comes_to(cut("KeyError"))
            .theirs_in(
                wsgi_tests::Mode::Daemon,
                Outcome::Answer(200, "some".to_owned()),
                "its unframed daemon responses look whole; a cut that shows is right",
            ),
        class(
            "an_iter_that_fails",
            "class Body:\n    def __iter__(self):\n        raise LookupError('iter')",
        )
        .fails("LookupError"),
        class(
            "an_iter_that_is_no_iterator",
            "class Body:\n    def __iter__(self):\n        return [b'x']",
        )
        .fails("TypeError"),
        class(
            "a_next_that_fails",
            "class Body:\n    def __iter__(self):\n        return self\n    def __next__(self):\n        \
             raise LookupError('next')",
        )
        .fails("LookupError"),
        class(
            "a_close_that_fails_changes_nothing",
            "class Body:\n    def __iter__(self):\n        return iter([b'ok'])\n    def close(self):\n        \
             raise LookupError('close')",
        )
        .logs("LookupError: close")
        .may_log("a_close_that_fails_changes_nothing.wsgi")
        .may_log("Traceback")
        .may_log("raise LookupError"),
    ]
}
