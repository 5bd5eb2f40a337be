//! Applications that break rules or break: logged in full, told to the client not at all.

use wsgi_wire::Failure;

use super::harness::{Daemon, Request, each_python, newest_python};
use super::script;

#[test]
fn an_exception_is_logged_in_one_message_and_nothing_of_it_is_sent() {
    each_python(|python| {
        let mut daemon = Daemon::start(
            python,
            &script(
                "def raises(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     raise ValueError('secret')\n",
            ),
        );
        let child = daemon.connect();
        let answer = child.ask(&Request::get("/raises"));
        assert_eq!(answer.failure(), Some(Failure::Application));
        assert!(
            answer.head.is_none() && answer.body.is_empty(),
            "{answer:?}"
        );
        let log = answer.logged();
        assert!(
            log.contains("ValueError exception raised processing WSGI script"),
            "{log}"
        );
        assert!(log.contains("Traceback (most recent call last)"), "{log}");
        assert!(
            log.contains("in raises") && log.contains("ValueError: secret"),
            "{log}"
        );
        let levels: Vec<u8> = answer.log.iter().map(|(level, _)| *level).collect();
        assert_eq!(
            levels,
            [3],
            "one message, so that nothing comes between its lines"
        );
        assert!(child.ask(&Request::get("/hello")).is_whole());
        assert!(daemon.is_running());
    });
}

#[test]
fn an_exception_after_output_ends_the_response_as_incomplete() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def breaks(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 yield b'part'\n    \
                 raise ValueError('late')\n",
        ),
    );
    let answer = daemon.connect().ask(&Request::get("/breaks"));
    assert_eq!(
        (answer.text().as_str(), answer.failure()),
        ("part", Some(Failure::Incomplete))
    );
    assert!(answer.logged().contains("ValueError: late"), "{answer:?}");
}

#[test]
fn leaving_the_interpreter_leaves_the_request_only() {
    each_python(|python| {
        let mut daemon = Daemon::start(
            python,
            &script(
                "def leaves(environ, start_response):\n    \
                     raise SystemExit(1)\n\
                 def interrupts(environ, start_response):\n    \
                     raise KeyboardInterrupt\n\
                 def recurses(environ, start_response):\n    \
                     return recurses(environ, start_response)\n",
            ),
        );
        let child = daemon.connect();
        for (path, name) in [
            ("/leaves", "SystemExit"),
            ("/interrupts", "KeyboardInterrupt"),
            ("/recurses", "RecursionError"),
        ] {
            let answer = child.ask(&Request::get(path));
            assert_eq!(answer.failure(), Some(Failure::Application), "{path}");
            assert!(answer.logged().contains(name), "{path}: {answer:?}");
        }
        assert!(child.ask(&Request::get("/hello")).is_whole());
        assert!(daemon.is_running());
    });
}

#[test]
fn what_pep_3333_forbids_is_an_application_error() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def call(environ, start_response):\n    \
                     status, headers, result = eval(environ['test.response'])\n    \
                     start_response(status, headers)\n    \
                     return result\n\
                 def silent(environ, start_response):\n    \
                     return [b'no start']\n\
                 def nothing(environ, start_response):\n    \
                     start_response('200 OK', [])\n",
            ),
        );
        for (response, error) in [
            ("b'200 OK', [], []", "TypeError"),
            ("'200', 'headers', []", "TypeError"),
            ("'20 OK', [], []", "ValueError"),
            ("'abc OK', [], []", "ValueError"),
            ("'200 OK', [('A',)], []", ""),
            ("'200 OK', [('A', 1)], []", "TypeError"),
            ("'200 OK', [(b'A', 'x')], []", "TypeError"),
            ("'200 OK', [('A', 'x\\r\\nB: y')], []", "ValueError"),
            ("'200 OK', [('A\\n', 'x')], []", "ValueError"),
            ("'200 O\\nK', [], []", "ValueError"),
            ("'200 OK', [('A', '\\u20ac')], []", ""),
            ("'200 OK', [], ['text']", "TypeError"),
            ("'200 OK', [], [None]", "TypeError"),
            ("'200 OK', [], 5", "TypeError"),
        ] {
            let request = Request::get("/call").with(b"test.response", response.as_bytes());
            let answer = daemon.connect().ask(&request);
            assert_eq!(
                answer.failure(),
                Some(Failure::Application),
                "{response}: {answer:?}"
            );
            assert!(answer.head.is_none(), "{response}: {answer:?}");
            assert!(answer.logged().contains(error), "{response}: {answer:?}");
        }
        for path in ["/silent", "/nothing"] {
            let answer = daemon.connect().ask(&Request::get(path));
            assert_eq!(
                answer.failure(),
                Some(Failure::Application),
                "{path}: {answer:?}"
            );
        }
    });
}

#[test]
fn printed_lines_and_wsgi_errors_reach_the_requests_log() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "import sys\n\
                 def talks(environ, start_response):\n    \
                     print('printed')\n    \
                     print('to', 'stderr', file=sys.stderr)\n    \
                     environ['wsgi.errors'].write('one\\ntwo')\n    \
                     environ['wsgi.errors'].flush()\n    \
                     environ['wsgi.errors'].writelines([' and ', 'more\\n'])\n    \
                     print('\\u20ac')\n    \
                     print('unfinished', end='')\n    \
                     start_response('200 OK', [])\n    \
                     return [b'said']\n",
            ),
        );
        let answer = daemon.connect().ask(&Request::get("/talks"));
        assert!(answer.is_whole(), "{answer:?}");
        let lines: Vec<_> = answer.log.iter().map(|(_, line)| line.as_str()).collect();
        for line in ["printed", "to stderr", "one", "\u{20ac}", "unfinished"] {
            assert!(lines.contains(&line), "{line}: {lines:?}");
        }
        assert!(answer.logged().contains("two"), "{lines:?}");
    });
}

#[test]
fn lines_of_other_threads_reach_the_processs_log() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "import threading\n\
             def starts(environ, start_response):\n    \
                 thread = threading.Thread(target=print, args=('from a thread',))\n    \
                 thread.start()\n    \
                 thread.join()\n    \
                 start_response('200 OK', [])\n    \
                 return []\n",
        ),
    );
    let answer = daemon.connect().ask(&Request::get("/starts"));
    let everywhere = answer.logged() + &daemon.log();
    assert!(everywhere.contains("from a thread"), "{everywhere}");
}

#[test]
fn a_thousand_failures_leave_no_thread_or_permit_behind() {
    let daemon = Daemon::start(
        newest_python(),
        &script("def raises(environ, start_response):\n    raise ValueError('again')\n"),
    );
    let child = daemon.connect();
    for _ in 0..1000 {
        assert_eq!(
            child.ask(&Request::get("/raises")).failure(),
            Some(Failure::Application)
        );
    }
    assert!(child.ask(&Request::get("/hello")).is_whole());
}
