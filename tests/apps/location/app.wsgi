"""Answers 200 with the Location its query gives: an internal redirect when that is a path."""


def application(environ, start_response):
    start_response("200 OK", [("Location", environ["QUERY_STRING"])])
    return [b"unused"]
