"""Which imported modules have changed on disk (WSGIModuleReloading).

Executed after `runtime.py` in the same namespace. `changed_modules` is called between requests, at
most once a second, and looks at the modules of applications only: what belongs to Python or was
installed into it changes with a restart.
"""

seen_modules = {}


def installed_directories():
    """Where Python and what is installed into it lie, each with a separator at its end."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    directories = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    directories.update(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        directories.add(site.getusersitepackages())
    return tuple(os.path.join(os.path.realpath(directory), "") for directory in directories)


def source_of(module):
    """The file to watch for a module, or None for one that is not the application's."""
    global installed
    try:
        path = module.__spec__.origin
    except AttributeError:
        return None
    if not isinstance(path, str) or not os.path.isabs(path):
        return None
    if installed is None:
        installed = installed_directories()
    return None if os.path.realpath(path).startswith(installed) else path


installed = None


def modified(path):
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        # Being replaced by an editor, or gone: what is loaded goes on.
        return None


def changed_modules():
    """The names of modules whose files changed since they were first seen here; tells each change
    once."""
    changed = []
    for name, module in list(sys.modules.items()):
        known = seen_modules.get(name)
        if known is None or known[0] is not module:
            path = source_of(module)
            seen_modules[name] = (module, path, path and modified(path))
            continue
        path, before = known[1:]
        now = path and modified(path)
        if now is not None and now != before:
            seen_modules[name] = (module, path, now)
            changed.append(f"{name} ({path})".encode("utf-8", "backslashreplace"))
    return changed
