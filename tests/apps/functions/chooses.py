"""A dispatch script that chooses what the query says: `group=a&application=b&callable=c`."""

from urllib.parse import parse_qs

VALUES = {"none": None, "number": 5, "bytes": b"second", "latin": "caf\xe9", "wide": "\u20ac"}


def choice(environ, name):
    if environ["QUERY_STRING"] == "environ":
        assert environ["TEST_STATE"] and environ["SCRIPT_FILENAME"].endswith("app.wsgi")
        assert environ["mod_wsgi.request_handler"] == "wsgi-script"
        assert "wsgi.errors" in environ
    query = parse_qs(environ["QUERY_STRING"])
    if name not in query:
        return None
    if query[name] == ["raise"]:
        raise ValueError("no choice")
    return VALUES.get(query[name][0], query[name][0])


def process_group(environ):
    return choice(environ, "group")


def application_group(environ):
    return choice(environ, "application")


def callable_object(environ):
    return choice(environ, "callable")
