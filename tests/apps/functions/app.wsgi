"""Tells which application answered, and for whom."""


def tell(environ, start_response, name):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    keys = ("mod_wsgi.process_group", "mod_wsgi.application_group", "REMOTE_USER")
    return ["|".join([name, *(environ.get(key, "-") for key in keys)]).encode()]


def application(environ, start_response):
    return tell(environ, start_response, "application")


def second(environ, start_response):
    return tell(environ, start_response, "second")
