"""Sends the file "sent" of the state directory by wsgi.file_wrapper in the way its query names."""
import io
import os


class Wrapped:
    def __init__(self, iterable):
        self.iterable = iterable

    def __iter__(self):
        return iter(self.iterable)


class NotAFile:
    """Has read() only."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


class Marking(io.FileIO):
    """Marks that it was closed by what uses it."""

    def close(self):
        if not self.closed:
            open(os.path.join(os.path.dirname(self.name), "file-closed"), "a").write("closed\n")
        super().close()


def application(environ, start_response):
    case = environ["QUERY_STRING"]
    path = os.path.join(environ["TEST_STATE"], "sent")
    wrapper = environ["wsgi.file_wrapper"]
    headers = [("Content-Type", "application/octet-stream")]
    if case == "length":
        headers.append(("Content-Length", "1000"))
    start_response("200 OK", headers)
    if case == "bytesio":
        return wrapper(io.BytesIO(b"from memory"), 4)
    if case == "readonly":
        return wrapper(NotAFile(b"from an object"), 4)
    if case == "pipe":
        read_end, write_end = os.pipe()
        os.write(write_end, b"from a pipe")
        os.close(write_end)
        return wrapper(os.fdopen(read_end, "rb"))
    file = Marking(path)
    if case == "offset":
        file.seek(100)
    if case == "wrapped":
        return Wrapped(wrapper(file))
    return wrapper(file, 8192)
