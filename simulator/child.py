"""Child processes that never outlive whoever started them."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: after a fork it may be too late


def dying_with_parent() -> Callable[[], None]:
    """A preexec_fn: SIGKILL for the child when its parent is gone, however it went (Linux prctl(2))."""
    return partial(_die_with, os.getpid())


def _die_with(parent: int) -> None:
    # Runs in the child between fork and exec: nothing here may take a lock.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent was gone before the signal was set
        os._exit(1)
