"""Reads its input as the query says, e.g. ?read:5;readline;readline:3;readlines:4;iter, one repr a line."""


def perform(stream, operation):
    name, _, argument = operation.partition(":")
    if name == "iter":
        return list(stream)
    if name == "next":
        return next(stream)
    return getattr(stream, name)(*[int(argument)] if argument else [])


def application(environ, start_response):
    stream = environ["wsgi.input"]
    operations = environ["QUERY_STRING"].split(";")
    results = [repr(perform(stream, operation)) for operation in operations]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\n".join(results).encode()]
