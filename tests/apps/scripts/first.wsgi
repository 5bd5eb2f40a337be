"""The first script of a directory that is mapped as a whole."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["first {SCRIPT_NAME} {PATH_INFO}".format_map(environ).encode()]
