"""Yields a piece, then waits for the file "gate" before it yields the next."""
import os
import time


def application(environ, start_response):
    gate = os.path.join(environ["TEST_STATE"], "gate")
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    deadline = time.monotonic() + 20
    while not os.path.exists(gate) and time.monotonic() < deadline:
        time.sleep(0.005)
    yield b"two"
