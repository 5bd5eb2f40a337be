"""Cannot be compiled."""
def application(environ, start_response:
