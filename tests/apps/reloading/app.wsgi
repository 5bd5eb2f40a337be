"""Tells how often it was executed and what its module says; the query asks for another load."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

import watched_module

# Each load has a module of its own, so what outlasts one is elsewhere.
watched_module.executions = getattr(watched_module, "executions", 0) + 1
EXECUTIONS = watched_module.executions
FRESH = "WANTED" not in globals()
WANTED = False


def reload_required(path):
    if WANTED == "raise":
        raise RuntimeError("cannot tell")
    return WANTED and path == __file__


def application(environ, start_response):
    global WANTED
    if environ["QUERY_STRING"] == "unstamp":
        del globals()["__mtime__"]
    elif environ["QUERY_STRING"] == "restamp":
        globals()["__mtime__"] = 0
    elif environ["QUERY_STRING"]:
        WANTED = {"want": True, "raise": "raise"}[environ["QUERY_STRING"]]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {EXECUTIONS} {watched_module.ANSWER} {FRESH}".encode()]
