"""What the C library is told about this process's memory: mallopt(3), malloc_trim(3). Another one than glibc
is told nothing, and a process takes some MiB more.

Rule 1: one arena for all threads: with several, each holds back what was freed in it. Threads of ours hold
        Python's lock when they ask for memory, so that they hardly wait for one another (decisions/0023).
Rule 2: what is free goes back to the system again and again: a start and a burst use more than what follows.
"""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
ARENAS = 1


def one_arena() -> bool:
    """Before there is a second thread. Whether the C library knows it."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS))
    except (OSError, AttributeError):
        return False


def give_back() -> None:
    """What is free goes to the system. Under a millisecond, in which other threads wait for memory."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)
