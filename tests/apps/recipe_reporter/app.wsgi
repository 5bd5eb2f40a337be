"""The recipe for monitoring: a thread ships the metrics of each interval, until it is told to end."""
import queue
import threading

import mod_wsgi

told = queue.Queue()
shipped = {"requests": 0, "samples": 0}
lock = threading.Lock()


def ship():
    metrics = mod_wsgi.request_metrics()
    if metrics is not None:
        with lock:
            shipped["requests"] += metrics["request_count"]
            shipped["samples"] += 1


def report():
    while True:
        try:
            told.get(timeout=0.05)
        except queue.Empty:
            ship()
        else:
            return


@mod_wsgi.subscribe_shutdown
def stop(name, **event):
    told.put(None)
    thread.join()


mod_wsgi.start_recording_metrics()
thread = threading.Thread(target=report, name="reporter", daemon=False)
thread.start()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    with lock:
        return [f"{shipped['requests']} {shipped['samples']}".encode()]
