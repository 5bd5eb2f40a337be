//! Applications that do what few do, and must be served all the same.

use crate::case::Group;
use crate::script::{Outcome, Script, add_scripts, serving_scripts};

/// The cases.
pub fn group() -> Group {
    let mut scripts = concurrency();
    scripts.extend(environs());
    scripts.extend(failures());
    scripts.extend(libraries());
    let files = scripts.clone();
    let group = Group::new("unusual", move |mode| {
        serving_scripts(mode, &files).directive("WSGIChunkedRequest On")
    });
    add_scripts(group, scripts)
}

fn tell(name: &'static str, body: &str) -> Script {
    Script::telling(name, body)
}

fn concurrency() -> Vec<Script> {
    vec![
        tell(
            "a_thread_that_is_joined",
            "import threading\nfound = []\nthread = \
              threading.Thread(target=found.append, args=('ok',))\nthread.start()\nthread.join()\n\
              return found[0]",
        ),
        tell(
            "a_daemon_thread_that_goes_on",
            "import threading\nthreading.Thread(target=threading.Event()\
              .wait, args=(0.01,), daemon=True).start()\nreturn 'ok'",
        ),
        tell(
            "a_thread_pool",
            "from concurrent.futures import ThreadPoolExecutor\nwith \
              ThreadPoolExecutor(2) as pool:\n    return ''.join(pool.map(str, range(5)))",
        )
        .answers("01234"),
        tell(
            "a_timer",
            "import threading\ndone = threading.Event()\ntimer = threading.Timer(0.001, \
              done.set)\ntimer.start()\nreturn str(done.wait(10))",
        )
        .answers("True"),
        tell(
            "asyncio_run",
            "import asyncio\n\nasync def work():\n    await asyncio.sleep(0)\n    \
              return 'ok'\n\nreturn asyncio.run(work())",
        ),
        tell(
            "asyncio_with_a_subprocess_of_threads",
            "import asyncio\n\nasync def work():\n    return \
              await asyncio.to_thread(lambda: 'ok')\n\nreturn asyncio.run(work())",
        ),
        tell(
            "a_subprocess",
            "import subprocess\nreturn subprocess.run(['echo', 'ok'], \
              capture_output=True, text=True).stdout.strip()",
        ),
        tell(
            "a_shell",
            "import os\nreturn os.popen('echo ok').read().strip()",
        ),
        tell(
            "a_fork",
            "import os\nread, write = os.pipe()\npid = os.fork()\nif pid == 0:\n    \
              os.write(write, b'ok')\n    os._exit(0)\nos.waitpid(pid, 0)\nos.close(write)\nreturn \
              os.read(read, 10).decode()",
        ),
        tell(
            "a_context_variable_is_fresh",
            "import contextvars\nvariable = contextvars.ContextVar('v', \
              default='ok')\nvalue = variable.get()\nvariable.set('old')\nreturn value",
        ),
        tell(
            "a_thread_local",
            "import threading\nlocal = threading.local()\nlocal.value = 'ok'\nreturn \
              local.value",
        ),
        tell(
            "a_lock_held_over_threads",
            "import threading\nlock = threading.Lock()\nwith lock:\n    \
              return str(lock.locked())",
        )
        .answers("True"),
        tell(
            "the_thread_has_a_name",
            "import threading\nreturn \
              str(bool(threading.current_thread().name))",
        )
        .answers("True"),
        tell(
            "the_thread_has_a_native_id",
            "import threading\nreturn str(threading.get_native_id() > 1)",
        )
        .answers("True"),
        tell(
            "recursion_to_a_depth",
            "def down(n):\n    return 0 if n == 0 else down(n - 1)\n\nreturn \
              str(down(800))",
        )
        .answers("0"),
    ]
}

