"""A handler script, which answers in place of a file."""

KEYS = (
    "SCRIPT_NAME",
    "PATH_INFO",
    "mod_wsgi.request_handler",
    "mod_wsgi.callable_object",
    "mod_wsgi.process_group",
    "mod_wsgi.application_group",
    "HTTP_AUTHORIZATION",
)


def handle_request(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    assert environ["mod_wsgi.handler_script"] == __file__
    lines = [environ["SCRIPT_FILENAME"].rpartition("/htdocs/")[2]]
    lines += [environ.get(key, "-") for key in KEYS]
    lines.append(environ["wsgi.input"].read().decode())
    return ["|".join(lines).encode()]
