"""Gives the metrics of its process: name, tab, repr. The query says which, or how to answer."""
import mod_wsgi

BEFORE = (mod_wsgi.request_metrics(), mod_wsgi.process_metrics())


def lines(metrics):
    return [f"{name}\t{value!r}\n".encode() for name, value in metrics.items()]


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    status = "200 OK"
    if query == "start":
        mod_wsgi.start_recording_metrics()
        answer = [repr(BEFORE).encode()]
    elif query in ("request", "process"):
        metrics = getattr(mod_wsgi, query + "_metrics")()
        answer = [b"None"] if metrics is None else lines(metrics)
    elif query == "raise":
        raise ValueError("counted as a server's error")
    else:
        status = f"{query} Asked For"
        answer = [environ["wsgi.input"].read(-1)]
    start_response(status, [("Content-Type", "text/plain")])
    return answer
