"""Tells what `server_metrics()` gives: on the request's thread, or with `?thread` on another."""
import os
import threading

import mod_wsgi


def told(metrics):
    if metrics is None:
        return "None"
    children = [process for process in metrics["processes"] if process["pid"]]
    workers = [worker for process in children for worker in process["workers"]]
    busy = [worker for worker in workers if worker["status"] not in "._"]
    facts = {
        "keys": sorted(metrics),
        "process_keys": sorted(metrics["processes"][0]),
        "worker_keys": sorted(workers[0]),
        "places": len(metrics["processes"]),
        "limit": metrics["server_limit"],
        "pids": sorted(process["pid"] for process in children),
        "busy": len(busy),
        "times": metrics["restart_time"] < metrics["current_time"],
        "running": metrics["running_time"],
    }
    return "".join(f"{name}\t{value!r}\n" for name, value in facts.items())


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"] != "thread":
        return [told(mod_wsgi.server_metrics()).encode()]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(told(mod_wsgi.server_metrics())))
    thread.start()
    thread.join()
    return [answers[0].encode()]
