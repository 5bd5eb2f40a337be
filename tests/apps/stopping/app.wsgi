"""Marks its end, by a subscriber that also ends a thread which is no daemon."""
import atexit
import os
import queue
import threading

import mod_wsgi

STATE = None
work = queue.Queue()


def mark(text):
    with open(os.path.join(STATE, "stopping"), "a") as file:
        file.write(text + "\n")


def worker():
    while work.get() is not None:
        pass
    mark("thread ended")


@mod_wsgi.subscribe_shutdown
def stop(name, **event):
    mark(f"{name} {sorted(event.items())}")
    work.put(None)


@mod_wsgi.subscribe_events
def every(name, **event):
    if name.startswith("process_"):
        mark(f"event {name}")


if mod_wsgi.process_group:

    @mod_wsgi.subscribe_signals
    def signalled(name, **event):
        mark(f"{name} {event['signame']} {event['signum']}")


atexit.register(lambda: mark("atexit"))
threading.Thread(target=worker, daemon=False).start()


def application(environ, start_response):
    global STATE
    STATE = environ["TEST_STATE"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
