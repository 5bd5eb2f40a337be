"""Answers the status and the Location of its query: ?302+Found;/there."""


def application(environ, start_response):
    status, _, location = environ["QUERY_STRING"].replace("+", " ").partition(";")
    start_response(status, [("Content-Type", "text/plain"), ("Location", location)])
    return [b"moved"]
