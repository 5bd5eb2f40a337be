"""Functions that decide as the request asks them to: by its query, user name or password."""

import hashlib


class Opaque:
    """Neither plain nor iterable."""


RESULTS = {
    "true": True,
    "false": False,
    "none": None,
    "one": 1,
    "text": "other",
    "empty": "",
    "bytes": b"other",
    "opaque": Opaque(),
}


def decide(choice):
    if choice == "raise":
        raise ValueError("no decision")
    if choice == "exit":
        raise SystemExit(1)
    return RESULTS[choice]


def check_environ(environ):
    """Whether the environ is what such functions are promised."""
    expected = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "environ",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_PLAIN": "value",
        "mod_wsgi.application_group": "",
    }
    for key, value in expected.items():
        assert environ[key] == value, (key, environ.get(key))
    for key in ("SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "SERVER_ADMIN", "SERVER_SIGNATURE",
                "SERVER_ADDR", "REMOTE_PORT", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST",
                "DOCUMENT_ROOT", "mod_wsgi.process_group"):
        assert type(environ[key]) is str, key
    assert type(environ["apache.version"]) is tuple
    assert environ["mod_wsgi.version"] == (6, 1, 1)
    for key in ("HTTP_AUTHORIZATION", "REMOTE_USER", "TEST_STATE", "wsgi.input"):
        assert key not in environ, key
    assert not environ["mod_ssl.is_https"]()
    assert environ["mod_ssl.var_lookup"]("SSL_PROTOCOL") is None
    environ["wsgi.errors"].flush()
    return True


def allow_access(environ, host):
    assert host == "127.0.0.1", host
    query = environ["QUERY_STRING"]
    if query == "environ":
        return check_environ(environ)
    if query == "group":
        return environ["mod_wsgi.process_group"] == "app"
    return decide(query)


def check_password(environ, user, password):
    if environ["QUERY_STRING"] == "environ":
        return check_environ(environ)
    if password == "latin":
        return "caf\xe9"
    if password == "umlauts":
        return user == "\xc3\xbc"
    return decide(password)


def get_realm_hash(environ, user, realm):
    if user in RESULTS and user not in ("text", "bytes"):
        return decide(user)
    if user == "raise":
        return decide(user)
    digest = hashlib.md5(f"{user}:{realm}:secret".encode()).hexdigest()
    return digest.encode() if user == "bytes" else digest


GROUPS = {
    "list": ["users", "staff"],
    "tuple": ("staff",),
    "set": {"staff"},
    "keys": {"staff": 1}.keys(),
    "bytes": [b"staff"],
    "utf8": ["caf\xe9"],
    "elsewhere": ["users"],
    "nowhere": [],
    "numbers": [1],
    "none": None,
    "true": True,
    "opaque": Opaque(),
    "text": "staff",
}


def groups_for_user(environ, user):
    assert user == "me", user
    query = environ["QUERY_STRING"]
    if query == "environ":
        return check_environ(environ) and ["staff"]
    if query == "generator":
        return (name for name in ("users", "staff"))
    if query == "raise":
        raise ValueError("no decision")
    if query == "raise-later":
        return (1 / 0 for _ in "x")
    return GROUPS[query]
