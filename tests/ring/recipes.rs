//! Recipes that mod_wsgi's users know: cleanup, middleware, debugging, errors turned into pages.

use std::fs;

use wsgi_tests::wait;

use crate::case::Group;
use crate::script::{Outcome, Script, add_scripts, serving_scripts};

const PLAIN: &str = "\n\ndef plain(environ, start_response):\n    start_response('200 OK', [('Content-Type', \
                     'text/plain')])\n    return [b'o', b'k']\n\n\n";

fn middleware(name: &'static str, text: &str) -> Script {
    Script::new(name, &format!("import os\nimport sys{PLAIN}{text}\n"))
}

/// An application that leaves a mark of this text in a file of the state directory.
const MARK: &str = "def mark(environ, name):\n    with open(os.path.join(environ['TEST_STATE'], name), \
                    'a') as file:\n        file.write('x')\n\n\n";

/// The cases.
pub fn group() -> Group {
    let scripts = scripts();
    let mut files = scripts.clone();
    files.extend(marking());
    let group = Group::new("recipes", move |mode| {
        serving_scripts(mode, &files)
            .directive("SetEnv application.setting \"from the configuration\"")
            .directive("WSGIChunkedRequest On")
    });
    let group = add_scripts(group, scripts);
    let marked = |name: &'static str, target: &'static str, status: u16| {
        move |server: &mut wsgi_tests::Server, _: wsgi_tests::Mode| {
            server.allow_log("Traceback");
            server.allow_log("Error");
            server.allow_log("cases/");
            server.allow_log("    ");
            assert_eq!(server.get(target).status(), status);
            let marks = || fs::read_to_string(server.state(name)).unwrap_or_default();
            wait::until_true("the mark", || !marks().is_empty());
            assert_eq!(marks(), "x", "once");
        }
    };
    group
        .case(
            "cleanup_by_close_runs_after_the_response",
            marked("cleaned", "/cases/cleanup_by_close.wsgi", 200),
        )
        .case(
            "cleanup_by_close_runs_after_a_failure",
            marked("cleaned-failure", "/cases/cleanup_after_failure.wsgi", 500),
        )
        .case(
            "cleanup_by_a_generators_finally_runs",
            marked("cleaned-finally", "/cases/cleanup_by_finally.wsgi", 200),
        )
        .case(
            "cleanup_by_a_callback_of_the_body_runs",
            marked("cleaned-callback", "/cases/cleanup_by_callback.wsgi", 200),
        )
}

fn marking() -> Vec<Script> {
    let closing = |name, mark: &str, body: &str| {
        middleware(
            name,
            &format!(
                "{MARK}class Closing:\n    def __init__(self, environ, inner):\n        self.environ = \
                 environ\n        self.inner = inner\n    def __iter__(self):\n        {body}\n    def \
                 close(self):\n        mark(self.environ, '{mark}')\n\n\ndef application(environ, \
                 start_response):\n    return Closing(environ, plain(environ, start_response))"
            ),
        )
    };
    vec![
        closing("cleanup_by_close", "cleaned", "return iter(self.inner)"),
        closing(
            "cleanup_after_failure",
            "cleaned-failure",
            "raise LookupError('in the body')",
        ),
        middleware(
            "cleanup_by_finally",
            &format!(
                "{MARK}def application(environ, start_response):\n    try:\n        yield from \
                 plain(environ, start_response)\n    finally:\n        mark(environ, 'cleaned-finally')"
            ),
        ),
        middleware(
            "cleanup_by_callback",
            &format!(
                "{MARK}class ExecuteAfter:\n    def __init__(self, inner, callback):\n        \
                 self.inner = iter(inner)\n        self.close = callback\n    def __iter__(self):\n        \
                 return self\n    def __next__(self):\n        return next(self.inner)\n\n\ndef \
                 application(environ, start_response):\n    return ExecuteAfter(plain(environ, \
                 start_response), lambda: mark(environ, 'cleaned-callback'))"
            ),
        ),
    ]
}

