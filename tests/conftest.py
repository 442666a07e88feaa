"""Of all tests."""

import gc


def pytest_collection_finish() -> None:
    """What was imported stays: no collection need look at it. firmware/lazy.py collects at each call."""
    gc.collect()
    gc.freeze()
