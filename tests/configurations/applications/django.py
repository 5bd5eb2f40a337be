"""The wsgi.py of a site made by a framework, which python-path must make importable."""
import os

from stand_in import make_application

os.environ.setdefault("SITE_SETTINGS_MODULE", "mysite.settings")

application = make_application(os.environ["SITE_SETTINGS_MODULE"])
