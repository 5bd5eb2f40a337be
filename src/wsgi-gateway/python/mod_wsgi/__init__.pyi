# What type checkers and editors know of the module that the server gives to applications.

import logging
from collections.abc import Callable
from typing import IO, Any, TypeVar

version: tuple[int, int, int]
process_group: str | None
application_group: str | None
maximum_processes: int
threads_per_process: int

# A subscriber gets an event's name and fields, and may return fields to be added.
_Callback = TypeVar("_Callback", bound=Callable[..., dict[str, Any] | None])

event_callbacks: list[Callable[..., Any]]
shutdown_callbacks: list[Callable[..., Any]]
signal_callbacks: list[Callable[..., Any]]
active_requests: dict[str, dict[Any, Any]]

def subscribe_events(callback: _Callback) -> _Callback: ...
def subscribe_shutdown(callback: _Callback) -> _Callback: ...
def subscribe_signals(callback: _Callback) -> _Callback: ...
def request_data() -> dict[Any, Any]: ...

def start_recording_metrics() -> None: ...

# None where nothing is recorded for the application.
def request_metrics() -> dict[str, Any] | None: ...
def process_metrics() -> dict[str, Any] | None: ...

# None where the configuration does not allow it, and in a daemon outside of a request's thread.
def server_metrics() -> dict[str, Any] | None: ...

class RequestTimeout(BaseException): ...

class LogHandler(logging.Handler): ...

class FileWrapper:
    filelike: IO[bytes]
    blksize: int
    close: Callable[[], Any]
    def __init__(self, filelike: IO[bytes], blksize: int = ...) -> None: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...
