"""Answers when the test lets it: a request under /held waits until the file `go` is there."""
import os
import time


def application(environ, start_response):
    start_response("202 Done", [("Content-Type", "text/plain")])
    go = os.path.join(environ["TEST_STATE"], "go")
    if environ["PATH_INFO"] == "/held":
        while not os.path.exists(go):
            time.sleep(0.01)
    return [b"done"]
