"""Answers the status, headers and pieces that its query spells in Python."""
import ast
import urllib.parse


def application(environ, start_response):
    text = urllib.parse.unquote_plus(environ["QUERY_STRING"])
    status, headers, pieces = ast.literal_eval(text)
    start_response(status, headers)
    return iter(pieces)
