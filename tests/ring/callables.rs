//! What may be called as an application, and what is no application.

use crate::case::Group;
use crate::script::{Outcome, Script, group_of};

const BODY: &str = "start_response('200 OK', [('Content-Type', 'text/plain')])";

fn source(name: &'static str, text: &str) -> Script {
    Script::new(name, &text.replace("START", BODY))
}

/// The cases.
pub fn group() -> Group {
    let mut scripts = functions();
    scripts.extend(classes());
    scripts.extend(mistakes());
    group_of("callables", scripts)
}

fn functions() -> Vec<Script> {
    vec![
        source("a_function", "def application(environ, start_response):\n    START\n    return [b'ok']\n"),
        source("a_lambda", "application = lambda environ, start_response: (START, [b'ok'])[1]\n"),
        source("other_parameter_names", "def application(e, s):\n    s('200 OK', [])\n    return [b'ok']\n"),
        source(
            "further_parameters_with_defaults",
            "def application(environ, start_response, extra=b'ok'):\n    START\n    return [extra]\n",
        ),
        source(
            "any_number_of_positional_arguments",
            "def application(*arguments):\n    arguments[1]('200 OK', [])\n    \
             return [str(len(arguments)).encode()]\n",
        )
        .answers("2"),
        source(
            "keywords_are_not_used",
            "def application(environ, start_response, **keywords):\n    START\n    \
             return [repr(keywords).encode()]\n",
        )
        .answers("{}"),
        source(
            "positional_only_parameters",
            "def application(environ, start_response, /):\n    START\n    return [b'ok']\n",
        ),
        source(
            "a_partial",
            "import functools\n\n\ndef answer(body, environ, start_response):\n    START\n    \
             return [body]\n\n\napplication = functools.partial(answer, b'ok')\n",
        ),
        source(
            "a_closure",
            "def make(body):\n    def inner(environ, start_response):\n        START\n        \
             return [body]\n    return inner\n\n\napplication = make(b'ok')\n",
        ),
        source(
            "a_decorated_function",
            "import functools\n\n\ndef louder(application):\n    @functools.wraps(application)\n    \
             def wrapper(environ, start_response):\n        return [p.upper() for p in \
             application(environ, start_response)]\n    return wrapper\n\n\n@louder\ndef \
             application(environ, start_response):\n    START\n    return [b'ok']\n",
        )
        .answers("OK"),
        source(
            "a_function_imported_from_the_standard_library",
            "from wsgiref.simple_server import demo_app as application\n",
        )
        .comes_to(Outcome::Status(200)),
        source(
            "a_function_bound_by_assignment",
            "def real(environ, start_response):\n    START\n    return [b'ok']\n\n\napplication = real\n",
        ),
        source(
            "a_function_bound_through_globals",
            "def real(environ, start_response):\n    START\n    return [b'ok']\n\n\n\
             globals()['application'] = real\n",
        ),
        source(
            "a_name_that_is_bound_again_at_run_time",
            "def second(environ, start_response):\n    START\n    return [b'ok']\n\n\ndef \
             application(environ, start_response):\n    global application\n    application = second\n    \
             return second(environ, start_response)\n",
        ),
    ]
}

fn classes() -> Vec<Script> {
    vec![
        source(
            "an_instance_with_call",
            "class Application:\n    def __call__(self, environ, start_response):\n        START\n        \
             return [b'ok']\n\n\napplication = Application()\n",
        ),
        source(
            "a_class_whose_instances_are_the_body",
            "class application:\n    def __init__(self, environ, start_response):\n        \
             self.start = start_response\n    def __iter__(self):\n        self.start('200 OK', \
             [])\n        yield b'ok'\n",
        ),
        source(
            "a_bound_method",
            "class Site:\n    def serve(self, environ, start_response):\n        START\n        return \
             [b'ok']\n\n\napplication = Site().serve\n",
        ),
        source(
            "a_static_method",
            "class Site:\n    @staticmethod\n    def serve(environ, start_response):\n        START\n        \
             return [b'ok']\n\n\napplication = Site.serve\n",
        ),
        source(
            "a_class_method",
            "class Site:\n    @classmethod\n    def serve(cls, environ, start_response):\n        START\n        \
             return [b'ok']\n\n\napplication = Site.serve\n",
        ),
        source(
            "a_class_with_a_calling_metaclass",
            "class Meta(type):\n    def __call__(cls, environ, start_response):\n        START\n        \
             return [b'ok']\n\n\nclass application(metaclass=Meta):\n    pass\n",
        ),
        source(
            "an_instance_with_slots",
            "class Application:\n    __slots__ = ()\n    def __call__(self, environ, \
             start_response):\n        START\n        return [b'ok']\n\n\napplication = Application()\n",
        ),
        source(
            "an_instance_with_dynamic_attributes",
            "class Application:\n    def __getattr__(self, name):\n        return None\n    def \
             __call__(self, environ, start_response):\n        START\n        return [b'ok']\n\n\n\
             application = Application()\n",
        ),
        source(
            "an_instance_that_is_false",
            "class Application:\n    def __bool__(self):\n        return False\n    def \
             __call__(self, environ, start_response):\n        START\n        return [b'ok']\n\n\n\
             application = Application()\n",
        ),
        source(
            "a_dispatcher_of_applications",
            "def one(environ, start_response):\n    START\n    return [b'ok']\n\n\nROUTES = {'/one': \
             one}\n\n\ndef application(environ, start_response):\n    return \
             ROUTES[environ['PATH_INFO']](environ, start_response)\n",
        )
        .at("/one"),
    ]
}

fn mistakes() -> Vec<Script> {
    let number = "application = 42\n";
    vec![
        source("a_number", number).fails("TypeError"),
        source("a_str", "application = 'text'\n").fails("TypeError"),
        source("a_module", "import sys as application\n").fails("TypeError"),
        source("no_parameters", "def application():\n    pass\n").fails("TypeError"),
        source("one_parameter", "def application(environ):\n    pass\n").fails("TypeError"),
        source("three_parameters", "def application(environ, start_response, third):\n    pass\n")
            .fails("TypeError"),
        source(
            "a_required_keyword",
            "def application(environ, start_response, *, needed):\n    pass\n",
        )
        .fails("TypeError"),
        source(
            "a_coroutine_function",
            "async def application(environ, start_response):\n    START\n    return [b'ok']\n",
        )
        .fails("TypeError")
        .logs("coroutine"),
        source(
            "an_asgi_application",
            "async def application(scope, receive, send):\n    pass\n",
        )
        .fails("TypeError"),
        source(
            "an_asynchronous_generator",
            "async def application(environ, start_response):\n    START\n    yield b'ok'\n",
        )
        .fails("TypeError"),
        source("a_call_that_fails", "def application(environ, start_response):\n    raise KeyError('c')\n")
            .fails("KeyError"),
        source(
            "a_method_without_its_instance",
            "class Site:\n    def serve(self, environ, start_response):\n        START\n        return \
             [b'ok']\n\n\napplication = Site.serve\n",
        )
        .fails("TypeError"),
    ]
}