fn environs() -> Vec<Script> {
    vec![
        tell(
            "environ_is_a_real_dict",
            "return str(type(environ) is dict)",
        )
        .answers("True"),
        tell(
            "environ_may_be_changed",
            "environ['x.added'] = 1\ndel environ['PATH_INFO']\nreturn 'ok'",
        ),
        tell("environ_may_be_emptied", "environ.clear()\nreturn 'ok'"),
        tell(
            "environ_may_be_copied",
            "return str(dict(environ) == environ)",
        )
        .answers("True"),
        tell(
            "environ_has_only_str_keys",
            "return str({type(key) for key in environ})",
        )
        .answers("{<class 'str'>}"),
        tell(
            "strings_fit_latin_1",
            "for value in environ.values():\n    if isinstance(value, \
              str):\n        value.encode('latin-1')\nreturn 'ok'",
        ),
        tell(
            "wsgiref_util_finds_the_uri",
            "import wsgiref.util\nreturn \
              wsgiref.util.request_uri(environ)[:17]",
        )
        .answers("http://localhost/"),
        tell(
            "wsgiref_util_shifts_the_path",
            "import wsgiref.util\nreturn \
              wsgiref.util.shift_path_info(environ)",
        )
        .at("/part/rest")
        .answers("part"),
        tell(
            "wsgiref_util_guesses_the_scheme",
            "import wsgiref.util\nreturn \
              wsgiref.util.guess_scheme(environ)",
        )
        .answers("http"),
        tell(
            "os_environ_is_not_the_requests",
            "import os\nreturn str('REQUEST_METHOD' in os.environ)",
        )
        .answers("False"),
        tell(
            "os_environ_may_be_changed",
            "import os\nos.environ['RING'] = 'ok'\nreturn \
              os.environ['RING']",
        ),
        tell(
            "the_query_is_parsed",
            "from urllib.parse import parse_qs\nreturn \
              parse_qs(environ['QUERY_STRING'])['a'][1]",
        )
        .at("?a=1&a=ok"),
        tell(
            "a_form_is_parsed",
            "from urllib.parse import parse_qs\nbody = \
              environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))\nreturn \
              parse_qs(body.decode())['a'][0]",
        )
        .post(b"a=ok"),
        tell(
            "cookies_are_parsed",
            "from http.cookies import SimpleCookie\nreturn \
              SimpleCookie(environ['HTTP_COOKIE'])['a'].value",
        )
        .with("Cookie", "b=1; a=ok"),
        tell(
            "json_is_parsed",
            "import json\nreturn json.load(environ['wsgi.input'])['a']",
        )
        .post(b"{\"a\": \"ok\"}"),
        tell(
            "the_input_is_read_in_another_thread",
            "from concurrent.futures import \
              ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n    return \
              pool.submit(environ['wsgi.input'].read).result().decode()",
        )
        .post(b"ok"),
        tell(
            "much_input_is_read_in_another_thread",
            "import asyncio\n\nasync def work():\n    return \
              await asyncio.to_thread(environ['wsgi.input'].read)\n\nreturn \
              str(len(asyncio.run(work())))",
        )
        .post(&[b'x'; 200_000])
        .answers("200000"),
        tell(
            "a_chunked_form_is_read",
            "return environ['wsgi.input'].read().decode()",
        )
        .post_chunked(b"ok"),
    ]
}

fn failures() -> Vec<Script> {
    let raising = |name, what: &str| {
        Script::new(
            name,
            &format!("import sys\n\n\ndef application(environ, start_response):\n    {what}\n"),
        )
    };
    vec![
        raising("value_error", "raise ValueError('v')").fails("ValueError"),
        raising("system_exit", "sys.exit(1)")
            .fails("SystemExit")
            .logs("SystemExit exception raised by WSGI script"),
        raising("keyboard_interrupt", "raise KeyboardInterrupt").fails("KeyboardInterrupt"),
        raising("generator_exit", "raise GeneratorExit").fails("GeneratorExit"),
        raising("stop_iteration", "raise StopIteration").fails("StopIteration"),
        raising("memory_error", "raise MemoryError").fails("MemoryError"),
        raising("recursion_error", "application(environ, start_response)").fails("RecursionError"),
        raising("os_error", "open('/no/such/file')").fails("FileNotFoundError"),
        raising("unicode_error", "'\\u2603'.encode('ascii')").fails("UnicodeEncodeError"),
        raising("an_exception_group", "raise ValueError(['a', 'b'])").fails("ValueError"),
        raising(
            "an_exception_with_several_lines",
            "raise ValueError('one\\ntwo-of-it')",
        )
        .fails("ValueError")
        .logs("two-of-it"),
        raising(
            "an_exception_beyond_latin_1",
            "raise ValueError('snow \\u2603')",
        )
        .fails("ValueError"),
        raising("an_exception_without_a_text", "raise ValueError").fails("ValueError"),
        raising(
            "an_exception_of_a_class_in_the_script",
            "raise type('OwnTrouble', (Exception,), {})('x')",
        )
        .fails("OwnTrouble"),
        raising(
            "the_handler_is_fine_afterwards",
            "start_response('200 OK', []); return [b'ok']",
        ),
    ]
}

