//! How a script file becomes a module, and what becomes of one that does not.

use crate::case::Group;
use crate::script::{Outcome, Script, group_of};

const APPLICATION: &str = "\n\ndef application(environ, start_response):\n    start_response('200 OK', \
                           [('Content-Type', 'text/plain')])\n    return [TEXT.encode()]\n";

/// A script that runs `head` when loaded and answers `TEXT`.
fn after(name: &'static str, head: &str) -> Script {
    Script::new(name, &format!("{head}{APPLICATION}"))
}

fn text(name: &'static str, expression: &str) -> Script {
    after(
        name,
        &format!("import os\nimport sys\n\nTEXT = {expression}"),
    )
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = names();
    scripts.extend(sources());
    scripts.extend(failures());
    group_of("loading", scripts)
}

fn names() -> Vec<Script> {
    vec![
        text("file_is_the_path", "os.path.basename(__file__)").answers("file_is_the_path.wsgi"),
        text("file_is_absolute", "str(os.path.isabs(__file__))").answers("True"),
        text("name_is_not_main", "str(__name__ == '__main__')").answers("False"),
        text("name_is_of_mod_wsgi", "__name__[:10]").answers("_mod_wsgi_"),
        text(
            "the_module_is_in_sys_modules",
            "str(__name__ in sys.modules)",
        )
        .answers("True"),
        text(
            "its_dict_is_the_modules",
            "str(vars(sys.modules[__name__]) is globals())",
        )
        .answers("True"),
        text(
            "it_belongs_to_no_package",
            "repr(globals().get('__package__') or '')",
        )
        .answers("''"),
        text("doc_is_none_without_a_string", "repr(__doc__)").answers("None"),
        text("builtins_are_there", "str(callable(len))").answers("True"),
        text("sys_argv_is_mod_wsgi", "repr(sys.argv)").answers("['mod_wsgi']"),
        text(
            "mod_wsgi_can_be_imported",
            "__import__('mod_wsgi').__name__",
        )
        .answers("mod_wsgi"),
        text(
            "apache_can_be_imported",
            "str(type(__import__('apache').version))",
        )
        .answers("<class 'tuple'>"),
        text(
            "the_directory_is_not_on_the_path",
            "str(os.path.dirname(__file__) in sys.path)",
        )
        .answers("False"),
        text("the_path_has_no_empty_entry", "str('' in sys.path)").answers("False"),
        text(
            "threading_knows_a_main_thread",
            "type(__import__('threading').main_thread()).__name__[-6:]",
        )
        .answers("Thread"),
        after(
            "main_guard_is_passed_over",
            "TEXT = 'ok'\nif __name__ == '__main__':\n    raise SystemExit",
        ),
        after("a_docstring", "\"\"\"Docs.\"\"\"\nTEXT = __doc__").answers("Docs."),
        after(
            "inspect_finds_the_source",
            "import inspect\n\n\ndef found():\n    return 'marker'\n\n\n\
              class Late(str):\n    def encode(self):\n        return b'ok' if 'marker' in \
              inspect.getsource(found) else b'none'\n\n\nTEXT = Late()",
        ),
    ]
}

