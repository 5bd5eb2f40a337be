"""Imports a module that lies in a directory which only a configured search path reaches."""
import on_the_path


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [on_the_path.VALUE]
