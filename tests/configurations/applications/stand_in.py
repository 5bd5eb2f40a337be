"""Stands in for a web application's package: tells what it was asked and where it runs."""
import os


def make_application(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        text = "{} {}|{} user={} group={} interpreter={} authorization={}".format(
            name,
            environ["SCRIPT_NAME"],
            environ["PATH_INFO"],
            environ.get("REMOTE_USER", "-"),
            environ["mod_wsgi.process_group"],
            environ["mod_wsgi.application_group"],
            environ.get("HTTP_AUTHORIZATION", "-"),
        )
        return [text.encode()]

    return application


def script_name(path):
    return os.path.basename(path)
