"""Sends pieces for ever; marks in the file "closed" when it is closed."""
import os


class Endless:
    def __init__(self, environ):
        self.mark = os.path.join(environ["TEST_STATE"], "closed")
        self.write = environ["QUERY_STRING"] == "write"

    def __iter__(self):
        return self

    def __next__(self):
        return b"x" * 65536

    def close(self):
        open(self.mark, "w").close()


def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    endless = Endless(environ)
    if endless.write:
        try:
            while True:
                write(next(endless))
        except OSError:
            endless.close()
            raise
    return endless
