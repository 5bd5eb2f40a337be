"""Writes to every stream there is."""
import logging
import sys


def application(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("by wsgi.errors, ")
    errors.write("in two writes\n")
    errors.writelines(["first line\n", "second line\n"])
    errors.flush()
    print("by print to wsgi.errors", file=errors)
    print("by print")
    print("by stderr", file=sys.stderr)
    sys.stdout.flush()
    logging.getLogger("suite").warning("by logging")
    errors.write("snowman \u2603 and \x1b escape\n")
    errors.write("without an end")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [type(errors).__name__.encode()]
