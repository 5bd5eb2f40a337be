"""A dispatch script that leaves both groups alone."""


def callable_object(environ):
    return "second"
