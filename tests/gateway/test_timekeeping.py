"""gateway/timekeeping.py: what the kernel says of its clock."""

from __future__ import annotations

import time

from gateway import timekeeping
from gateway.clock import Clock
from gateway.timekeeping import STA_UNSYNC, kernel, told
from protocol.timeline import Timeline


def test_the_real_kernel_answers_and_nothing_is_set():
    before = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    found = kernel()
    after = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    assert found is not None and 0 <= found.error_s < 1e6
    assert abs(after - before) < 0.5


def test_the_status_bit_decides():
    assert told(0x2001, 1500) == (True, 0.0015)
    assert told(0x2001 | STA_UNSYNC, 16_000_000) == (False, 16.0)


def test_where_nobody_says_there_is_none(monkeypatch):
    class Nothing:
        def __init__(self, name):
            pass

    monkeypatch.setattr(timekeeping.ctypes, "CDLL", Nothing)
    assert kernel() is None


def test_a_simulated_clock_is_kept_by_nobody():
    assert Clock(Timeline([[0, 0, 1]])).kept() is None
    assert Clock().kept() == kernel() or Clock().kept() is not None
