# Written by wsgi-express: loads the application that --application-type module names.
import importlib

_found = importlib.import_module(@MODULE@)
for _name in @CALLABLE@.split("."):
    _found = getattr(_found, _name)
application = _found
