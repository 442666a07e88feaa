"""A channel's chart as plain geometry, from which HTML (SVG) and PDF draw the same lines. Pure.

Rule 1: x and y run from 0 to 1, y upwards; who draws knows millimetres or pixels.
Rule 2: a line breaks where there is no value: nothing is drawn that was not measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from gateway.reports.period_runs import Limits
from gateway.reports.period_series import Buckets
from gateway.zone import DAY_MS, GMT7_S, day_of

Point = tuple[float, float]
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TICKS_X_MAX = 8
MONTHS_FROM_MS = 62 * DAY_MS


class Chart(NamedTuple):
    title: str
    lines: tuple[tuple[Point, ...], ...]  # means
    bands: tuple[tuple[Point, ...], ...]  # closed: along the maxima, back along the minima
    limits: tuple[float, ...]  # y of limits that lie within the chart
    ticks_x: tuple[tuple[float, str], ...]
    ticks_y: tuple[tuple[float, str], ...]


def chart(
    title: str, buckets: Buckets, limits: Limits, span_ms: tuple[int, int], step_ms: int, moment, number
) -> Chart | None:
    """`moment(ms)` and `number(value, decimals)` write the ticks. None where there is no value at all."""
    shown = [at for at in range(len(buckets.start_ms)) if buckets.valid[at]]
    if not shown:
        return None
    bounds = [limit for limit in (limits.minimum, limits.maximum) if limit is not None]
    low = min([buckets.minimum[at] for at in shown] + bounds)
    high = max([buckets.maximum[at] for at in shown] + bounds)
    ticks, decimals = _scale(low, high)
    bottom, top = ticks[0], ticks[-1]
    begin, end = span_ms

    def x(time_ms: float) -> float:
        return (time_ms - begin) / (end - begin)

    def y(value: float) -> float:
        return (value - bottom) / (top - bottom)

    lines, bands = [], []
    for run in _runs(buckets, shown, step_ms):
        middle = [x(buckets.start_ms[at] + step_ms / 2) for at in run]
        if len(run) == 1:
            middle, run = [x(buckets.start_ms[run[0]]), x(buckets.start_ms[run[0]] + step_ms)], run * 2
        lines.append(tuple((at_x, y(buckets.mean[at])) for at_x, at in zip(middle, run, strict=True)))
        upper = [(at_x, y(buckets.maximum[at])) for at_x, at in zip(middle, run, strict=True)]
        lower = [(at_x, y(buckets.minimum[at])) for at_x, at in zip(middle, run, strict=True)]
        bands.append((*upper, *reversed(lower)))
    return Chart(
        title, tuple(lines), tuple(bands), tuple(y(limit) for limit in bounds),
        tuple((x(ms), moment(ms)) for ms in _moments(begin, end, step_ms)),
        tuple((y(tick), number(tick, decimals)) for tick in ticks),
    )  # fmt: skip


def _runs(buckets: Buckets, shown: Sequence[int], step_ms: int) -> list[list[int]]:
    """Places of buckets that follow each other."""
    runs: list[list[int]] = []
    for at in shown:
        if runs and buckets.start_ms[at] == buckets.start_ms[runs[-1][-1]] + step_ms:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def _scale(low: float, high: float) -> tuple[list[float], int]:
    """About five round ticks that enclose low to high, and their decimals."""
    if high <= low:
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in _STEPS if factor * power >= rough), 10 * power)
    first, last = math.floor(low / step), math.ceil(high / step)
    decimals = max(0, 1 - math.floor(math.log10(step))) if step < 10 else 0
    while decimals and round(step, decimals - 1) == round(step, decimals + 3):
        decimals -= 1
    return [at * step for at in range(first, last + 1)], decimals


def _moments(begin: int, end: int, step_ms: int) -> list[int]:
    """Beginnings of buckets to be named: evenly, TICKS_X_MAX of them at the most, the first one included; of
    months in a long period.
    """
    if end - begin > MONTHS_FROM_MS:
        firsts = [begin, *(day for day in range(day_of(begin) + DAY_MS, end, DAY_MS) if _is_first(day))]
        return firsts[:: -(-len(firsts) // (2 * TICKS_X_MAX))]
    count = max(1, (end - begin) // step_ms)
    every = -(-count // TICKS_X_MAX)
    return [begin + at * step_ms for at in range(0, count, every)]


def _is_first(day_ms: int) -> bool:
    """Whether a day (GMT+7) is a month's first."""
    return time.gmtime(day_ms // 1000 + GMT7_S).tm_mday == 1


def of_points(
    title: str, lines: Sequence[Sequence[tuple[int, float]]], limits: Sequence[float],
    span_ms: tuple[int, int], moment, number,
) -> Chart:  # fmt: skip
    """Lines through (ms, value), each with a point at least, and limits that are always within the chart."""
    values = [value for line in lines for _, value in line]
    ticks, decimals = _scale(min([*values, *limits]), max([*values, *limits]))
    bottom, top = ticks[0], ticks[-1]
    begin, end = span_ms

    def at(time_ms: int, value: float) -> Point:
        return (time_ms - begin) / (end - begin), (value - bottom) / (top - bottom)

    return Chart(
        title, tuple(tuple(at(*point) for point in line) for line in lines), (),
        tuple(at(begin, limit)[1] for limit in limits),
        tuple((at(ms, 0)[0], moment(ms)) for ms in _moments(begin, end, DAY_MS)),
        tuple((at(begin, tick)[1], number(tick, decimals)) for tick in ticks),
    )  # fmt: skip
