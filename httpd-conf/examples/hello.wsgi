"""A WSGI application to see that everything works: it tells which process and Python answer.

Loaded by mod_wsgi_rs in a daemon or an Apache child; called on any request thread, so it keeps
no state between requests.
"""

import os
import platform
import sys


def application(environ, start_response):
    """Answer every request with a few lines of text about where it was answered."""
    lines = [
        "Hello from mod_wsgi_rs!",
        "",
        f"python:            {platform.python_version()} in {sys.prefix}",
        f"process:           {os.getpid()}, user id {os.getuid()}",
        f"process group:     {environ.get('mod_wsgi.process_group') or '(embedded)'}",
        f"application group: {environ.get('mod_wsgi.application_group') or '(main interpreter)'}",
        f"request:           {environ['REQUEST_METHOD']} "
        f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}",
    ]
    body = ("\n".join(lines) + "\n").encode()
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    start_response("200 OK", headers)
    return [body]
