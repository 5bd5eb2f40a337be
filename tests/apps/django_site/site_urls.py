"""URLs of the test project: the admin and an upload form that keeps a note of each file."""
import hashlib

from django import forms
from django.contrib import admin
from django.http import HttpResponse
from django.template import engines
from django.urls import path

from notes.models import Note

PAGE = """<form method="post" enctype="multipart/form-data">{% csrf_token %}{{ form }}</form>"""


class UploadForm(forms.Form):
    file = forms.FileField()


def upload(request):
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        digest = hashlib.sha256(file.read()).hexdigest()
        Note.objects.create(text=f"{file.name} {file.size} {digest}")
        return HttpResponse(Note.objects.latest("id").text, content_type="text/plain")
    page = engines["django"].from_string(PAGE)
    return HttpResponse(page.render({"form": form}, request))


urlpatterns = [path("admin/", admin.site.urls), path("upload/", upload)]
