"""Declares the Content-Length of its query and sends ten bytes in two pieces."""


def application(environ, start_response):
    length = environ["QUERY_STRING"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    return iter([b"01234", b"56789"])
