"""Answers each piece of its input when it comes, in angle brackets."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        yield b"<" + stream.read(int(length)) + b">"
        return
    for size in (5, 6):
        yield b"<" + stream.read(size) + b">"
    assert stream.read(1) == b""