fn libraries() -> Vec<Script> {
    vec![
        tell("sqlite", "import sqlite3\nconnection = sqlite3.connect(':memory:')\nreturn \
              connection.execute(\"select 'ok'\").fetchone()[0]"),
        tell("decimal", "import decimal\nreturn str(decimal.Decimal('0.1') * 3)").answers("0.3"),
        tell("datetime", "import datetime\nreturn datetime.date(2024, 2, 29).strftime('%d %B')")
            .answers("29 February"),
        tell("time_and_its_zone", "import time\nreturn str(len(time.strftime('%Y')))").answers("4"),
        tell("hashlib", "import hashlib\nreturn hashlib.md5(b'').hexdigest()[:6]").answers("d41d8c"),
        tell("ssl", "import ssl\nreturn type(ssl.create_default_context()).__name__").answers("SSLContext"),
        tell("ctypes", "import ctypes\nreturn str(ctypes.CDLL(None).abs(-3))").answers("3"),
        tell("a_regular_expression", "import re\nreturn re.sub('x', 'o', 'xk')"),
        tell("a_temporary_directory", "import tempfile, os\nwith tempfile.TemporaryDirectory() as \
              place:\n    return str(os.path.isdir(place))")
            .answers("True"),
        tell("garbage_collection", "import gc\ncycle = []\ncycle.append(cycle)\ndel cycle\nreturn \
              str(gc.collect() > 0)")
            .answers("True"),
        tell("gzip_by_the_application", "import gzip\nreturn gzip.decompress(gzip.compress(b'ok')).decode()"),
        tell("multiprocessing_counts", "import multiprocessing\nreturn \
              str(multiprocessing.cpu_count() > 0)")
            .answers("True"),
        tell("locale", "import locale\nreturn str(locale.localeconv()['decimal_point'])").answers("."),
        tell("unicode_paths", "import os\nreturn str(os.path.exists('/tmp/\\u2603'))").answers("False"),
        tell("random_and_secrets", "import random, secrets\nreturn \
              str(len(secrets.token_hex(4)) + len(str(random.randrange(10))))")
            .answers("9"),
        tell("email_is_built", "from email.message import EmailMessage\nmessage = EmailMessage()\n\
              message['Subject'] = 'ok'\nreturn message['Subject']"),
        tell("xml_is_parsed", "from xml.etree import ElementTree\nreturn \
              ElementTree.fromstring('<a>ok</a>').text"),
        Script::new(
            "wsgiref_validates_it",
            "from wsgiref.validate import validator\n\n\ndef plain(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [b'ok']\n\n\n\
             application = validator(plain)\n",
        ),
        Script::new(
            "wsgiref_validates_its_input",
            "from wsgiref.validate import validator\n\n\ndef plain(environ, start_response):\n    body = \
             environ['wsgi.input'].read(2)\n    start_response('200 OK', [('Content-Type', \
             'text/plain')])\n    return [body]\n\n\napplication = validator(plain)\n",
        )
        .post(b"ok"),
        Script::new(
            "a_cgi_handler_within",
            "import io\nimport sys\nfrom wsgiref.handlers import BaseCGIHandler\n\n\ndef inner(environ, \
             start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n\n\ndef \
             application(environ, start_response):\n    out = io.BytesIO()\n    handler = \
             BaseCGIHandler(io.BytesIO(), out, io.StringIO(), {}, False)\n    handler.run(inner)\n    \
             start_response('200 OK', [])\n    return [out.getvalue()[-2:]]\n",
        )
        .comes_to(Outcome::Answer(200, "ok".to_owned())),
    ]
}
