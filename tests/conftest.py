"""Of all tests."""

import contextlib
import gc
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: what the tests start would be deaf to Ctrl-C, too.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported stays: no collection need look at it. firmware/lazy.py collects at each call."""
    gc.collect()
    gc.freeze()
