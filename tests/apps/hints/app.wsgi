"""Sends early hints: some, twice, too late, or wrong ones, as its query says."""

LINKS = [("Link", "</style.css>; rel=preload"), ("Link", "</script.js>; rel=preload")]


def application(environ, start_response):
    hint = environ["wsgi.early_hints"]
    case = environ["QUERY_STRING"]
    answer = b"hinted"
    if case == "late":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"first;")
        try:
            hint(LINKS)
        except RuntimeError:
            return [b"too late"]
    if case == "wrong":
        try:
            hint([("Link", "a\r\nX-Injected: 1")])
        except ValueError:
            answer = b"refused"
    else:
        hint(LINKS[:1])
        if case == "twice":
            hint(LINKS[1:])
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Final", "yes")])
    return [answer]
