"""Keeps what its subscribers are told, and gives it as lines of JSON: name, then fields."""
import json

import mod_wsgi

told = []
SHOWN = (str, int, float, list, type(None))


def shown(value):
    if isinstance(value, tuple):
        return [shown(part) for part in value]
    if isinstance(value, SHOWN):
        return value
    return getattr(value, "__name__", type(value).__name__)


@mod_wsgi.subscribe_events
def first(name, **event):
    told.append((name, {key: shown(value) for key, value in event.items()}))
    if name == "request_started":
        event["request_data"]["seen"] = 1
        environ = event["request_environ"]
        environ["by.subscriber"] = "set"
        if environ["QUERY_STRING"] == "replace":
            return {"application_object": replacement, "added": "by the first"}
    if name == "request_finished" and event["request_data"].get("fail"):
        raise LookupError("a subscriber's own trouble")


@mod_wsgi.subscribe_events
def second(name, **event):
    if "added" in event:
        told.append(("second", {"added": event["added"]}))


def replacement(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"replaced"]


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    if query == "raise":
        raise ValueError("told to subscribers")
    if query == "fail":
        mod_wsgi.request_data()["fail"] = True
    answer = query + " " + environ["by.subscriber"]
    if query == "told":
        answer = "\n".join(json.dumps(event) for event in told)
        told.clear()
    environ["wsgi.input"].read(-1)
    start_response("201 Made", [("Content-Type", "text/plain")])
    return iter([answer.encode(), b""])
