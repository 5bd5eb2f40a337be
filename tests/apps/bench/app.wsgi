"""What the benchmark asks for: one kind of response for each path."""
import json
import os
from wsgiref.util import FileWrapper

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = b"m" * (1 << 20)
PIECE = b"c" * (1 << 14)
ROWS = [{"id": number, "name": f"row {number}", "price": number * 1.25} for number in range(180)]
JSON = json.dumps(ROWS).encode()


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello World!"]


def answer_json(start_response, body):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def table(environ, start_response):
    return answer_json(start_response, json.dumps(ROWS).encode())


def bytes10k(environ, start_response):
    return answer_json(start_response, JSON)


def whole(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(MIB)))])
    return [MIB]


def chunks(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (PIECE for _ in range(64))


def file(environ, start_response):
    path = os.environ.get("BENCH_FILE") or os.path.join(HERE, "..", "..", "htdocs", "mib")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(1 << 20))])
    return environ.get("wsgi.file_wrapper", FileWrapper)(open(path, "rb"), 1 << 16)


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


PATHS = {
    "hello": hello,
    "json": table,
    "bytes10k": bytes10k,
    "whole": whole,
    "chunks": chunks,
    "file": file,
    "echo": echo,
}


def application(environ, start_response):
    return PATHS[environ["PATH_INFO"].rpartition("/")[2]](environ, start_response)
