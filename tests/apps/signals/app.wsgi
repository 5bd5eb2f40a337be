"""Registers a handler for a signal when it is loaded, and tells whether that took effect."""
import signal


def handler(number, frame):
    pass


signal.signal(signal.SIGUSR2, handler)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(signal.getsignal(signal.SIGUSR2) is handler).encode()]
