"""Lists its environ: key, type and repr of the value, separated by tabs."""


def application(environ, start_response):
    lines = [f"{key}\t{type(value).__name__}\t{value!r}\n" for key, value in environ.items()]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["".join(lines).encode("utf-8", "surrogateescape")]
