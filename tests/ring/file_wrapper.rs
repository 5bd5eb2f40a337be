//! wsgi.file_wrapper: what is sent of which file (PEP 3333, "Optional Platform-Specific File
//! Handling").

use std::fs;

use crate::case::Group;
use crate::script::{Outcome, Script, add_scripts, serving_scripts};

const SIZE: usize = 100_000;

fn content() -> String {
    (0..SIZE)
        .map(|index| char::from(b'a' + (index % 23) as u8))
        .collect()
}

/// An application whose file `file` is open at its start, and which returns this expression.
fn sending(name: &'static str, before: &str, expression: &str) -> Script {
    with_headers(name, "", before, expression)
}

fn with_headers(name: &'static str, headers: &str, before: &str, expression: &str) -> Script {
    let before = before.replace('\n', "\n    ");
    Script::new(
        name,
        &format!(
            "import io\nimport os\n\n\ndef application(environ, start_response):\n    wrap = \
             environ['wsgi.file_wrapper']\n    path = os.path.join(environ['TEST_STATE'], 'sent')\n    \
             with open(path, 'w') as made:\n        made.write(''.join(chr(97 + index % 23) for index \
             in range({SIZE})))\n    file = open(path, 'rb')\n    {before}\n    start_response('200 OK', \
             [{headers}])\n    return {expression}\n"
        ),
    )
}

/// The cases.
pub fn group() -> Group {
    let scripts = scripts();
    let files = scripts.clone();
    let group = Group::new("file_wrapper", move |mode| serving_scripts(mode, &files));
    let group = add_scripts(group, scripts);
    group.case("the_file_stays_as_it_was", |server, _| {
        // Any case before, or none: the file's bytes are never touched by sending them.
        let path = server.state("sent");
        let held = fs::read_to_string(path).unwrap_or_else(|_| content());
        assert_eq!(held, content());
    })
}

fn scripts() -> Vec<Script> {
    let whole = content();
    vec![
        sending("a_whole_file", "", "wrap(file)")
            .answers(&whole)
            .header("Content-Length", &["100000"]),
        sending("with_a_block_size", "", "wrap(file, 512)").answers(&whole),
        sending(
            "with_a_block_size_of_one_byte",
            "file.seek(99990)",
            "wrap(file, 1)",
        )
        .answers(&whole[99_990..]),
        sending("from_an_offset", "file.seek(99000)", "wrap(file)").answers(&whole[99_000..]),
        sending("from_the_end", "file.seek(0, 2)", "wrap(file)").answers(""),
        sending("after_reading_some", "file.read(10)", "wrap(file)").answers(&whole[10..]),
        with_headers(
            "up_to_the_declared_length",
            "('Content-Length', '100')",
            "",
            "wrap(file)",
        )
        .answers(&whole[..100]),
        with_headers(
            "from_an_offset_up_to_the_declared_length",
            "('Content-Length', '100')",
            "file.seek(50)",
            "wrap(file)",
        )
        .answers(&whole[50..150]),
        with_headers(
            "of_the_right_declared_length",
            "('Content-Length', '100000')",
            "",
            "wrap(file)",
        )
        .answers(&whole),
        with_headers(
            "with_a_declared_length_of_zero",
            "('Content-Length', '0')",
            "",
            "wrap(file)",
        )
        .answers(""),
        sending(
            "an_empty_file",
            "open(path, 'w').close(); file = open(path, 'rb'); \
                 open(path + '2', 'w').close()\nfile = open(path + '2', 'rb')\nopen(path, \
                 'w').write(''.join(chr(97 + index % 23) for index in range(100000)))",
            "wrap(file)",
        )
        .answers(""),
        sending(
            "an_unbuffered_file",
            "file = open(path, 'rb', buffering=0)",
            "wrap(file)",
        )
        .answers(&whole),
        sending(
            "a_file_by_descriptor",
            "file = os.fdopen(os.open(path, os.O_RDONLY), 'rb')",
            "wrap(file)",
        )
        .answers(&whole),
        sending(
            "a_removed_file",
            "import shutil\nshutil.copy(path, path + '3')\nfile = open(path + '3', \
                 'rb')\nos.unlink(path + '3')",
            "wrap(file)",
        )
        .answers(&whole),
        sending(
            "a_temporary_file",
            "import tempfile\nfile = tempfile.TemporaryFile()\nfile.write(b'ok')\n\
                 file.seek(0)",
            "wrap(file)",
        ),
        sending("a_bytes_io", "", "wrap(io.BytesIO(b'ok'))"),
        sending(
            "a_bytes_io_from_an_offset",
            "memory = io.BytesIO(b'not ok')\nmemory.seek(4)",
            "wrap(memory)",
        ),
        sending("a_large_bytes_io", "", "wrap(io.BytesIO(b'm' * 50000))")
            .answers(&"m".repeat(50_000)),
        sending(
            "a_pipe",
            "read, write = os.pipe()\nos.write(write, b'ok')\nos.close(write)",
            "wrap(os.fdopen(read, 'rb'))",
        ),
        sending("within_a_list_of_pieces", "", "[b''.join(wrap(file))]").answers(&whole),
        sending("within_a_generator", "", "(piece for piece in wrap(file))").answers(&whole),
        sending(
            "within_a_chain",
            "import itertools",
            "itertools.chain([b'head'], wrap(file))",
        )
        .answers(&format!("head{whole}")),
        sending(
            "read_by_the_application",
            "",
            "[next(iter(wrap(file, 10)))]",
        )
        .answers(&whole[..10]),
        sending(
            "iterated_blocks_have_the_size",
            "",
            "[str(len(list(wrap(file, 30000)))).encode()]",
        )
        .answers("4"),
        sending(
            "its_close_closes_the_file",
            "wrapped = wrap(file)\nwrapped.close()",
            "[str(file.closed).encode()]",
        )
        .answers("True"),
        sending(
            "isinstance_of_the_type",
            "",
            "[str(isinstance(wrap(file), wrap)).encode()]",
        )
        .answers("True"),
        sending(
            "the_type_is_that_of_the_module",
            "import mod_wsgi",
            "[str(wrap is mod_wsgi.FileWrapper).encode()]",
        )
        .answers("True"),
        sending(
            "a_text_file_is_sent_as_its_bytes_are",
            "file = open(path)",
            "wrap(file)",
        )
        .comes_to(Outcome::Status(200)),
        sending(
            "an_object_whose_read_gives_str",
            "",
            "wrap(io.StringIO('text'))",
        )
        .fails("Error"),
        sending("an_object_without_read", "", "wrap(42)").fails("Error"),
        sending("no_object", "", "wrap()").fails("TypeError"),
        sending("a_range_by_seek_and_length", "file.seek(23)", "wrap(file)")
            .method("HEAD")
            .answers(""),
    ]
}
