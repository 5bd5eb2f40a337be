"""Marks that a request has started, works a moment, and answers its id."""
import os
import time


def application(environ, start_response):
    name = environ["QUERY_STRING"]
    path = os.path.join(environ["TEST_STATE"], "started")
    mark = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(mark, f"{name}\n".encode())
    os.close(mark)
    time.sleep(0.003)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [name.encode()]
