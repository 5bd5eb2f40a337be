"""Returns the kind of body its query names."""


def generate():
    yield b"gen"
    yield b""
    yield b"erator"


class Sequence:
    def __getitem__(self, index):
        return [b"get", b"item"][index]


BODIES = {
    "list": lambda: [b"li", b"st"],
    "tuple": lambda: (b"tu", b"ple"),
    "generator": generate,
    "getitem": Sequence,
    "bytes": lambda: b"bytes",
    "empty-list": list,
    "empty-strings": lambda: [b"", b""],
    "str": lambda: ["text"],
    "str-late": lambda: [b"sent", "text"],
    "bytearray": lambda: [bytearray(b"array")],
    "none": lambda: None,
    "number": lambda: 42,
    "hundred": lambda: (b"%03d" % number for number in range(100)),
}


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return BODIES[environ["QUERY_STRING"]]()
