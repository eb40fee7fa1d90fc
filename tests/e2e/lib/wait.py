"""Waiting with a deadline instead of sleeping for a fixed time."""

import time


def eventually(check, timeout=5.0, what=None, interval=0.01):
    """Calls check() until it returns something true, and returns that.

    An AssertionError or OSError from check() counts as "not yet"; after `timeout` seconds
    AssertionError is raised with the last reason.
    """
    deadline = time.monotonic() + timeout
    reason = None
    while True:
        try:
            value = check()
            if value:
                return value
            reason = f"last value: {value!r}"
        except (AssertionError, OSError) as e:
            reason = f"last error: {e!r}"
        if time.monotonic() >= deadline:
            name = what or getattr(check, "__name__", "condition")
            raise AssertionError(f"{name}: not within {timeout} s; {reason}")
        time.sleep(interval)
        interval = min(interval * 1.5, 0.1)
