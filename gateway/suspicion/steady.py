"""Series that are steadier than their own past, and series that happen twice. Pure.

Rule 1: variance collapse: a day's noise (root mean square of the steps between neighbouring windows) by the
        median noise of the days before. Steps, not figures: a daily rhythm is no noise.
Rule 2: repeats: a row of figures equal to those at the same time of an earlier day, with enough different
        ones among them that chance or coarse resolution do not make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import fsum, nan, sqrt
from operator import eq
from statistics import median

from gateway.suspicion import DAY_MS, Sign, Thresholds, Track, runs

COLLAPSE, REPEAT = "variance collapse", "repeat of an earlier day"


def collapse(track: Track, thresholds: Thresholds) -> list[Sign]:
    """Days whose noise fell to a small part of what it was; days in a row are one sign, the lowest counts."""
    noises = [noise(track.day(day), thresholds) for day in range(track.days())]
    ratios: list[float | None] = []
    past: list[float] = []  # of days that did not collapse: a long collapse shall not become the measure
    for value in noises:
        usual = median(past[-thresholds.past_days :]) if len(past) >= thresholds.past_days_min else 0.0
        ratio = value / usual if value is not None and usual > 0 else None
        ratios.append(ratio)
        if value is not None and (ratio is None or ratio > thresholds.collapse):
            past.append(value)
    low = [ratio is not None and ratio <= thresholds.collapse for ratio in ratios]
    return [_collapsed(track, first, last, ratios, thresholds) for first, last in runs(low)]


def noise(figures: list[float | None], thresholds: Thresholds) -> float | None:
    """Root mean square of the steps; None for too few of them."""
    steps = [b - a for a, b in pairwise(figures) if a is not None and b is not None]
    if len(steps) < thresholds.day_share_min * len(figures):
        return None
    return sqrt(fsum(step * step for step in steps) / len(steps))


def _collapsed(
    track: Track, first: int, last: int, ratios: list[float | None], thresholds: Thresholds
) -> Sign:
    lowest = min(ratio for ratio in ratios[first:last] if ratio is not None)
    return Sign(
        COLLAPSE,
        track.symbol,
        track.start_ms + first * DAY_MS,
        track.start_ms + last * DAY_MS,
        lowest,
        thresholds.collapse,
        f"Đề nghị xem: độ dao động của {track.symbol} chỉ còn {lowest:.0%} so với các ngày trước.",
        f"Look here: {track.symbol} varies by {lowest:.0%} of what it did on the days before.",
    )


def repeats(track: Track, thresholds: Thresholds) -> list[Sign]:
    """Rows of figures that equal those of an earlier day; where several days do, the longest row counts."""
    found: list[tuple[int, int, int]] = []  # (first, behind the last, days back)
    figures = [nan if figure is None else figure for figure in track.figures]  # what equals nothing
    for lag in range(1, min(thresholds.repeat_lags, track.days() - 1) + 1):
        by = lag * track.per_day
        later = figures[by:]
        for first, last in _rows(bytes(map(eq, later, figures)), thresholds.repeat_windows):
            if len(set(later[first:last])) >= thresholds.repeat_distinct:
                found.append((first + by, last + by, lag))
    kept: list[tuple[int, int, int]] = []
    for first, last, lag in sorted(found, key=lambda each: each[0] - each[1]):
        if all(last <= other[0] or other[1] <= first for other in kept):
            kept.append((first, last, lag))
    return [_repeated(track, *each, thresholds) for each in sorted(kept)]


def _rows(equal: bytes, least: int) -> Iterator[tuple[int, int]]:
    """(first, behind the last) of each row of `least` ones or more."""
    sought, first = b"\1" * least, 0
    while (first := equal.find(sought, first)) >= 0:
        behind = equal.find(b"\0", first)
        last = len(equal) if behind < 0 else behind
        yield first, last
        first = last


def _repeated(track: Track, first: int, last: int, lag: int, thresholds: Thresholds) -> Sign:
    count = last - first
    return Sign(
        REPEAT,
        track.symbol,
        track.at(first),
        track.at(last),
        count,
        thresholds.repeat_windows,
        f"Đề nghị xem: {count} giá trị liên tiếp của {track.symbol} trùng với {lag} ngày trước.",
        f"Look here: {count} figures of {track.symbol} in a row equal those of {lag} day(s) before.",
    )
