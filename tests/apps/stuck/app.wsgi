"""Ways not to end: the path names one. `/` tells the process and ends."""
import os
import threading
import time

import mod_wsgi

STATE = os.path.join(os.path.dirname(__file__), "..", "..", "state")


@mod_wsgi.subscribe_shutdown
def told(name, **event):
    with open(os.path.join(STATE, "reasons"), "a") as file:
        file.write(event["shutdown_reason"] + "\n")



def loops(environ):
    while True:
        pass


def naps(environ):
    while True:
        time.sleep(0.01)


def sleeps(environ):
    time.sleep(10_000)


def waits(environ):
    threading.Event().wait()


def reads(environ):
    environ["wsgi.input"].read()


def holds(environ):
    try:
        import ctypes
    except ImportError:
        # In an interpreter with a GIL of its own: what holds it is in C and never ends.
        return (1 << 2_000_000_000) ** 9
    ctypes.PyDLL(None).sleep(10_000)


def gated(environ):
    while not os.path.exists(os.path.join(STATE, "gate")):
        time.sleep(0.01)


def catches(environ):
    try:
        naps(environ)
    except mod_wsgi.RequestTimeout:
        return b"caught"


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    open(os.path.join(STATE, f"running-{name}"), "w").close()
    body = globals()[name](environ) if name else None
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body or str(os.getpid()).encode()]
