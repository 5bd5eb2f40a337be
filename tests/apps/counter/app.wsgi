"""Counts its requests in a global: the same interpreter goes on counting."""
import itertools
import os

REQUESTS = itertools.count(1)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {next(REQUESTS)}".encode()]
