"""Marks in the file "loaded" that it was loaded."""
import os

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")
with open(os.path.join(STATE, "loaded"), "a") as file:
    file.write(f"{os.getpid()}\n")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"loaded"]
