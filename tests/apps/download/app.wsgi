"""Generates as many MiB as the query says; byte i of every MiB is i modulo 251."""
PIECE = bytes(i % 251 for i in range(1 << 20))


def application(environ, start_response):
    count = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (PIECE for _ in range(count))
