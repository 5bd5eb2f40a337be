"""Marks the end of its process by the file "cleaned", as the recipe for clean-up code does."""
import atexit
import os

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")


def clean_up():
    open(os.path.join(STATE, "cleaned"), "a").close()


atexit.register(clean_up)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"running"]
