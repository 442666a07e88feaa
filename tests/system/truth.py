"""What the department should have received, worked out from the simulator's truth and what was read of it.

Independent on purpose: it reads the files by the format's rules and averages by arithmetic of its own, and
imports nothing of the gateway. Which readings were taken, and when, it is told (journal.py).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from math import fsum
from pathlib import Path
from typing import NamedTuple

GMT7 = timezone(timedelta(hours=7))
WINDOW_MS = 300_000
CLOCK_MS = 500
"""How far a device's clock may be ahead: it counts whole ms, each 150 of the station's in the demo."""


class Line(NamedTuple):
    symbol: str
    value: str
    unit: str
    stamp: str
    status: str


class Reading(NamedTuple):
    """A row of the journal; `value` is None where it is a reason."""

    entry: int  # its place in the journal
    time_ms: int
    arrived_ms: int  # when the gateway had it
    told: bool  # by a clock that had been told the time
    value: float | None


def read_file(path: Path) -> list[Line]:
    """The lines of a provincial file; fails where it is not exactly as regulated."""
    raw = path.read_bytes()
    assert raw.endswith(b"\r\n") and not raw.startswith(b"\xef\xbb\xbf"), path
    lines = [Line(*text.split("\t")) for text in raw.decode("utf-8").split("\r\n")[:-1]]
    stamp = path.stem.rsplit("_", 1)[1]
    for line in lines:
        assert line.symbol and " " not in line.symbol, line
        assert line.stamp == stamp, (path, line)
        assert line.status in {"00", "01", "02"}, line
        assert float(line.value) == float(line.value) and "," not in line.value, line
    assert len({line.symbol for line in lines}) == len(lines) > 0, path
    return lines


def end_ms(path: Path) -> int:
    """The window's end that a file's name carries, Unix ms."""
    stamp = path.stem.rsplit("_", 1)[1]
    return int(datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=GMT7).timestamp() * 1000)


def read_truth(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Per channel the (instant, value) updates of the instruments, in order."""
    updates: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for text in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        updates[row["channel"]].append((row["t"], row["value"]))
    return {channel: sorted(rows) for channel, rows in updates.items()}


def in_place(readings: list[Reading], updates: list[tuple[int, float]], start: int, end: int) -> int:
    """How many readings stamped in start <= t < end are what the instrument held at their very stamp."""
    times = [t for t, _ in updates]
    return sum(
        updates[bisect_right(times, reading.time_ms) - 1][1] == reading.value
        for reading in readings
        if reading.value is not None and start <= reading.time_ms < end
    )


def check_readings(readings: list[Reading], updates: list[tuple[int, float]]) -> None:
    """Assert that each reading is what the instrument held at a moment when it may have been asked: not
    before the reading before it, not after the gateway had this one, and in the order of the updates.

    However late a busy machine polls, that holds. A stamp alone does not say it: a device is told the time
    over a link, so its clock is behind by what that took, times the speed of the simulation.
    """
    place = 0
    before: Reading | None = None
    for reading in readings:
        if reading.value is not None:
            asked_ms = before.time_ms - CLOCK_MS if before and before.told and reading.told else 0
            held = [
                i
                for i in range(place, len(updates))
                if updates[i][1] == reading.value
                and updates[i][0] <= reading.arrived_ms
                and (i + 1 == len(updates) or updates[i + 1][0] > asked_ms)
            ]
            assert held, (reading, before)
            place = held[0]
        before = reading


def outcome(readings: list[Reading], end: int, poll_ms: int) -> tuple[float, str]:
    """Value and status of the window that ends at `end`, by the rules: the mean of what is good, else the
    last good value before; good when three quarters of what is due is there.
    """
    good = sorted((r.time_ms, r.value) for r in readings if r.value is not None and r.time_ms < end)
    inside = [value for t, value in good if t >= end - WINDOW_MS]
    status = "00" if 4 * len(inside) >= 3 * (WINDOW_MS // poll_ms) else "02"
    return fsum(inside) / len(inside) if inside else good[-1][1], status


def compare(
    files: list[Path],
    truth: dict[str, list[tuple[int, float]]],
    readings: dict[str, list[Reading]],
    closed: dict[tuple[str, int], int],
    poll_ms: dict[str, int],
) -> None:
    """Assert that every file is what follows from true readings, to the last decimal: those in the journal
    when the window was closed (a file is never changed afterwards).
    """
    for symbol, updates in truth.items():
        check_readings(readings[symbol], updates)
    for path in files:
        end = end_ms(path)
        found = {line.symbol: line for line in read_file(path)}
        for symbol in truth:
            known = [r for r in readings[symbol] if r.entry < closed[symbol, end] and r.time_ms < end]
            if all(reading.value is None for reading in known):
                assert symbol not in found, f"{path.name} has a value of {symbol} that nobody read"
                continue
            line = found.pop(symbol)
            value, status = outcome(known, end, poll_ms[symbol])
            rounding = 0.51 * 10 ** -len(line.value.partition(".")[2])
            assert abs(float(line.value) - value) <= rounding, (path.name, line, value)
            assert line.status == status, (path.name, line, status)
        assert not found, (path.name, found)
