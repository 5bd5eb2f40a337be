"""Tells what the script that was imported at start left in this interpreter."""
import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(getattr(sys, "left_by_import", None)).encode()]
