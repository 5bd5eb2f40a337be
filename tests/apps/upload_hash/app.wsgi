"""Hashes its input and answers the SHA-256 and the length."""
import hashlib


def application(environ, start_response):
    digest, length = hashlib.sha256(), 0
    for piece in iter(lambda: environ["wsgi.input"].read(1 << 16), b""):
        digest.update(piece)
        length += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{digest.hexdigest()} {length}".encode()]
