"""The station's clock inside the simulator: real time, or real time bent by a timeline.

Every process of a simulated station reads the same timeline file (protocol.timeline), so that the
instruments, the device and the gateway agree on the station's time at any speed. Without a file it is
the machine's own clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from protocol.timeline import Timeline

WAIT_MAX_S = 0.5  # longest sleep before looking at the clock again: a stepped real clock is noticed by then


def load_timeline(path: Path | str | None) -> Timeline | None:
    """Read a timeline file; None for no path. Raises OSError or ValueError for a file that is not one."""
    if path is None:
        return None
    return Timeline(json.loads(Path(path).read_text(encoding="utf-8"))["segments"])


def write_timeline(path: Path | str, segments: list[list[float]]) -> None:
    """Write a timeline file whole or not at all: the processes that share it may be starting already."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps({"segments": segments}), encoding="utf-8")
    temporary.replace(path)


def mono_ms() -> float:
    """CLOCK_MONOTONIC in ms: the one clock that all processes of a machine share and nobody steps."""
    return time.monotonic_ns() / 1e6


class SimClock:
    """Station time in Unix ms, and sleeping until a station time."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        self._timeline = timeline

    @classmethod
    def from_file(cls, path: Path | str | None) -> SimClock:
        return cls(load_timeline(path))

    @classmethod
    def from_segments(cls, segments: list[list[float]]) -> SimClock:
        """A clock from [[mono_ms, station_ms, speed], ...], whole ms."""
        return cls(Timeline(segments))

    def now_ms(self) -> int:
        """Station time, Unix ms."""
        if self._timeline is None:
            return time.time_ns() // 1_000_000
        return self._timeline.at(mono_ms())

    def speed(self) -> float:
        """Station seconds in a real second, now."""
        return 1.0 if self._timeline is None else self._timeline.speed_at(mono_ms())

    def real_s_until(self, station_ms: int) -> float:
        """Real seconds until the station's clock shows `station_ms`; 0 when it has been."""
        if self._timeline is None:
            return max(0.0, station_ms / 1000 - time.time())
        return max(0.0, (self._timeline.when(station_ms) - mono_ms()) / 1000)

    async def sleep_until(self, station_ms: int) -> None:
        """Return at or just after `station_ms`, never before; always lets other tasks run once."""
        await asyncio.sleep(0)
        while self.now_ms() < station_ms:
            # One ms more than nothing: a wait of exactly 0 would spin when `at` rounds down.
            await asyncio.sleep(min(WAIT_MAX_S, max(0.0005, self.real_s_until(station_ms))))
