"""Three callables, told apart by their answers."""


def answer(text):
    def callable_object(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text, b" ", environ["mod_wsgi.callable_object"].encode()]

    return callable_object


application = answer(b"default")
other = answer(b"other")
third = answer(b"third")
not_callable = 42
