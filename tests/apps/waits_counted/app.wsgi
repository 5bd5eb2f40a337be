"""Waits for the gate; a file tells of each request that has begun to."""
import os
import tempfile
import time

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")
RUNNING = os.path.join(STATE, "running")


def application(environ, start_response):
    os.makedirs(RUNNING, exist_ok=True)
    os.close(tempfile.mkstemp(dir=RUNNING)[0])
    while not os.path.exists(os.path.join(STATE, "gate")):
        time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"waited"]
