"""Calls start_response a second time: before or after output, with exc_info or without."""
import sys


def application(environ, start_response):
    case = environ["QUERY_STRING"]
    write = start_response("200 First", [("X-Call", "first")])
    if case.startswith("after"):
        write(b"sent;")
    try:
        raise ValueError("late trouble")
    except ValueError:
        information = sys.exc_info() if case.endswith("exc_info") else None
    start_response("500 Second", [("X-Call", "second")], information)
    return [b"body"]
