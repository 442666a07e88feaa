"""One channel over a period, from its 5-minute windows: capture, hours, days, exceedances, spans. Pure.

Rule 1: of each window only the newest revision counts; it is given hour by hour, in the order of time.
Rule 2: a figure rests on valid windows alone (quality OK, with a value): the mean is that of exact sums,
        hours and days are the simple means of their valid windows (gateway/hours.py) and are valid when
        the configured share of their windows is.
Rule 3: the whole period is valid, calibrating, faulty or missing: missing is a window that no reading came
        for (NO_DATA), and one that does not exist.
Rule 4: percentiles are interpolated between the two nearest values (as PERCENTILE.INC of spreadsheets does).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import fsum
from typing import NamedTuple, cast

from gateway.circular import Mean, vector
from gateway.reports.period_runs import HOUR, WINDOW, Exceedance, Limits, Runs
from gateway.zone import HOUR_MS, day_of
from protocol import quality as q

PERCENTILES = (50, 90, 95, 98)
TOTAL, VECTOR, LAST = "total", "vector", "last"  # averages of a channel that are not "mean"
VALID, CALIBRATING, FAULTY, MISSING = "valid", "calibrating", "faulty", "missing"

Row = tuple[int, int, float | None, int]
"""(start_ms, end_ms, value, quality) of the newest revision of a window."""


class Span(NamedTuple):
    """Windows in a row that are alike."""

    from_ms: int
    to_ms: int
    windows: int
    quality: int


class Buckets:
    """Hours or days: parallel columns, since a year has 105,120 hours of twelve channels."""

    def __init__(self) -> None:
        self.start_ms, self.valid, self.expected = array("q"), array("i"), array("i")
        self.mean, self.minimum, self.maximum = array("d"), array("d"), array("d")  # NaN: no valid window

    def add(self, start_ms: int, values: Sequence[float], expected: int, mean: float | None = None) -> None:
        """One more, from the values of its valid windows; `mean` is what stands for them, where that is not
        their simple mean (a total, a direction): then the extremes are no band about it, and left out.
        """
        nan = float("nan")
        if values and mean is not None:
            self.start_ms.append(start_ms)
            self.valid.append(len(values))
            self.expected.append(expected)
            for column in (self.mean, self.minimum, self.maximum):
                column.append(mean)
            return
        self.start_ms.append(start_ms)
        self.valid.append(len(values))
        self.expected.append(expected)
        self.mean.append(fsum(values) / len(values) if values else nan)
        self.minimum.append(min(values) if values else nan)
        self.maximum.append(max(values) if values else nan)

    def is_valid(self, at: int, share_min: float) -> bool:
        """Whether enough of its windows are valid."""
        return enough(self.valid[at], self.expected[at], share_min)


def enough(valid: int, expected: int, share_min: float) -> bool:
    """Whether an hour or a day with so many valid windows is valid."""
    return valid > 0 and valid >= share_min * expected


class Series:
    """Takes a channel's rows of one hour after the other; finish() when there are no more."""

    def __init__(
        self, decimals: int, limits: Limits, length_ms: int, share_min: float, average: str = "mean"
    ):
        self.decimals, self.limits, self.average = decimals, limits, average
        self.counted = array("d")  # of a meter: what all windows add up to, valid or not
        self._day_counted = 0
        self._windows = Runs(limits, decimals, WINDOW)
        self.length_ms, self.share_min = length_ms, share_min
        self.values = array("d")  # of the valid windows
        self.starts = array("q")  # ... and when each begins
        self._vectors = array("d"), array("d")  # ... and of directions, their east and north
        self.bad_starts, self.bad = array("q"), array("b")  # of all other windows, and their quality
        self.quality_ms: dict[int, int] = {}
        self.hours, self.days = Buckets(), Buckets()
        self.exceedances: list[Exceedance] = []  # complete after finish()
        self.calibrating: list[Span] = []
        self._day_ms, self._day_from = -1, 0

    def hour(
        self,
        starts: Sequence[int],
        ends: Sequence[int],
        values: Sequence[float | None],
        qualities: Sequence[int],
    ) -> None:
        """The windows of one hour, at least one, by start: a column of each."""
        hour_ms = starts[0] - starts[0] % HOUR_MS
        if day_of(hour_ms) != self._day_ms:
            self._end_of_day()
            self._day_ms, self._day_from = day_of(hour_ms), len(self.values)
            self._day_counted = len(self.counted)
        counted = [value for value in values if value is not None] if self.average == TOTAL else []
        self.counted.extend(counted)
        if any(qualities) or None in values:
            good_starts, good = self._not_all_valid(list(zip(starts, ends, values, qualities, strict=True)))
        else:
            good_starts, good = starts, cast("Sequence[float]", values)
            self.quality_ms[q.OK] = self.quality_ms.get(q.OK, 0) + sum(ends) - sum(starts)
        first = len(self.values)
        self.values.extend(good)
        self.starts.extend(good_starts)
        if self.average == VECTOR and good:
            for column, parts in zip(self._vectors, zip(*map(vector, good), strict=True), strict=True):
                column.extend(parts)
        if self._windows.is_open or (good and self._windows.may_exceed(good)):
            figures = (
                value if quality == q.OK else None for value, quality in zip(values, qualities, strict=True)
            )
            self._windows.look(zip(starts, ends, figures, strict=True))
        self.hours.add(hour_ms, good, HOUR_MS // self.length_ms, self.mean_from(first, counted))

    def _not_all_valid(self, rows: Sequence[Row]) -> tuple[list[int], list[float]]:
        """Account for an hour in which not all is valid; what is, (starts, values)."""
        starts, values = [], []
        for start_ms, end_ms, value, quality in rows:
            self.quality_ms[quality] = self.quality_ms.get(quality, 0) + end_ms - start_ms
            if quality == q.OK and value is not None:
                values.append(value)
                starts.append(start_ms)
                continue
            self.bad_starts.append(start_ms)
            self.bad.append(quality)
            if q.status(quality) == "01":
                self._calibrates(start_ms, end_ms, quality)
        return starts, values

    def finish(self, reach_ms: int, means: Sequence[tuple[str, Limits]] = ()) -> None:
        """There are no more rows; the report reaches up to `reach_ms`. `means`: limits of hours and days."""
        self._end_of_day()
        self._windows.finish(reach_ms)
        self.exceedances += self._windows.found
        for span, limits in means:
            runs = Runs(limits, self.decimals, span)
            buckets, step_ms = (self.hours, HOUR_MS) if span == HOUR else (self.days, 24 * HOUR_MS)
            runs.look(
                (
                    start_ms,
                    start_ms + step_ms,
                    buckets.mean[at] if buckets.is_valid(at, self.share_min) else None,
                )
                for at, start_ms in enumerate(buckets.start_ms)
            )
            runs.finish(reach_ms)
            self.exceedances += runs.found

    def _end_of_day(self) -> None:
        if self._day_ms >= 0:
            values = self.values[self._day_from :]
            mean = self.mean_from(self._day_from, self.counted[self._day_counted :])
            self.days.add(self._day_ms, values, 24 * HOUR_MS // self.length_ms, mean)

    def mean_from(self, first: int, counted: Sequence[float]) -> float | None:
        """What stands for the valid windows from number `first` on by the channel's average
        (gateway/hours.py, rule 1); None for the simple mean, and where there is no direction.
        """
        if self.average == TOTAL:
            return fsum(counted)
        if first == len(self.values):
            return None
        if self.average == VECTOR:
            easts, norths = self._vectors
            return Mean.of(easts[first:], norths[first:]).degrees()
        return self.values[-1] if self.average == LAST else None

    def _calibrates(self, start_ms: int, end_ms: int, quality: int) -> None:
        newest = self.calibrating[-1] if self.calibrating else None
        if newest and newest.to_ms == start_ms and newest.quality == quality:
            self.calibrating[-1] = newest._replace(to_ms=end_ms, windows=newest.windows + 1)
        else:
            self.calibrating.append(Span(start_ms, end_ms, 1, quality))


def class_of(quality: int) -> str:
    """What share of the period a window of this quality belongs to (rule 3)."""
    if quality == q.NO_DATA:
        return MISSING
    return {"00": VALID, "01": CALIBRATING}.get(q.status(quality), FAULTY)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of values in ascending order, at least one (rule 4)."""
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    if below + 1 >= len(ordered):
        return ordered[-1]
    return ordered[below] + (ordered[below + 1] - ordered[below]) * (place - below)
