"""The recipe that adds a virtual environment's packages in the script, before those of Python."""
import os
import site
import sys

before = list(sys.path)
HERE = os.path.dirname(os.path.abspath(__file__))
site.addsitedir(os.path.join(HERE, "site-packages"))
sys.path[:] = [path for path in sys.path if path not in before] + before

import from_the_environment
import from_a_path_file


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{from_the_environment.NAME} {from_a_path_file.NAME}".encode()]
