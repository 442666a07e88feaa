"""Whether something keeps this machine's clock right: what the kernel was told by chrony or another daemon.

Rule 1: it is only read (adjtimex with no mode): nobody needs a right for that, and nothing is changed.
Rule 2: nothing is guessed: where the kernel does not say, there is None.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

STA_UNSYNC = 0x40
"""linux/timex.h: nobody has set the clock for so long that it may be 16 s wrong, or nobody ever has."""


class Kept(NamedTuple):
    """What the kernel says of its clock."""

    synchronized: bool
    error_s: float  # at the most, as whoever keeps it says; 16 s when nobody does


class _Timex(ctypes.Structure):
    """The head of struct timex (linux/timex.h); the rest is not looked at."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )  # fmt: skip


def kernel() -> Kept | None:
    """None where it cannot be asked: another system, or a sandbox without adjtimex."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    found = _Timex()
    if adjtimex(ctypes.byref(found)) < 0:
        return None
    return told(found.status, found.maxerror)


def told(status: int, maxerror_us: int) -> Kept:
    """What these two fields of struct timex say."""
    return Kept(not status & STA_UNSYNC, maxerror_us / 1e6)
