"""One gateway for one state directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import JournalError

LOOK_S = 0.1


@contextlib.contextmanager
def lock(path: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold `path` locked; it contains our process id. JournalError when another process holds it for longer.

    The kernel gives the lock back when the process ends, however it ends, so a stale file means nothing.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _held(handle):
            if patience_s <= 0:
                other = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
                raise JournalError(
                    f"Another gateway (process {other}) already works in {path.parent}: stop it first, "
                    "or give this one a state_dir of its own."
                )
            time.sleep(LOOK_S)
            patience_s -= LOOK_S
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def _held(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
