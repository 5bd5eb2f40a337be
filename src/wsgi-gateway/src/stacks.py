"""Where the threads of this interpreter are, for the log of a daemon that is stuck.

Executed after `runtime.py` in the same namespace. `faulthandler` looks at threads without running
any of their code and without making objects, so it is right with several interpreters as well.
Interpreters with a GIL of their own may refuse it (CPython 3.13 does): theirs cannot be seen.
"""


def watch_stacks(number, descriptor):
    """From now on signal `number` writes the stacks to `descriptor`, whoever holds the GIL. Whether
    that is possible."""
    try:
        import faulthandler
    except ImportError:
        return False
    faulthandler.register(number, descriptor, all_threads=True, chain=False)
    return True


def dump_stacks(descriptor):
    try:
        import faulthandler
    except ImportError:
        return
    faulthandler.dump_traceback(descriptor, all_threads=True)
