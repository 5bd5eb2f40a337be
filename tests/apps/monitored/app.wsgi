"""The recipe that watches files from a thread of its own, and ends the process by SIGINT."""
import atexit
import os
import queue
import signal
import threading

WATCHED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "watched.txt")
stop = queue.Queue()


def modified():
    try:
        return os.stat(WATCHED).st_mtime_ns
    except OSError:
        return None


def monitor(before):
    while True:
        if modified() != before:
            os.kill(os.getpid(), signal.SIGINT)
            return
        try:
            return stop.get(timeout=0.05)
        except queue.Empty:
            pass


thread = threading.Thread(target=monitor, args=(modified(),), daemon=True)


def exiting():
    stop.put(True)
    thread.join()


atexit.register(exiting)
thread.start()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
