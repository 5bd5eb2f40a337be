"""Tells how its interpreter was set up: name, tab, repr."""
import os
import signal
import sys


def outcome(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def asserts():
    try:
        assert False
    except AssertionError:
        return True
    return False


def facts(environ):
    yield "pid", os.getpid()
    yield "optimize", sys.flags.optimize
    yield "asserts", asserts()
    yield "docstrings", facts_doc.__doc__ is not None
    yield "dont_write_bytecode", sys.dont_write_bytecode
    yield "warnoptions", sys.warnoptions
    yield "hash", hash("mod_wsgi")
    yield "hash_randomization", sys.flags.hash_randomization
    yield "egg_cache", os.environ.get("PYTHON_EGG_CACHE")
    yield "switch_interval", round(sys.getswitchinterval(), 6)
    yield "stdin", outcome(lambda: sys.stdin.read and "usable")
    yield "stdin_type", type(sys.stdin).__module__ + "." + type(sys.stdin).__name__
    yield "stdout", outcome(lambda: print("printed by the application") or "usable")
    yield "stderr", outcome(lambda: print("logged by the application", file=sys.stderr) or "usable")
    yield "signal", outcome(lambda: signal.signal(signal.SIGUSR2, handler) is handler)
    yield "handler", signal.getsignal(signal.SIGUSR2) is handler
    yield "path", sys.path
    yield "application_group", environ["mod_wsgi.application_group"]


def facts_doc():
    """A docstring, which -OO leaves out."""


def handler(number, frame):
    pass


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{name}\t{value!r}\n".encode() for name, value in facts(environ)]
