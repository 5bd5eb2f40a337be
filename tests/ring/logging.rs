//! The streams of an application and the error log.

use crate::case::Group;
use crate::script::{Script, group_of};

fn saying(name: &'static str, body: &str) -> Script {
    let body = body.replace('\n', "\n    ");
    Script::new(
        name,
        &format!(
            "import sys\n\n\ndef application(environ, start_response):\n    errors = \
             environ['wsgi.errors']\n    {body}\n    start_response('200 OK', [('Content-Type', \
             'text/plain')])\n    return [b'ok']\n"
        ),
    )
}

fn telling(name: &'static str, expression: &str) -> Script {
    Script::telling(
        name,
        &format!("import sys\nerrors = environ['wsgi.errors']\nreturn {expression}"),
    )
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = written();
    scripts.extend(properties());
    group_of("logging", scripts)
}

fn written() -> Vec<Script> {
    vec![
        saying("a_line_to_errors", "errors.write('errors-line\\n')").logs("errors-line"),
        saying("a_line_without_an_end", "errors.write('errors-unfinished')")
            .logs("errors-unfinished"),
        saying(
            "a_line_in_parts",
            "errors.write('part-one ')\nerrors.write('part-two\\n')",
        )
        .logs("part-one part-two"),
        saying(
            "several_lines_at_once",
            "errors.write('multi-a\\nmulti-b\\n')",
        )
        .logs("multi-a")
        .logs("multi-b"),
        saying(
            "writelines",
            "errors.writelines(['lines-a\\n', 'lines-b\\n'])",
        )
        .logs("lines-a")
        .logs("lines-b"),
        saying("print_to_errors", "print('printed-to-errors', file=errors)")
            .logs("printed-to-errors"),
        saying(
            "print_with_flush",
            "print('printed-flushed', file=errors, flush=True)",
        )
        .logs("printed-flushed"),
        saying("print", "print('printed-plainly')").logs("printed-plainly"),
        saying("print_of_several_values", "print('several', 1, None)").logs("several 1 None"),
        saying("stdout_write", "sys.stdout.write('to-stdout\\n')").logs("to-stdout"),
        saying("stderr_write", "sys.stderr.write('to-stderr\\n')").logs("to-stderr"),
        saying(
            "original_stderr",
            "sys.__stderr__ and sys.__stderr__.flush()",
        ),
        saying(
            "a_flush_of_half_a_line",
            "errors.write('half-a-line')\nerrors.flush()",
        )
        .logs("half-a-line"),
        saying("text_beyond_latin_1", "errors.write('snow \\u2603 man\\n')").logs("snow "),
        saying(
            "a_lone_surrogate",
            "errors.write('lone \\udc80 surrogate\\n')",
        )
        .logs("lone "),
        saying(
            "controls_are_made_visible",
            "errors.write('bell \\x07 rung\\n')",
        )
        .logs("bell "),
        saying("a_long_line", "errors.write('long-' + 'x' * 5000 + '\\n')").logs("long-xxxxx"),
        saying("an_empty_write", "errors.write('')"),
        saying(
            "logging_to_stderr",
            "import logging\nlogging.getLogger('ring').error('logged-error')",
        )
        .logs("logged-error"),
        saying(
            "logging_with_a_stream_handler",
            "import logging\nlogger = logging.getLogger('handled')\n\
                logger.propagate = False\nlogger.addHandler(logging.StreamHandler(errors))\n\
                logger.warning('handled-warning')\nlogger.handlers.clear()",
        )
        .logs("handled-warning"),
        saying(
            "warnings",
            "import warnings\nwarnings.simplefilter('always')\nwarnings.warn('ring-warning')\n\
                warnings.resetwarnings()",
        )
        .logs("ring-warning")
        .logs("warnings.warn"),
        saying(
            "traceback_print_exc",
            "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    \
                traceback.print_exc()",
        )
        .logs("ZeroDivisionError")
        .logs("Traceback")
        .may_log("/cases/")
        .may_log("    ~~")
        .may_log("1 / 0"),
        saying(
            "traceback_to_errors",
            "import traceback\ntry:\n    [][1]\nexcept IndexError:\n    \
                traceback.print_exc(file=errors)",
        )
        .logs("IndexError")
        .logs("Traceback")
        .may_log("/cases/")
        .may_log("    ~~")
        .may_log("[][1]"),
        saying(
            "a_thread_of_the_application",
            "import threading\nthread = \
                threading.Thread(target=print, args=('from-a-thread',))\nthread.start()\n\
                thread.join()\nsys.stdout.flush()",
        )
        .logs("from-a-thread"),
        saying(
            "bytes_to_the_buffer",
            "errors.flush()\nerrors.buffer.write(b'through-the-buffer\\n')\n\
                errors.buffer.flush()",
        )
        .logs("through-the-buffer"),
        saying(
            "pprint",
            "import pprint\npprint.pprint(['pretty-printed'], stream=errors)",
        )
        .logs("pretty-printed"),
    ]
}

fn properties() -> Vec<Script> {
    vec![
        telling("errors_is_a_text_stream", "type(errors).__name__").answers("TextIOWrapper"),
        telling("errors_encodes_as_utf_8", "errors.encoding.lower().replace('-', '')").answers("utf8"),
        telling("errors_is_writable_only", "repr((errors.writable(), errors.readable()))")
            .answers("(True, False)"),
        telling("errors_is_no_terminal", "repr(errors.isatty())").answers("False"),
        telling("errors_is_open", "repr(errors.closed)").answers("False"),
        telling("write_counts_characters", "repr(errors.write(''))").answers("0"),
        telling("stdout_is_a_text_stream", "type(sys.stdout).__name__").answers("TextIOWrapper"),
        telling("stderr_is_a_text_stream", "type(sys.stderr).__name__").answers("TextIOWrapper"),
        telling("stdin_is_at_its_end", "repr(sys.stdin is None or sys.stdin.read())").answers("''"),
        telling("flush_answers_none", "repr(errors.flush())").answers("None"),
        Script::telling(
            "a_write_of_bytes_is_refused",
            "try:\n    environ['wsgi.errors'].write(b'x')\nexcept TypeError:\n    return 'TypeError'\n\
             return 'accepted'",
        )
        .answers("TypeError"),
        Script::telling(
            "a_read_is_refused",
            "try:\n    environ['wsgi.errors'].read()\nexcept OSError:\n    return 'OSError'\nreturn \
             'accepted'",
        )
        .answers("OSError"),
    ]
}
