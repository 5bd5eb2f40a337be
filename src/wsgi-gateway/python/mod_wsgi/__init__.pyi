# What type checkers and editors know of the module that the server gives to applications.

from collections.abc import Callable
from typing import IO, Any

version: tuple[int, int, int]
process_group: str | None
application_group: str | None
maximum_processes: int
threads_per_process: int

class FileWrapper:
    filelike: IO[bytes]
    blksize: int
    close: Callable[[], Any]
    def __init__(self, filelike: IO[bytes], blksize: int = ...) -> None: ...
    def __iter__(self) -> FileWrapper: ...
    def __next__(self) -> bytes: ...
