"""A Django 5 project with the admin on SQLite and an upload form."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
os.environ["SITE_STATE"] = os.path.join(HERE, "..", "..", "state")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
