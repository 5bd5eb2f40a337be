"""Django's hello, in one file."""
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path


def index(request):
    return HttpResponse("Hello World!", content_type="text/plain")


urlpatterns = (path("", index), path("django", index))
if not settings.configured:
    settings.configure(ROOT_URLCONF=urlpatterns, ALLOWED_HOSTS=["*"], SECRET_KEY="for tests only", MIDDLEWARE=[])

application = get_wsgi_application()
