"""A small Flask site: a page, a form, an upload, a stream, a session and a failure."""
from flask import Flask, Response, abort, request, session

application = Flask(__name__)
application.secret_key = "for tests only"


@application.get("/")
def index():
    return "Flask at " + request.script_root


@application.post("/form")
def form():
    return "Hello " + request.form["name"]


@application.post("/upload")
def upload():
    file = request.files["file"]
    return f"{file.filename} {len(file.read())}"


@application.get("/stream")
def stream():
    return Response((f"{number}," for number in range(5)), mimetype="text/plain")


@application.get("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@application.get("/teapot")
def teapot():
    abort(418)