fn sources() -> Vec<Script> {
    vec![
        after(
            "an_encoding_cookie",
            "# -*- coding: latin-1 -*-\nTEXT = 'ok'",
        ),
        after(
            "text_in_utf_8",
            "TEXT = 'ok' if len('\u{e9}\u{2603}') == 2 else 'wrong'",
        ),
        after("a_byte_order_mark", "TEXT = 'ok'").with_source(|source| format!("\u{feff}{source}")),
        after("carriage_returns", "TEXT = 'ok'").with_source(|source| source.replace('\n', "\r\n")),
        after("tabs", "TEXT = 'ok'").with_source(|source| source.replace("    ", "\t")),
        after("no_end_of_the_last_line", "TEXT = 'ok'")
            .with_source(|source| source.trim_end().to_owned()),
        after("a_shebang", "#!/usr/bin/env python3\nTEXT = 'ok'"),
        after(
            "future_annotations",
            "from __future__ import annotations\nTEXT = 'ok'",
        ),
        after("a_form_feed", "TEXT = 'ok'\n\x0c"),
        after(
            "a_future_import_does_not_leak",
            "def late(x: missing_name = 1):\n    pass\n\n\nTEXT = 'ok'",
        )
        .fails("NameError"),
        after(
            "a_dataclass",
            "import dataclasses\n\n\n@dataclasses.dataclass\nclass Point:\n    x: int\n\n\n\
              TEXT = repr(Point(1))",
        )
        .answers("Point(x=1)"),
        after(
            "a_named_tuple",
            "import collections\n\nPoint = collections.namedtuple('Point', 'x')\n\
              TEXT = repr(Point(1))",
        )
        .answers("Point(x=1)"),
        after(
            "an_enumeration",
            "import enum\n\n\nclass Color(enum.Enum):\n    RED = 1\n\n\nTEXT = \
              str(Color.RED)",
        )
        .answers("Color.RED"),
        after(
            "typing",
            "from typing import NamedTuple\n\n\nclass Point(NamedTuple):\n    x: int\n\n\nTEXT \
              = repr(Point(1))",
        )
        .answers("Point(x=1)"),
        after(
            "a_pickle_of_its_class",
            "import pickle\n\n\nclass Kept:\n    pass\n\n\nTEXT = \
              type(pickle.loads(pickle.dumps(Kept()))).__name__",
        )
        .answers("Kept"),
        after(
            "an_import_at_the_first_request",
            "class Late(str):\n    def encode(self):\n        import \
              colorsys\n        return b'ok'\n\n\nTEXT = Late()",
        ),
        after(
            "the_path_may_be_changed",
            "import os\nimport sys\n\nsys.path.insert(0, \
              os.path.join(os.path.dirname(__file__), '..', 'apps', 'library', 'lib'))\nimport \
              on_the_path\nTEXT = on_the_path.VALUE.decode()",
        )
        .comes_to(Outcome::Status(200)),
        after(
            "exec_and_compile",
            "space = {}\nexec(compile('value = \"ok\"', '<made>', 'exec'), space)\n\
              TEXT = space['value']",
        ),
        after(
            "print_while_loading",
            "print('said-while-loading')\nTEXT = 'ok'",
        )
        .logs("said-while-loading"),
    ]
}

fn failures() -> Vec<Script> {
    let is = |name, source: &str| Script::new(name, source);
    vec![
        is("a_syntax_error", "def application(:\n").fails("SyntaxError"),
        is("an_indentation_error", "def application(environ, start_response):\nreturn []\n")
            .fails("IndentationError"),
        is("a_tab_error", "if True:\n        a = 1\n\tb = 2\n").fails("TabError"),
        is("a_name_error", "application = missing\n").fails("NameError"),
        is("an_import_error", "import module_that_is_not_there\n").fails("ModuleNotFoundError"),
        is("a_relative_import", "from . import sibling\n").fails("ImportError"),
        is("an_assertion", "assert False, 'asserted'\n").fails("AssertionError"),
        is("system_exit", "raise SystemExit(3)\n").fails("SystemExit"),
        is("keyboard_interrupt", "raise KeyboardInterrupt\n").fails("KeyboardInterrupt"),
        is("a_failure_deep_inside", "def inner():\n    raise LookupError('deep')\n\n\ninner()\n")
            .fails("LookupError"),
        is("an_unknown_encoding", "# -*- coding: no-such -*-\n").fails("SyntaxError"),
        is("bytes_of_no_encoding", "# x\nTEXT = 1\n/\n").fails("SyntaxError"),
        is("a_chained_failure", "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise \
            LookupError('chained') from error\n")
            .fails("LookupError")
            .logs("ZeroDivisionError"),
        is("an_application_of_another_name", "def app(environ, start_response):\n    return []\n")
            .comes_to(Outcome::Status(500))
            .logs("application")
            .theirs_in(
                wsgi_tests::Mode::Embedded,
                Outcome::Status(404),
                "it answers 404 in embedded mode and 500 in a daemon; a script without an application \
                 is the server's fault in either",
            ),
        is("an_empty_file", "")
            .comes_to(Outcome::Status(500))
            .logs("application")
            .theirs_in(
                wsgi_tests::Mode::Embedded,
                Outcome::Status(404),
                "it answers 404 in embedded mode and 500 in a daemon; a script without an application \
                 is the server's fault in either",
            ),
    ]
}
