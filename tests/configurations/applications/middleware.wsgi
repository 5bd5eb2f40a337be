"""An object whose middleware sets the mount point, under another name than `application`."""
import os
import site

site.addsitedir(os.path.dirname(os.path.abspath(__file__)))

from stand_in import make_application  # noqa: E402


class ScriptNameStripper:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        environ["SCRIPT_NAME"] = ""
        return self.app(environ, start_response)


app = ScriptNameStripper(make_application("middleware"))
