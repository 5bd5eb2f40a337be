"""Marks that the request of this number has started, works a moment, and answers the number.

The mark is a byte in a shared file mapping, set by the first statement: the process may be killed
right after, and no other thread of it can run in between.
"""
import mmap
import os
import time

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")
SIZE = 1 << 20


def shared_marks():
    descriptor = os.open(os.path.join(STATE, "started"), os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(descriptor, SIZE)
    return mmap.mmap(descriptor, SIZE)


MARKS = shared_marks()


def application(environ, start_response):
    MARKS[int(environ["QUERY_STRING"][3:])] = 1
    time.sleep(0.003)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["QUERY_STRING"].encode()]
