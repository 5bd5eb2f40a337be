"""The script that is the program of its process: that of a group without request threads.

Executed once in every interpreter and used in the main one, on the process's main thread, with the
same globals as `runtime.py`.
"""


class ProgramStopped(SystemExit):
    """Raised in the program by a signal that ends its process, wherever it is; it may clean up."""


def run_program(path):
    """Executes the script at `path` to its end. Returns the reason why it ended and the process's exit
    status, which is empty if another process is to take its place at once."""
    import signal

    def stop(number, frame):
        raise ProgramStopped(number)

    reasons = {
        signal.SIGTERM: (b"shutdown_signal", b"0"),
        signal.SIGUSR1: (b"graceful_signal", b""),
        signal.SIGXCPU: (b"cpu_time_limit", b""),
    }
    for number in reasons:
        signal.signal(number, stop)
    try:
        load(path)
        return [b"program_end", b"0"]
    except ProgramStopped as stopped:
        return list(reasons[stopped.code])
    except KeyboardInterrupt:
        return [b"shutdown_signal", b""]
    except SystemExit as left:
        return [b"program_end", exit_status(left.code)]
    finally:
        # What comes now ends the process at once, unless the program has handlers of its own.
        for number in reasons:
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_DFL)


def exit_status(code):
    """What Python makes of the argument of sys.exit()."""
    if code is None:
        return b"0"
    if isinstance(code, int):
        return b"%d" % (code & 255)
    print(code, file=sys.stderr)
    return b"1"
