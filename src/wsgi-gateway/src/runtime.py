"""The Python half of the gateway, executed once in every interpreter before any application.

Runs with the GIL of the interpreter it serves. It gets its settings and the gateway's own
functions as globals (`SETTINGS`, `write_log`, `log_message`) and must not import what takes long: an
application's start waits for it.
"""

import io
import os
import stat
import sys

# First imported here, so that a daemon's main thread is what `threading` takes for it.
import threading
import types

WARNING = 4
INFO = 6


class LogStream(io.RawIOBase):
    """What lies under sys.stdout, sys.stderr and wsgi.errors: bytes become lines of the error log."""

    name = "<wsgi.errors>"

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        write_log(data)
        return len(data)

    def close(self):
        """Does nothing: the interpreter's code shares this stream for as long as it lives."""


class FileWrapper:
    """`wsgi.file_wrapper` of PEP 3333: an iterable over blocks of a file-like object."""

    __slots__ = ("filelike", "blksize", "close", "__weakref__")

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self):
        return self

    def __next__(self):
        data = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration


FileWrapper.__module__ = "mod_wsgi"


def file_segment(wrapper):
    """The descriptor and offset that stand for the wrapped object, or None when only its read()
    knows what it holds."""
    filelike = wrapper.filelike
    # These have the descriptor of a compressed file and the position in the plain one. A text file
    # is sent as the bytes it holds; its position is one of bytes unless it exceeds 64 bits.
    if any(cls.__name__ == "BaseStream" for cls in type(filelike).__mro__):
        return None
    try:
        descriptor = filelike.fileno()
        offset = filelike.tell()
    except Exception:
        return None
    if type(descriptor) is not int or type(offset) is not int or offset < 0:
        return None
    return descriptor, offset


class ScriptUnreadable(Exception):
    """The script's file is missing, or may not be read or, when `refused`, not be executed."""

    forbidden = False
    refused = False


def open_script(path):
    """Opens the script, once it is clear that nobody but its rightful owner can have written it.

    What is checked is what is read: the descriptor of the file, and that of the directory it was
    opened in, so that nobody can put another file in its place meanwhile.
    """
    if SETTINGS["script_owner"] is None:
        return io.open_code(path)
    folder, name = os.path.split(os.path.realpath(path))
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = open(os.open(name, flags, dir_fd=directory), "rb")
        try:
            check_owner(os.fstat(file.fileno()), os.fstat(directory))
        except BaseException:
            file.close()
            raise
        return file
    finally:
        os.close(directory)


def check_owner(file, directory):
    """Raises ScriptUnreadable unless the file is the owner's, and nobody else may change it or its
    directory."""
    is_group, wanted = SETTINGS["script_owner"]
    kind, option = ("gid", "script-group") if is_group else ("uid", "script-user")
    owner = file.st_gid if is_group else file.st_uid
    others = stat.S_IWOTH if is_group else stat.S_IWOTH | stat.S_IWGRP
    reason = None
    if not stat.S_ISREG(file.st_mode):
        reason = "it is no regular file"
    elif owner != wanted:
        reason = f"it belongs to {kind} {owner}, and {option} is {kind} {wanted}"
    elif file.st_mode & others:
        reason = f"{option} is set, and others may write to it"
    elif directory.st_mode & others:
        reason = f"{option} is set, and others may write to its directory"
    if reason:
        error = ScriptUnreadable(reason)
        error.forbidden = error.refused = True
        raise error


def md5(data):
    try:
        from _md5 import md5 as function
    except ImportError:
        from hashlib import md5 as function
    return function(data, usedforsecurity=False).hexdigest()


def rebase(environ):
    """Gives the paths of an environ their form below the process's root directory; those that do not
    lie there go."""
    root = SETTINGS["root"]
    for name in PATHS:
        path = environ.get(name)
        if path == root:
            environ[name] = "/"
        elif path and path.startswith(root + "/"):
            environ[name] = path[len(root) :]
        elif path:
            del environ[name]


