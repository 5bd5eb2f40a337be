"""Fails at the point its query names."""
import sys


def deeper(depth):
    return deeper(depth + 1)


def fail(case):
    if case == "exit":
        sys.exit(3)
    if case == "recursion":
        deeper(0)
    if case == "base":
        raise BaseException("from the base")
    if case == "unprintable":
        raise type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})()
    raise ValueError("secret trouble")


def application(environ, start_response):
    case = environ["QUERY_STRING"]
    when, _, what = case.partition("-")
    if when == "before":
        fail(what)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if when == "started":
        fail(what)

    def body():
        if when == "first":
            fail(what)
        yield b"some"
        fail(what)

    return body()
