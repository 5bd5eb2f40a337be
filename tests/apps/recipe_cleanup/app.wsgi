"""The recipe for cleanup at the end of a request: the iterable's close() runs a function."""
import os


class ClosingIterator:
    def __init__(self, iterable, callback, environ):
        self.iterable = iterable
        self.callback = callback
        self.environ = environ

    def __iter__(self):
        yield from self.iterable

    def close(self):
        try:
            if hasattr(self.iterable, "close"):
                self.iterable.close()
        finally:
            self.callback(self.environ)


class ExecuteOnCompletion:
    def __init__(self, application, callback):
        self.application = application
        self.callback = callback

    def __call__(self, environ, start_response):
        try:
            result = self.application(environ, start_response)
        except BaseException:
            self.callback(environ)
            raise
        return ClosingIterator(result, self.callback, environ)


def cleaned(environ):
    with open(os.path.join(environ["TEST_STATE"], "cleaned"), "a") as file:
        file.write(environ["QUERY_STRING"] + "\n")


def application(environ, start_response):
    if environ["QUERY_STRING"] == "raise":
        raise ValueError("cleaned up all the same")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


application = ExecuteOnCompletion(application, cleaned)
