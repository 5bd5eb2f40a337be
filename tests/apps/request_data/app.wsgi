"""Uses what belongs to the request that runs."""
import threading

import mod_wsgi
from mod_wsgi import request_data


def outside():
    try:
        request_data()
    except RuntimeError as error:
        return str(error)


LOADING = outside()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    query = environ["QUERY_STRING"]
    if query == "active":
        mine = mod_wsgi.active_requests[environ["mod_wsgi.request_id"]]
        answer = f"{len(mod_wsgi.active_requests)} {mine is request_data()}"
    elif query == "outside":
        seen = []
        thread = threading.Thread(target=lambda: seen.append(outside()))
        thread.start()
        thread.join()
        answer = f"{seen[0]}\n{LOADING}"
    else:
        request_data()["words"] = [query]
        request_data()["words"].append("again")
        answer = repr(request_data())
    return [answer.encode()]
