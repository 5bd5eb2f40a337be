"""Returns a body without having called start_response."""


def application(environ, start_response):
    return [b"body"]
