"""Answers headers of every awkward kind."""


def application(environ, start_response):
    headers = [
        ("Content-Type", "text/plain; Charset=UTF-8"),
        ("X-Repeated", "one"),
        ("X-Repeated", "two"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2; Path=/"),
        ("X-Latin", "caf\xe9"),
        ("X-Empty", ""),
        ("ETag", '"abc"'),
    ]
    headers.extend((f"X-Many-{number}", str(number)) for number in range(60))
    start_response("200 Quite Fine", headers)
    return [b"body"]
