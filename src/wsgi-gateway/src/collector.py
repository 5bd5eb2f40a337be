"""What the garbage collector does, for a telemetry service (WSGITelemetryService).

Executed after `runtime.py` in the same namespace. Python calls `collected` at both ends of each
collection, on whichever thread it falls, where nobody waits for the service.
"""


def watch_collector(application_group, interval):
    """Reports each collection of this interpreter, and its collector at most every `interval` seconds."""
    import gc
    from time import perf_counter_ns, time_ns

    # A collection does not begin inside another one of the same interpreter.
    began = [0, 0]
    told = [0.0]
    group = application_group.encode("latin-1")

    def tell_state(now):
        told[0] = now
        stats = gc.get_stats()
        numbers = [*gc.get_count(), *gc.get_threshold()]
        for key in ("collections", "collected", "uncollectable"):
            numbers += [generation[key] for generation in stats]
        # The last counts reports that were lost before they could be sent; here they are sent at once.
        numbers += [int(gc.isenabled()), gc.get_freeze_count(), 0]
        report_collector(group, numbers)

    def collected(phase, info):
        now = perf_counter_ns()
        if phase == "start":
            began[:] = time_ns() // 1000, now
            return
        took = (now - began[1]) // 1000
        numbers = [info[key] for key in ("generation", "collected", "uncollectable")]
        report_collection(group, [began[0], took, *numbers])
        if now - told[0] >= interval * 1e9:
            tell_state(now)

    gc.callbacks.append(collected)
    tell_state(perf_counter_ns())
