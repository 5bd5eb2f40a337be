"""Tells about the process and interpreter it runs in: name, tab, repr."""
import locale
import os
import sys
import threading


def facts(environ):
    yield "pid", os.getpid()
    yield "uid", os.geteuid()
    yield "gid", os.getegid()
    yield "groups", sorted(os.getgroups())
    umask = os.umask(0)
    os.umask(umask)
    yield "umask", umask
    yield "cwd", os.getcwd()
    yield "home", os.environ.get("HOME")
    yield "logname", os.environ.get("LOGNAME")
    yield "lang", os.environ.get("LANG")
    yield "lc_all", os.environ.get("LC_ALL")
    yield "variables", sorted(os.environ)
    yield "locale", locale.setlocale(locale.LC_CTYPE)
    yield "path", sys.path
    yield "prefix", sys.prefix
    yield "executable", sys.executable
    yield "version", "%d.%d" % sys.version_info[:2]
    yield "argv", sys.argv
    yield "encoding", sys.getfilesystemencoding()
    yield "module", __name__
    yield "file", __file__
    yield "process_group", environ["mod_wsgi.process_group"]
    yield "application_group", environ["mod_wsgi.application_group"]
    yield "main_thread_known", threading.main_thread() is not None


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{name}\t{value!r}\n".encode() for name, value in facts(environ)]
