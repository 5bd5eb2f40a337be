"""Tells its Python's version and prefix, and the version and place of Flask."""
import importlib.metadata
import sys

import flask


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    text = "%d.%d|%s|%s|%s|%s" % (
        *sys.version_info[:2],
        sys.prefix,
        sys.executable,
        importlib.metadata.version("flask"),
        flask.__file__,
    )
    return [text.encode()]
