"""When the demo's station lives: the timeline that instruments, device and gateway share.

A new station first lives through forty minutes in a few seconds, so that a newcomer sees files at once; then
its clock runs at the asked speed. A station that is continued goes on where it stopped, never earlier.
"""

from __future__ import annotations

import time
from pathlib import Path

from protocol.timeline import Timeline
from simulator.clock import mono_ms, write_timeline

WINDOW_MS = 300_000
LEAD_MS = 1_500
"""Real milliseconds in which everything connects before the first poll is due."""
PRELUDE_WINDOWS = 8
PRELUDE_SPEED = 150
"""Station seconds a second while a new station catches up. Instruments change every ten seconds and are read
half-way between: at this speed a pause of 30 ms of a busy machine does not make it the next value."""


def new_segments(now_mono_ms: int, unix_ms: int, speed: float) -> list[list[float]]:
    """A station that has not lived yet: forty minutes until now in a few seconds, then `speed`."""
    start = unix_ms // WINDOW_MS * WINDOW_MS - PRELUDE_WINDOWS * WINDOW_MS
    prelude_ms = PRELUDE_WINDOWS * WINDOW_MS
    prelude_speed = max(PRELUDE_SPEED, speed)
    go = now_mono_ms + LEAD_MS
    return [
        [now_mono_ms, start - LEAD_MS, 1],
        [go, start, prelude_speed],
        [go + round(prelude_ms / prelude_speed), start + prelude_ms, speed],
    ]


def continued_segments(now_mono_ms: int, last_ms: int, speed: float) -> list[list[float]]:
    """A station that lived until `last_ms`: on from the next full second."""
    start = (last_ms // 1000 + 1) * 1000
    return [[now_mono_ms, start, 1], [now_mono_ms + LEAD_MS, start + LEAD_MS, speed]]


def fix_timeline(path: Path, last_ms: int | None, speed: float) -> Timeline:
    """Fix the timeline from this moment on and write it for every process; returns it.

    last_ms: the last station time of an earlier run, None for a new station.
    """
    now = int(mono_ms())
    if last_ms is None:
        segments = new_segments(now, time.time_ns() // 1_000_000, speed)
    else:
        segments = continued_segments(now, last_ms, speed)
    write_timeline(path, segments)
    return Timeline(segments)
