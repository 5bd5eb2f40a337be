"""What an application can learn about the server it runs in.

Inside the server the gateway has made this module before any application runs, so this file is not
executed there. Elsewhere (tests, tools, type checkers) it gives the same names, and says by
`process_group` being None that there is no server.
"""

version = (6, 1, 1)
process_group = None
application_group = None
maximum_processes = 0
threads_per_process = 0
event_callbacks = []
shutdown_callbacks = []
signal_callbacks = []
active_requests = {}


class RequestTimeout(BaseException):
    """Raised inside an application whose request has taken longer than it may."""


def subscribe_events(callback):
    event_callbacks.append(callback)
    return callback


def subscribe_shutdown(callback):
    shutdown_callbacks.append(callback)
    return callback


def subscribe_signals(callback):
    signal_callbacks.append(callback)
    return callback


def request_data():
    raise RuntimeError("no active request for thread")


def start_recording_metrics():
    pass


def request_metrics():
    return None


def process_metrics():
    return None


def server_metrics():
    return None


def __getattr__(name):
    if name != "LogHandler":
        raise AttributeError(f"module 'mod_wsgi' has no attribute '{name}'")
    from logging import StreamHandler

    return StreamHandler


class FileWrapper:
    """`wsgi.file_wrapper` of PEP 3333: an iterable over blocks of a file-like object."""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration
