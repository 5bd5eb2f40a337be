"""What applications can learn of their requests and of their process while these run.

Executed after `runtime.py` in the same namespace, and so part of `mod_wsgi` in every interpreter.
Nothing here is called for a request before somebody asked for it: `watch(what)` tells the gateway
that somebody has, from then on.
"""

# What `watch` takes; `observe/mod.rs` has the same numbers.
WATCH_EVENTS = 1
WATCH_REQUESTS = 2

ERROR = 3


class RequestTimeout(BaseException):
    """Raised inside an application whose request has taken longer than it may."""


RequestTimeout.__module__ = "mod_wsgi"

event_callbacks = []
shutdown_callbacks = []
signal_callbacks = []
active_requests = {}

FINISHED_FIELDS = (
    "application_finish",
    "application_time",
    "status",
    "input_reads",
    "input_length",
    "input_time",
    "output_writes",
    "output_length",
    "output_time",
    "cpu_user_time",
    "cpu_system_time",
    "cpu_time",
    "gil_wait_time",
    "gil_wait_count",
)


class RequestRecord:
    """A request as its events tell of it."""

    __slots__ = ("request_id", "data", "origin", "application_start")

    def __init__(self, environ):
        # Taken now: an application may change its environ.
        self.request_id = environ.get("mod_wsgi.request_id")
        self.data = {}
        self.origin = {
            "thread_id": environ["mod_wsgi.thread_id"],
            "server_pid": int(environ["mod_wsgi.server_pid"]),
            "request_start": environ["mod_wsgi.request_start"],
            "queue_start": environ["mod_wsgi.queue_start"],
            "daemon_start": environ["mod_wsgi.daemon_start"],
            "application_start": environ["mod_wsgi.application_start"],
        }
        if self.request_id:
            active_requests[self.request_id] = self.data

    def publish(self, name, fields):
        """Tells the subscribers; gives the event with what they added."""
        if not event_callbacks:
            return fields
        event = {"request_id": self.request_id} if self.request_id else {}
        event.update(fields)
        event["request_data"] = self.data
        return publish(name, event_callbacks, event)

    def started(self, environ, application, connects, restarts):
        """The callable to be called: the application, or what a subscriber put in its place."""
        event = self.publish(
            "request_started",
            {
                **self.origin,
                "daemon_connects": connects,
                "daemon_restarts": restarts,
                "callable_object": environ.get("mod_wsgi.callable_object"),
                "request_environ": environ,
                "application_object": application,
            },
        )
        return event["application_object"]

    def response_started(self, status, headers, exc_info):
        self.publish(
            "response_started",
            {
                "response_status": status,
                "response_headers": headers,
                "exception_info": exc_info,
            },
        )

    def exception(self, *exc_info):
        self.publish("request_exception", {"exception_info": exc_info})

    def finished(self, *values):
        try:
            self.publish("request_finished", {**self.origin, **dict(zip(FINISHED_FIELDS, values))})
        finally:
            active_requests.pop(self.request_id, None)


def current_record():
    """The record of the request that runs on this thread, made now if nobody asked before."""
    found = current_request()
    if found is None:
        raise RuntimeError("no active request for thread")
    environ, record = found
    if record is None:
        record = RequestRecord(environ)
        keep_record(record)
    return record


def request_started(environ, application, connects, restarts):
    return current_record().started(environ, application, connects, restarts)


def request_data():
    """A dict of the current request's own, which its events have as `request_data`."""
    return current_record().data


def publish(name, callbacks, event):
    """Calls every callback in turn; a dict that one returns is merged into the event for the next."""
    for callback in list(callbacks):
        try:
            added = callback(name, **event)
        except RequestTimeout:
            raise
        except BaseException as error:
            lines = [f"{type(error).__name__} exception raised by event callback for '{name}'."]
            lines = [line.encode("utf-8", "backslashreplace") for line in lines]
            log_lines(ERROR, lines + describe(error, error.__traceback__))
        else:
            if isinstance(added, dict):
                event.update(added)
    return event


def subscribe_events(callback):
    """Has `callback(name, **event)` called for every event of this interpreter."""
    event_callbacks.append(callback)
    watch(WATCH_EVENTS)
    return callback


def subscribe_shutdown(callback):
    """Has `callback(name, **event)` called when the process is about to end."""
    shutdown_callbacks.append(callback)
    return callback


def subscribe_signals(callback):
    """Has `callback(name, **event)` called when the process gets SIGHUP or SIGUSR2."""
    signal_callbacks.append(callback)
    if not SETTINGS["process_group"]:
        log_message(
            INFO,
            "mod_wsgi.subscribe_signals() called outside daemon mode: Apache's own processes do not"
            " pass signals on, so the callback will not be called",
        )
    return callback


def process_signal(name, number):
    event = {"signame": name, "signum": number}
    publish("process_signal", event_callbacks + signal_callbacks, event)


def process_stopping(reason):
    publish("process_stopping", event_callbacks + shutdown_callbacks, {"shutdown_reason": reason})


def make_log_handler():
    """The class `mod_wsgi.LogHandler`; made when first asked for, because `logging` takes long."""
    import logging

    class LogHandler(logging.Handler):
        """Writes the records of `logging` to Apache's error log with the matching level."""

        def emit(self, record):
            try:
                lines = self.format(record).encode("utf-8", "backslashreplace").splitlines()
                log_lines(apache_level(record.levelno), lines)
            except RecursionError:
                raise
            except Exception:
                self.handleError(record)

    def apache_level(level):
        for least, apache in (
            (logging.CRITICAL, 2),
            (logging.ERROR, ERROR),
            (logging.WARNING, 4),
            (logging.INFO, INFO),
            (logging.DEBUG, 7),
        ):
            if level >= least:
                return apache
        return 8

    LogHandler.__module__ = "mod_wsgi"
    LogHandler.__qualname__ = "LogHandler"
    return LogHandler


def watched_requests():
    watch(WATCH_REQUESTS)
    if current_request() is not None:
        current_record()
    return active_requests


def watched_events():
    # Whoever has the list may put a callback into it.
    watch(WATCH_EVENTS)
    return event_callbacks


# What costs something once it is used, and is therefore made or turned on when it is asked for.
ON_DEMAND = {
    "LogHandler": make_log_handler,
    "active_requests": watched_requests,
    "event_callbacks": watched_events,
}


def on_demand(name):
    try:
        make = ON_DEMAND[name]
    except KeyError:
        raise AttributeError(f"module 'mod_wsgi' has no attribute '{name}'") from None
    value = make()
    if name == "LogHandler":
        sys.modules["mod_wsgi"].LogHandler = value
    return value


def complete_module(module):
    module.__getattr__ = on_demand
    module.__dir__ = lambda: sorted({*vars(module), *ON_DEMAND} - {"__getattr__", "__dir__"})
    for name in (
        "RequestTimeout",
        "process_metrics",
        "request_data",
        "request_metrics",
        "server_metrics",
        "shutdown_callbacks",
        "signal_callbacks",
        "start_recording_metrics",
        "subscribe_events",
        "subscribe_shutdown",
        "subscribe_signals",
    ):
        setattr(module, name, globals()[name])
    for function in (request_data, subscribe_events, subscribe_shutdown, subscribe_signals):
        function.__module__ = "mod_wsgi"


complete_module(sys.modules["mod_wsgi"])
