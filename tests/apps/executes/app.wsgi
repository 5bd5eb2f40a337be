"""Executes the request's body and answers with the repr of what it calls `answer`."""


def application(environ, start_response):
    names = {}
    exec(environ["wsgi.input"].read().decode(), names)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(names["answer"]).encode()]
