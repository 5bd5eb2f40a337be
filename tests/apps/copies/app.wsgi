"""Answers the name of this copy of the application; with `?wait`, once the gate is there."""
import os
import secrets
import time

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")
NAME = secrets.token_hex(8)


def application(environ, start_response):
    if environ["QUERY_STRING"] == "wait":
        open(os.path.join(STATE, "waiting"), "w").close()
        while not os.path.exists(os.path.join(STATE, "gate")):
            time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    facts = f"{os.getpid()} {NAME} {environ['wsgi.multiprocess']}"
    return [facts.encode()]
