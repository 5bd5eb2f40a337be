"""The application of the soak: marks each request that starts, then does what its path says.

A mark is a byte in a shared file mapping, set by the first statement: the process may be killed
right after.
"""
import mmap
import os
import threading

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")
SIZE = 1 << 26


def shared_marks():
    descriptor = os.open(os.path.join(STATE, "soak"), os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(descriptor, SIZE)
    return mmap.mmap(descriptor, SIZE)


MARKS = shared_marks()
KEPT = []


def application(environ, start_response):
    MARKS[int(environ["QUERY_STRING"][3:]) % SIZE] = 1
    body = BODIES[environ["PATH_INFO"]](environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return body


def echo(environ):
    return [environ["wsgi.input"].read()]


def stream(environ):
    for number in range(50):
        yield b"%d\n" % number * 100


def file(environ):
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def leak(environ):
    KEPT.append(os.urandom(1 << 16))
    return [b"kept"]


def hang(environ):
    threading.Event().wait()


BODIES = {"/echo": echo, "/stream": stream, "/file": file, "/leak": leak, "/hang": hang}
