"""Computes with NumPy."""
import numpy


def application(environ, start_response):
    total = int(numpy.arange(1001).reshape(7, 143).sum())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{total} {numpy.__version__}".encode()]
