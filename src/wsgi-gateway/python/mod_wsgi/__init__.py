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
