"""Keeps the input of its first request and reads from it in the second."""
KEPT = []


def application(environ, start_response):
    if KEPT:
        try:
            answer = repr(KEPT[0].read(1))
        except Exception as error:
            answer = type(error).__name__
    else:
        KEPT.append(environ["wsgi.input"])
        answer = "kept"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
