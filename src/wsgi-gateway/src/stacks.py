"""Where the threads of this interpreter are, for the log of a daemon that is stuck.

Executed after `runtime.py` in the same namespace. `faulthandler` looks at threads without running
any of their code and without making objects, so it is right with several interpreters as well.
"""


def watch_stacks(number, descriptor):
    """From now on signal `number` writes the stacks to `descriptor`, whoever holds the GIL."""
    import faulthandler

    faulthandler.register(number, descriptor, all_threads=True, chain=False)


def dump_stacks(descriptor):
    import faulthandler

    faulthandler.dump_traceback(descriptor, all_threads=True)
