"""The recipe for debugging: a middleware that logs what goes in and what comes out."""
import pprint


class LoggingInput:
    def __init__(self, stream, errors):
        self.stream = stream
        self.errors = errors

    def read(self, *size):
        data = self.stream.read(*size)
        print(f"INPUT {data!r}", file=self.errors)
        return data


class Logging:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        errors = environ["wsgi.errors"]
        print("REQUEST", environ["REQUEST_METHOD"], environ["PATH_INFO"], file=errors)
        pprint.pprint({"SCRIPT_NAME": environ["SCRIPT_NAME"]}, stream=errors)
        environ["wsgi.input"] = LoggingInput(environ["wsgi.input"], errors)

        def logging_start_response(status, headers, *exc_info):
            print("RESPONSE", status, file=errors)
            write = start_response(status, headers, *exc_info)

            def logging_write(data):
                print(f"WRITE {data!r}", file=errors)
                write(data)

            return logging_write

        for data in self.application(environ, logging_start_response):
            print(f"OUTPUT {data!r}", file=errors)
            yield data


def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    return [b"then ", body]


application = Logging(application)
