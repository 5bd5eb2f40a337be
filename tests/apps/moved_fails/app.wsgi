"""Answers 200 with a local Location, and fails after its first piece."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Location", "/elsewhere")])
    yield b"some"
    raise LookupError("lost on the way")
