"""What the department should have received, worked out from the simulator's truth file alone.

Independent on purpose: it reads the files by the format's rules and the truth by arithmetic of its own,
and imports nothing of the gateway.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

GMT7 = timezone(timedelta(hours=7))
WINDOW_MS = 300_000


class Line(NamedTuple):
    symbol: str
    value: str
    unit: str
    stamp: str
    status: str


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


def mean_of_truth(updates: list[tuple[int, float]], end: int) -> float:
    """Mean of what an instrument showed in the window that ends at `end`, or the last value before it."""
    inside = [value for t, value in updates if end - WINDOW_MS <= t < end]
    if inside:
        return sum(inside) / len(inside)
    return [value for t, value in updates if t < end][-1]


def tolerance_of_one_update(updates: list[tuple[int, float]], end: int) -> float:
    """What one update, read a moment too late on a busy machine, can move the mean of its window."""
    inside = [value for t, value in updates if end - WINDOW_MS - 60_000 <= t < end + 60_000]
    inside_window = sum(1 for t, _ in updates if end - WINDOW_MS <= t < end) or 1
    return (max(inside) - min(inside)) / inside_window if inside else 0.0


def compare(files: list[Path], truth: dict[str, list[tuple[int, float]]]) -> tuple[int, int]:
    """Assert that every value of every file is the mean of the truth; returns (compared, exactly equal).

    Equal: within the decimals of the file. A reading that a busy machine delayed into the instrument's next
    update may move a mean by one update; the caller says how many may.
    """
    compared = exact = 0
    for path in files:
        for line in read_file(path):
            decimals = len(line.value.partition(".")[2])
            expected = mean_of_truth(truth[line.symbol], end_ms(path))
            off = abs(float(line.value) - expected)
            rounding = 0.51 * 10**-decimals + 1e-6 * abs(expected)
            assert line.status == "00", (path.name, line)
            allowed = rounding + tolerance_of_one_update(truth[line.symbol], end_ms(path))
            assert off <= allowed, (path.name, line, expected)
            compared += 1
            exact += off <= rounding
    return compared, exact
