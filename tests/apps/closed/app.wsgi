"""Appends a mark to the file "closed" whenever its iterable is closed; fails as the query says."""
import os


class Body:
    def __init__(self, environ):
        self.case = environ["QUERY_STRING"]
        self.path = os.path.join(environ["TEST_STATE"], "closed")

    def __iter__(self):
        yield b"first"
        if self.case == "raise":
            raise ValueError("in the middle")
        yield b"x" * 100000 if self.case == "large" else b"second"

    def close(self):
        with open(self.path, "a") as file:
            file.write("closed\n")
        if self.case == "close-raises":
            raise ValueError("while closing")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body(environ)
