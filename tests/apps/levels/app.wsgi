"""Logs one line per level, and an exception, by mod_wsgi.LogHandler."""
import logging

import mod_wsgi

log = logging.getLogger("levels")
log.setLevel(1)
log.addHandler(mod_wsgi.LogHandler())
log.propagate = False


def application(environ, start_response):
    for level in (5, 10, 20, 25, 30, 40, 50, 60):
        log.log(level, "logged with level %d.", level)
    try:
        {}["no such key"]
    except KeyError:
        log.exception("logged with a traceback")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [mod_wsgi.LogHandler.__mro__[1].__name__.encode()]
