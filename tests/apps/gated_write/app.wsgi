"""Writes a piece by write(), waits for the file "gate", and returns the next."""
import os
import time


def application(environ, start_response):
    gate = os.path.join(environ["TEST_STATE"], "gate")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one")
    deadline = time.monotonic() + 20
    while not os.path.exists(gate) and time.monotonic() < deadline:
        time.sleep(0.005)
    return [b"two"]
