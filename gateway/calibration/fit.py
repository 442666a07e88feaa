"""Lines through the points of a calibration, and how far the instrument drifted since the one before. Pure.

Rule 1: reading = offset + slope x reference, by least squares: the reference is what is known, the reading
        what scatters. Two points give the line through both.
Rule 2: drift is how much the reading changed by itself: what the line found today says at zero and at span,
        less what the line that the record before it left said there. Without one before: less zero and span
        themselves, since an instrument is taken into use as a true one.
Rule 3: a limit is what is allowed, the limit itself included; figures that differ by less than ROUNDING of
        what they were computed of are the same.

Worked example: references 0, 50, 100 mg/l show 1.0, 51.5, 102.0: the mean reference is 50, the mean reading
154.5 / 3 = 51.5; slope = ((-50)(-50.5) + 0 + (50)(50.5)) / 5000 = 5050 / 5000 = 1.01; offset = 51.5 - 50.5 =
1.0; residuals 0, 0, 0. Zero drift +1.0 mg/l; span drift at 100: 1.0 + 101.0 - 100 = +2.0 mg/l.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from math import fsum
from typing import NamedTuple

from gateway.calibration.record import Limits, Point, Record

ROUNDING = 1e-9


class Line(NamedTuple):
    """reading = offset + slope x reference, in the channel's unit."""

    slope: float  # (reading per reference)
    offset: float
    residuals: tuple[float, ...] = ()  # reading less line, by point

    def at(self, reference: float) -> float:
        """What the instrument shows of this."""
        return self.offset + self.slope * reference


TRUE = Line(1.0, 0.0)
"""What a true instrument shows."""


class Drift(NamedTuple):
    """Of one record, in the channel's unit; `*_ok` None where no limit is set."""

    zero: float
    span: float
    zero_ok: bool | None
    span_ok: bool | None

    @property
    def holds(self) -> bool | None:
        """Whether no limit is exceeded; None where none is set."""
        set_ = [ok for ok in (self.zero_ok, self.span_ok) if ok is not None]
        return all(set_) if set_ else None


class Judged(NamedTuple):
    """A record with what follows from it."""

    record: Record
    before: Line  # as it was found
    after: Line | None  # as it was left, where something was done
    drift: Drift
    zero: float  # where drift is taken
    span: float
    since_ms: int | None  # when the record before it was made


def line(references: Sequence[float], readings: Sequence[float]) -> Line:
    """By rule 1. ValueError unless two references differ."""
    if len(set(references)) < 2:
        raise ValueError("A line needs two different references.")
    count = len(references)
    x_mean, y_mean = fsum(references) / count, fsum(readings) / count
    away = [x - x_mean for x in references]
    squares = fsum([dx * dx for dx in away])
    if not squares > 0:  # so near to each other that their squares are nothing
        raise ValueError("A line needs two references that can be told apart.")
    slope = fsum([dx * (y - y_mean) for dx, y in zip(away, readings, strict=True)]) / squares
    offset = y_mean - slope * x_mean
    off = [y - (offset + slope * x) for x, y in zip(references, readings, strict=True)]
    return Line(slope, offset, tuple(off))


def found_line(points: Sequence[Point]) -> Line:
    """As the instrument was found. ValueError."""
    return line([point.reference for point in points], [point.before for point in points])


def left_line(points: Sequence[Point]) -> Line | None:
    """As it was left; None where that is not known of two different points."""
    known = [(point.reference, point.after) for point in points if point.after is not None]
    if len({reference for reference, _ in known}) < 2:
        return None
    return line([reference for reference, _ in known], [after for _, after in known])


def judge(record: Record, last: Judged | None) -> Judged:
    """What follows from a record behind the one before it of its channel. ValueError: its points are none."""
    before, after, limits = found_line(record.points), left_line(record.points), record.limits
    span = max(point.reference for point in record.points) if limits.span is None else limits.span
    left = TRUE if last is None else last.after or last.before
    zero_drift, span_drift = (before.at(place) - left.at(place) for place in (limits.zero, span))
    scale = ROUNDING * max(1e-12, *(abs(each) for point in record.points for each in point[:2]))
    drift = Drift(
        zero_drift, span_drift,
        _within(zero_drift, limits.zero_drift_max, scale), _within(span_drift, limits.span_drift_max, scale),
    )  # fmt: skip
    return Judged(
        record, before, after, drift, limits.zero, span, None if last is None else last.record.at_ms
    )


def _within(drift: float, most: float | None, rounding: float) -> bool | None:
    return None if most is None else abs(drift) <= most + rounding


def judged(records: Iterable[Record]) -> dict[str, list[Judged]]:
    """By channel, each in the order in which the calibrations were made; those made at one moment in that in
    which they were recorded. Those whose points give no line, or that are in another unit than the newest of
    their channel, are left out.
    """
    by_channel: dict[str, list[Record]] = {}
    for record in records:
        by_channel.setdefault(record.channel, []).append(record)
    found: dict[str, list[Judged]] = {}
    for channel, some in by_channel.items():
        unit = some[-1].unit
        made = found[channel] = []
        for record in sorted(some, key=lambda record: record.at_ms):
            if record.unit == unit:
                with contextlib.suppress(ValueError):
                    made.append(judge(record, made[-1] if made else None))
    return found


def limits_told(limits: Limits, unit: str) -> str:
    """For a sentence: what is allowed."""
    said = [
        f"{name} {most:g} {unit}".strip()
        for name, most in (("zero", limits.zero_drift_max), ("span", limits.span_drift_max))
        if most is not None
    ]
    return " and ".join(said)
