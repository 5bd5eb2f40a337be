"""Calls start_response in the wrong way its query names; answers the exception it got."""
import sys

PLAIN = [("Content-Type", "text/plain")]
WRONG = {
    "status-bytes": (b"200 OK", PLAIN),
    "status-short": ("20 OK", PLAIN),
    "status-word": ("OK", PLAIN),
    "status-unspaced": ("200OK", PLAIN),
    "status-newline": ("200 O\nK", PLAIN),
    "status-wide": ("200 \u2603", PLAIN),
    "headers-tuple": ("200 OK", tuple(PLAIN)),
    "header-list": ("200 OK", [["Content-Type", "text/plain"]]),
    "header-triple": ("200 OK", [("a", "b", "c")]),
    "name-empty": ("200 OK", [("", "b")]),
    "name-space": ("200 OK", [("a b", "c")]),
    "name-newline": ("200 OK", [("a\r\nb", "c")]),
    "name-colon": ("200 OK", [("a:b", "c")]),
    "name-bytes": ("200 OK", [(b"a", "c")]),
    "value-newline": ("200 OK", [("a", "b\r\nX-Injected: yes")]),
    "value-bytes": ("200 OK", [("a", b"c")]),
    "value-int": ("200 OK", [("a", 1)]),
    "value-wide": ("200 OK", [("a", "\u2603")]),
    "length-word": ("200 OK", [("Content-Length", "many")]),
    "exc-info-tuple": ("200 OK", PLAIN, "neither tuple nor None"),
    "none": (),
}


def application(environ, start_response):
    try:
        start_response(*WRONG[environ["QUERY_STRING"]])
        answer = "accepted"
    except Exception as error:
        answer = type(error).__name__
    start_response("200 OK", PLAIN, sys.exc_info())
    return [answer.encode()]