PATHS = (
    "SCRIPT_FILENAME",
    "DOCUMENT_ROOT",
    "CONTEXT_DOCUMENT_ROOT",
    "PATH_TRANSLATED",
    "mod_wsgi.handler_script",
)


def load(path):
    """Executes the script at `path` in a new module, which replaces an older one; returns it."""
    try:
        with open_script(path) as file:
            modified = os.fstat(file.fileno()).st_mtime_ns // 1000
            source = file.read()
    except OSError as error:
        unreadable = ScriptUnreadable(error.strerror or str(error))
        unreadable.forbidden = isinstance(error, PermissionError)
        raise unreadable from None
    name = "_mod_wsgi_" + md5(os.fsencode(path))
    code = compile(source, path, "exec", 0, True)
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
        module.__mtime__ = modified
    except BaseException:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        raise
    return module


SECOND_INTERPRETER = (
    "cannot load module more than once per process",
    "does not support loading in subinterpreters",
    "may only be initialized once per interpreter process",
    "Interpreter change detected",
)

ADVICE = (
    "An extension module of this application works in one interpreter of a process only. Give the"
    " application the main interpreter with 'WSGIApplicationGroup %{GLOBAL}' (or the option"
    " 'application-group=%{GLOBAL}'), or a daemon process group of its own."
)


OWN_GIL_ADVICE = (
    "An extension module of this application does not work in an interpreter with a GIL of its own."
    " Switch 'WSGIPerInterpreterGIL Off' for this application group in a <WSGIInterpreterOptions>"
    " section, or give the application the main interpreter with 'WSGIApplicationGroup %{GLOBAL}'."
)


def own_frames_removed(trace):
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def is_refusal(error):
    """Whether an extension module refuses the interpreter it was imported in."""
    causes = []
    while error is not None and len(causes) < 16:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return any(
        isinstance(cause, ImportError) and any(part in str(cause) for part in SECOND_INTERPRETER)
        for cause in causes
    )


def describe(error, trace):
    """The lines of the log for an exception: its traceback, and what to do if that is known."""
    try:
        from traceback import format_exception

        text = "".join(format_exception(type(error), error, own_frames_removed(trace)))
    except Exception as failure:
        text = f"{type(error).__name__} (its traceback could not be formatted: {type(failure).__name__})"
    lines = text.splitlines()
    if is_refusal(error):
        lines.append(OWN_GIL_ADVICE if own_gil else ADVICE)
    return [line.encode("utf-8", "backslashreplace") for line in lines if line.strip()]


def extend_path(home, directories):
    """Puts `home` and `directories`, with what their .pth files add, before the rest of sys.path."""
    # Left by `python -c`; the working directory of a server is no place for modules.
    sys.path[:] = [entry for entry in sys.path if entry]
    if directories:
        import site

        before = list(sys.path)
        for directory in directories:
            if not os.path.exists(directory):
                log_message(WARNING, f"'{directory}' on the module search path does not exist")
            log_message(INFO, f"adding '{directory}' to the module search path")
            site.addsitedir(directory)
        added = [entry for entry in sys.path if entry not in before]
        named = [entry for entry in directories if entry in before]
        front = list(dict.fromkeys([*named, *added]))
        sys.path[:] = front + [entry for entry in before if entry not in front]
    if home is not None and home not in sys.path[:1]:
        sys.path.insert(0, home)


class Restricted:
    """Stands for a stream that the configuration forbids; whatever is done with it is an error."""

    __slots__ = ("_stream", "_directive")

    def __init__(self, stream, directive):
        object.__setattr__(self, "_stream", stream)
        object.__setattr__(self, "_directive", directive)

    def __getattribute__(self, name):
        if name == "__class__":
            return Restricted
        stream = object.__getattribute__(self, "_stream")
        directive = object.__getattribute__(self, "_directive")
        raise OSError(f"{stream} access restricted by mod_wsgi: {directive} is On")

    def __setattr__(self, name, value):
        getattr(self, name)

    def __iter__(self):
        return self.read


