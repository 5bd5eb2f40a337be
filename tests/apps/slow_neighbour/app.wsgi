"""Marks that its load has begun, and is loaded once the file "gate" is there."""
import os
import time

HERE = os.path.basename(os.path.dirname(os.path.abspath(__file__)))
STATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "state")

open(os.path.join(STATE, "loading-" + HERE), "w").close()
deadline = time.monotonic() + 30
while not os.path.exists(os.path.join(STATE, "gate")) and time.monotonic() < deadline:
    time.sleep(0.005)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"loaded"]
