"""Marks its start by the file "waiting", and answers once the file "gate" is there."""
import os
import time


def application(environ, start_response):
    state = environ["TEST_STATE"]
    open(os.path.join(state, "waiting"), "w").close()
    deadline = time.monotonic() + 30
    while not os.path.exists(os.path.join(state, "gate")) and time.monotonic() < deadline:
        time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