Restricted.__module__ = "mod_wsgi"


def restrict_signals():
    """Keeps applications from replacing the process's signal handlers, which end it in order."""
    import signal

    register = signal.signal

    def ignored(number, handler):
        """Registers nothing: the process's signals belong to the server (WSGIRestrictSignal)."""
        from traceback import format_stack

        log_message(INFO, f"signal handler for signal {int(number)} ignored (WSGIRestrictSignal)")
        for line in "".join(format_stack(sys._getframe(1))).splitlines():
            log_message(INFO, line)
        return handler

    def restore():
        signal.signal = register

    signal.signal = ignored
    # A process that an application forks for itself has signals of its own.
    os.register_at_fork(after_in_child=restore)


own_gil = False


def enter(options):
    """Applies what the configuration says for the application group that gets this interpreter."""
    global own_gil
    own_gil = options["own_gil"]
    extend_path(SETTINGS["home"], options["python_path"] + SETTINGS["python_path"])
    if options["switch_interval"] is not None:
        sys.setswitchinterval(options["switch_interval"])
    if options["restrict_stdin"]:
        sys.stdin = Restricted("sys.stdin", "WSGIRestrictStdin")
    if options["restrict_stdout"]:
        sys.stdout = Restricted("sys.stdout", "WSGIRestrictStdout")
    if options["restrict_signal"]:
        restrict_signals()
    if SETTINGS["telemetry_interval"] is not None:
        group = sys.modules["mod_wsgi"].application_group
        watch_collector(group, SETTINGS["telemetry_interval"])


def make_modules():
    """The modules `mod_wsgi` and `apache`, which applications import to learn where they run."""
    module = types.ModuleType("mod_wsgi", "The server an application runs in.")
    module.version = SETTINGS["version"]
    module.process_group = SETTINGS["process_group"]
    module.application_group = SETTINGS["application_group"]
    module.maximum_processes = SETTINGS["processes"]
    module.threads_per_process = SETTINGS["threads"]
    module.FileWrapper = FileWrapper
    package = os.path.join(SETTINGS["directory"], "mod_wsgi")
    if os.path.isdir(package):
        module.__path__ = [package]
    sys.modules["mod_wsgi"] = module
    apache = types.ModuleType("apache", "The server in front of the application.")
    apache.version = SETTINGS["apache_version"]
    apache.maximum_processes = SETTINGS["apache_processes"]
    apache.threads_per_process = SETTINGS["apache_threads"]
    for name in ("description", "build_date", "mpm_name"):
        setattr(apache, name, SETTINGS[name])
    sys.modules.setdefault("apache", apache)


def name_application_group(name):
    """Tells applications the name of their group, for the main interpreter learns it later."""
    sys.modules["mod_wsgi"].application_group = name


def freeze():
    """Readies the interpreter to be forked; the names of the threads that would be lost, if any are
    alive.

    The collector writes to what it looks at, which would give each process a copy of its own of all
    that is loaded.
    """
    main = threading.main_thread()
    names = [os.fsencode(repr(thread.name)) for thread in threading.enumerate() if thread is not main]
    if not names:
        import gc

        gc.collect()
        gc.freeze()
    return names


def join_threads():
    """Waits for the threads of the application that are no daemons, as Python does at its end."""
    # Python would wait for its main thread as well. In a second interpreter that is the request
    # thread which made it, so this one takes its place.
    main = threading._main_thread
    main._ident = threading.get_ident()
    lock = getattr(main, "_tstate_lock", None)
    if lock is not None:
        lock.acquire(False)
    threading._shutdown()


def end():
    """What Python does at the end of a process, as far as applications can see it."""
    failures = []
    import atexit

    for step in (join_threads, atexit._run_exitfuncs):
        try:
            step()
        except BaseException as error:
            failures.extend(describe(error, error.__traceback__))
    errors.flush()
    return failures


errors = io.TextIOWrapper(
    LogStream(), encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=True
)
sys.stdout = sys.stderr = errors
sys.argv = ["mod_wsgi"]
make_modules()
