"""The users of the project for Apache's own authentication, as Django's documentation has it."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
os.environ["SITE_STATE"] = os.path.join(HERE, "..", "..", "state")

import django

django.setup()

from django.contrib.auth.handlers.modwsgi import check_password, groups_for_user
