"""Answers the request method, in a header and, except to HEAD, as its body."""


def application(environ, start_response):
    method = environ["REQUEST_METHOD"]
    environ["wsgi.input"].read(-1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", method)])
    return [] if method == "HEAD" else [method.encode()]
