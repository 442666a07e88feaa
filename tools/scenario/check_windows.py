"""Checks of windows: what status a span had, whether its mean was true, what was revised, in which order.

Rule 1: what a span was is the newest revision of each of its windows; what was said first is looked at by
        check_files.py, in the files.
Rule 2: a span with no window in it fails: nothing was looked at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from math import fsum

from gateway import flags
from gateway.windows import Window
from tools.scenario.check_read import GRID_MS, Evidence

MEASURED = "00"
VALID_LEAST = 3  # valid windows of a span that a mean is made of


def status(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """The share of a span's windows that have the status, for that reason."""
    windows = evidence.of(given["channel"], given["from"], given["to"])
    because = given.get("because")
    hits = [
        w for w in windows if w.status == given["is"] and because in (None, flags.NAMES.get(w.quality, ""))
    ]
    counts = Counter(f"{w.status} {flags.NAMES.get(w.quality, w.quality)}" for w in windows)
    found = ", ".join(f"{count} x {name}" for name, count in sorted(counts.items())) or "no window"
    return bool(windows) and len(hits) >= given.get("share", 1.0) * len(windows), found


def true_mean(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """The mean of valid windows differs by at most so much from what was in the pipe in the same windows."""
    wrong, found = _difference(evidence, given)
    return wrong is not None and abs(wrong) <= given["within"], found


def false_mean(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """It differs by at least so much, in that direction."""
    wrong, found = _difference(evidence, given)
    by = given["by"]
    return wrong is not None and (wrong <= by if by < 0 else wrong >= by), found


def revised(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Every window of the span has a second revision, and all revisions before the newest are there."""
    windows = evidence.of(given["channel"], given["from"], given["to"])
    numbers: dict[int, set[int]] = defaultdict(set)
    for window in evidence.windows:
        numbers[window.start_ms].add(window.revision)
    second = sum(window.revision > 1 for window in windows)
    holes = [w for w in windows if numbers[w.start_ms] != set(range(1, max(numbers[w.start_ms]) + 1))]
    first = {(w.symbol, w.start_ms) for w in evidence.windows if w.revision == 1}
    gone = sum((w.symbol, w.start_ms) not in first for w in windows)
    found = (
        f"{second} of {len(windows)} revised, {len(holes)} with a number left out, {gone} without the first"
    )
    return bool(windows) and second == len(windows) and not holes and not gone, found


def not_revised(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """No window of the span has a second revision."""
    windows = evidence.of(given["channel"], given["from"], given["to"])
    second = sum(window.revision > 1 for window in windows)
    return bool(windows) and second == 0, f"{second} of {len(windows)} revised"


def forwards(evidence: Evidence, given: dict) -> tuple[bool, str]:
    """Windows come in the order of time, on the grid, of one length, each once, within the scenario."""
    del given
    faults = []
    newest_ms = -(1 << 62)
    seen: set[tuple[str, int, int]] = set()
    for window in evidence.windows:
        if window.end_ms - window.start_ms != GRID_MS or window.start_ms % GRID_MS:
            faults.append(f"{_named(evidence, window)} is not of five minutes on the grid")
        if not evidence.begins_ms - GRID_MS <= window.start_ms < evidence.ends_ms + GRID_MS:
            faults.append(f"{_named(evidence, window)} is outside of the scenario")
        if window.revision == 1 and window.start_ms < newest_ms:
            faults.append(f"{_named(evidence, window)} was closed after a later one")
        key = (window.symbol, window.start_ms, window.revision)
        if key in seen:
            faults.append(f"{_named(evidence, window)}, revision {window.revision}, is there twice")
        seen.add(key)
        if window.revision == 1:
            newest_ms = max(newest_ms, window.start_ms)
    found = f"{len(evidence.windows)} rows; " + ("; ".join(faults[:3]) or "in order")
    return bool(evidence.windows) and not faults, found


def _difference(evidence: Evidence, given: dict) -> tuple[float | None, str]:
    """(mean of valid windows minus truth, in words); None for too few of them."""
    channel = given["channel"]
    windows = [
        w
        for w in evidence.of(channel, given["from"], given["to"])
        if w.status == MEASURED and w.value is not None
    ]
    if len(windows) < VALID_LEAST:
        return None, f"{len(windows)} valid windows, too few"
    told = fsum(w.value or 0.0 for w in windows) / len(windows)
    truth = fsum(evidence.plant.mean(channel, w.start_ms, w.end_ms) for w in windows) / len(windows)
    return told - truth, f"{told:.2f}, in the pipe {truth:.2f} ({len(windows)} windows)"


def _named(evidence: Evidence, window: Window) -> str:
    minutes = (window.start_ms - evidence.begins_ms) // 60_000
    return f"{window.symbol} of minute {minutes}"
