"""An application that is made from the first request's environ, as Trac's scripts are."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.stdout = sys.stderr


def application(environ, start_response):
    os.environ["SITE_ENV"] = environ.get("site.env", "unset")
    environ.setdefault("site.env", "unset")
    os.environ["PYTHON_EGG_CACHE"] = "/nonexistent"
    from stand_in import make_application

    return make_application("lazy:" + os.environ["SITE_ENV"])(environ, start_response)
