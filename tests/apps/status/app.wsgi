"""Answers the status line of its query, where + is a space, with the body "body"."""


def application(environ, start_response):
    line = environ["QUERY_STRING"].replace("+", " ")
    start_response(line, [("Content-Type", "text/plain"), ("X-Said", line)])
    return [b"body"]
