"""Flask's hello."""
from flask import Flask

application = Flask(__name__)


@application.get("/")
@application.get("/flask")
def index():
    return "Hello World!"
