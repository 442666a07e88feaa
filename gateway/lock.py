"""One gateway for one state directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import JournalError


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` locked; it contains our process id. JournalError when another process holds it.

    The kernel gives the lock back when the process ends, however it ends, so a stale file means nothing.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise JournalError(
                f"Another gateway (process {other}) already works in {path.parent}: stop it first, "
                "or give this one a state_dir of its own."
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)
