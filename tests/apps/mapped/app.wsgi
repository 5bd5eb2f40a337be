"""Answers where it was found: SCRIPT_NAME, PATH_INFO and its own file."""
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    name = os.path.basename(__file__)
    text = f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{name}"
    return [text.encode("latin-1")]