fn scripts() -> Vec<Script> {
    vec![
        middleware(
            "middleware_that_passes_on",
            "def application(environ, start_response):\n    return plain(environ, start_response)",
        ),
        middleware(
            "middleware_that_collects_the_body",
            "def application(environ, start_response):\n    return [b''.join(plain(environ, \
             start_response))]",
        ),
        middleware(
            "middleware_that_changes_headers",
            "def application(environ, start_response):\n    def start(status, headers, \
             exc_info=None):\n        return start_response(status, headers + [('X-Added', '1')], \
             exc_info)\n    return plain(environ, start)",
        )
        .header("X-Added", &["1"]),
        middleware(
            "middleware_that_turns_errors_into_a_page",
            "def failing(environ, start_response):\n    raise ValueError('inside')\n\n\ndef \
             application(environ, start_response):\n    try:\n        return failing(environ, \
             start_response)\n    except ValueError:\n        start_response('500 Page', \
             [('Content-Type', 'text/html')], sys.exc_info())\n        return [b'<h1>Sorry</h1>']",
        )
        .comes_to(Outcome::Answer(500, "<h1>Sorry</h1>".to_owned())),
        middleware(
            "middleware_that_logs_the_environ",
            "import pprint\n\n\ndef application(environ, start_response):\n    \
             pprint.pprint({'logged-method': environ['REQUEST_METHOD']}, \
             stream=environ['wsgi.errors'])\n    return plain(environ, start_response)",
        )
        .logs("logged-method"),
        middleware(
            "middleware_that_logs_the_response",
            "def application(environ, start_response):\n    def start(status, headers, *rest):\n        \
             print('logged-status', status, file=environ['wsgi.errors'])\n        return \
             start_response(status, headers, *rest)\n    return plain(environ, start)",
        )
        .logs("logged-status 200 OK"),
        middleware(
            "middleware_that_keeps_the_input",
            "import io\n\n\ndef application(environ, start_response):\n    body = \
             environ['wsgi.input'].read()\n    environ['wsgi.input'] = io.BytesIO(body)\n    \
             start_response('200 OK', [])\n    return [environ['wsgi.input'].read()]",
        )
        .post(b"kept")
        .answers("kept"),
        middleware(
            "middleware_that_sets_the_script_name",
            "def application(environ, start_response):\n    name = \
             environ.get('HTTP_X_SCRIPT_NAME', '')\n    if name:\n        environ['SCRIPT_NAME'] = name\n    \
             start_response('200 OK', [])\n    return [environ['SCRIPT_NAME'].encode()]",
        )
        .with("X-Script-Name", "/public")
        .answers("/public"),
        middleware(
            "settings_by_setenv",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return \
             [environ['application.setting'].encode()]",
        )
        .answers("from the configuration"),
        middleware(
            "settings_by_setenv_before_the_import_of_a_framework",
            "def application(environ, start_response):\n    os.environ['SETTING'] = \
             environ['application.setting']\n    start_response('200 OK', [])\n    return \
             [os.environ['SETTING'].encode()]",
        )
        .answers("from the configuration"),
        middleware(
            "an_application_made_at_the_first_request",
            "_application = None\n\n\ndef application(environ, start_response):\n    global \
             _application\n    if _application is None:\n        _application = plain\n    return \
             _application(environ, start_response)",
        ),
        middleware(
            "atexit_may_be_registered",
            "import atexit\n\natexit.register(lambda: None)\napplication = plain",
        ),
        middleware(
            "a_directory_of_its_own_on_the_path",
            "import site\n\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\napplication = \
             plain",
        ),
        middleware(
            "the_environ_is_dumped",
            "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', \
             'text/plain')])\n    return ['\\n'.join('%s: %r' % item for item in \
             sorted(environ.items())).encode()]",
        )
        .comes_to(Outcome::Status(200)),
        middleware(
            "the_hello_of_the_manual",
            "def application(environ, start_response):\n    status = '200 OK'\n    output = b'Hello \
             World!'\n    response_headers = [('Content-type', 'text/plain'), ('Content-Length', \
             str(len(output)))]\n    start_response(status, response_headers)\n    return [output]",
        )
        .answers("Hello World!")
        .header("Content-Length", &["12"]),
        middleware(
            "the_form_echo_of_the_manual",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    body = \
             environ['wsgi.input']\n    def echo():\n        while True:\n            block = \
             body.read(3)\n            if not block:\n                return\n            yield block\n    \
             return echo()",
        )
        .post(b"in small blocks")
        .answers("in small blocks"),
        middleware(
            "the_chunked_echo_of_the_manual",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return \
             [environ['wsgi.input'].read()]",
        )
        .post_chunked(b"in chunks")
        .answers("in chunks"),
        middleware(
            "is_it_a_daemon",
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return \
             [str(isinstance(environ['mod_wsgi.process_group'], str)).encode()]",
        )
        .answers("True"),
        middleware(
            "is_it_mod_wsgi",
            "try:\n    from mod_wsgi import version\n    TEXT = str(version[0])\nexcept ImportError:\n    \
             TEXT = 'none'\n\n\ndef application(environ, start_response):\n    start_response('200 OK', \
             [])\n    return [TEXT.encode()]",
        )
        .answers("6"),
    ]
}
