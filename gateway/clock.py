"""The gateway's one clock.

Rule 1: nothing else in `gateway/` calls `time.time()` or sleeps until a wall-clock instant.
Rule 2: station time is Unix milliseconds; durations that must not jump are taken from `mono_ns()`.
Rule 3: a simulated clock says so (`simulated`), and whoever starts the gateway with one sees it in the log.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from gateway import timekeeping
from protocol.timeline import Timeline

SLEEP_MAX_S = 1.0
"""Longest single sleep, so that a step of the wall clock is noticed within a second."""


class Clock:
    """Station time, read from the system or (simulation only) from a timeline.

    A timeline maps CLOCK_MONOTONIC milliseconds to station milliseconds; every process of a simulated
    station reads the same file, so that instruments, device and gateway agree as real ones would through NTP.
    """

    def __init__(self, timeline: Timeline | None = None):
        self._timeline = timeline
        self.simulated = timeline is not None
        self.floor_ms = 0
        """A moment that has certainly been: what was written then is in the journal."""

    @classmethod
    def from_file(cls, path: Path) -> Clock:
        """A simulated clock from a JSON file `{"segments": [[mono_ms, station_ms, speed], ...]}`."""
        return cls(Timeline(json.loads(path.read_text(encoding="utf-8"))["segments"]))

    @property
    def trusted(self) -> bool:
        """Whether anybody may believe this time: a board without a battery may wake up in the past."""
        return self.now_ms() >= self.floor_ms

    def kept(self) -> timekeeping.Kept | None:
        """Whether a time server keeps it right; None for a simulated one, and where nobody says."""
        return None if self.simulated else timekeeping.kernel()

    def now_ms(self) -> int:
        """Station time, Unix milliseconds."""
        if self._timeline is None:
            return time.time_ns() // 1_000_000
        return self._timeline.at(time.monotonic_ns() / 1e6)

    def mono_ns(self) -> int:
        """A nanosecond count that never steps; real time even in a simulation."""
        return time.monotonic_ns()

    def real_s(self, station_s: float) -> float:
        """How many real seconds a span of station time takes that begins now."""
        return max(0.0, self._seconds_until(self.now_ms() + round(station_s * 1000)))

    async def sleep_until(self, station_ms: int) -> None:
        """Return soon after the first moment with `now_ms() >= station_ms`, never before it, whatever steps
        the clock makes meanwhile.
        """
        while True:
            seconds = self._seconds_until(station_ms)
            if seconds <= 0:
                return
            await asyncio.sleep(min(seconds, SLEEP_MAX_S))

    async def sleep(self, station_s: float) -> None:
        """Sleep for a span of station time, in seconds."""
        await self.sleep_until(self.now_ms() + round(station_s * 1000))

    def _seconds_until(self, station_ms: int) -> float:
        if self._timeline is None:
            return (station_ms - self.now_ms()) / 1000
        if self.now_ms() >= station_ms:
            return 0.0
        return max(0.0005, self._timeline.when(station_ms) / 1000 - time.monotonic_ns() / 1e9)
