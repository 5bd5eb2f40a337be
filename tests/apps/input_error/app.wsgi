"""Notes what reading its input raises, then answers."""
import os


def application(environ, start_response):
    try:
        note = "read %d bytes" % len(environ["wsgi.input"].read(-1))
    except Exception as error:
        note = f"{type(error).__name__}: {error}"
    with open(os.path.join(environ["TEST_STATE"], "input_error"), "w") as file:
        file.write(note)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [note.encode()]
