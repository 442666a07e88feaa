"""Whether an instrument stands still in a standard: the standard deviation of a while of readings. Pure.

Rule 1: only readings after the moment at which the probe was put in count, and after `skip_ms` more: a slow
        analyser shows its last result until it has the next one.
Rule 2: it has settled when the newest `within_ms` are covered, hold at least 3 readings and 3 of 4 that were
        due, and their standard deviation is at most `limit`. The point is their mean.
Rule 3: a reading that is not OK, CALIBRATING or MAINTENANCE is none: it counts as missing, and the newest has
        to be good.
"""

from __future__ import annotations

from math import isfinite
from statistics import fmean, stdev
from typing import NamedTuple

from protocol import quality as q

GOOD = (q.OK, q.CALIBRATING, q.MAINTENANCE)
COUNT_MIN = 3
SHARE_MIN = 0.75


class Sample(NamedTuple):
    """One reading of the channel."""

    time_ms: int  # the device's; Unix ms where `told`, else since its start
    told: bool
    raw: float | None  # what the instrument indicated
    quality: int  # of protocol.quality
    calibration: int  # id of the calibration it was taken under


class Look(NamedTuple):
    """How far it is."""

    newest: Sample | None
    covered_ms: int  # how much of the while has passed
    within_ms: int
    readings: int  # good ones in it
    needed: int
    mean: float
    deviation: float | None  # None below two readings
    limit: float
    settled: bool

    @property
    def why(self) -> str:
        """What it waits for, in a few words; "" when it has settled."""
        if self.settled:
            return ""
        if self.newest is None:
            return "no reading yet"
        if not is_good(self.newest):
            return f"the reading is {q.NAMES[self.newest.quality]}"
        if self.covered_ms < self.within_ms:
            return f"{self.covered_ms // 1000} of {self.within_ms // 1000} s"
        if self.readings < self.needed:
            return f"too few good readings: {self.readings} of {self.needed}"
        return f"not still: scatter {self.deviation or 0:.3g}, allowed {self.limit:.3g}"


def is_good(sample: Sample) -> bool:
    """Whether a point may rest on it."""
    return sample.raw is not None and isfinite(sample.raw) and sample.quality in GOOD


class Settling:
    """Readings of one channel since `start_ms` (of the newest reading before, None before the first).

    `pace_ms`: how often a new one is to be expected.
    """

    def __init__(self, within_ms: int, limit: float, pace_ms: int, start_ms: int | None, skip_ms: int = 0):
        self._within_ms, self._limit, self._pace_ms = within_ms, limit, pace_ms
        self._start_ms = None if start_ms is None else start_ms + skip_ms
        self._skip_ms = skip_ms
        self._first_ms: int | None = None
        self._told: bool | None = None
        self._samples: list[Sample] = []
        self._newest: Sample | None = None

    def take(self, sample: Sample) -> None:
        """The next one. What is no newer than the one before is passed over."""
        if (
            self._told is not None and sample.told != self._told
        ):  # the device was told the time: another scale
            self._samples, self._newest, self._first_ms = [], None, None
            self._start_ms = sample.time_ms + self._skip_ms
        self._told = sample.told
        if self._start_ms is None:
            self._start_ms = sample.time_ms - 1 + self._skip_ms
        if sample.time_ms <= self._start_ms or (self._newest and sample.time_ms <= self._newest.time_ms):
            return
        self._newest = sample
        self._first_ms = sample.time_ms if self._first_ms is None else self._first_ms
        self._samples = [one for one in self._samples if one.time_ms > sample.time_ms - self._within_ms]
        if is_good(sample):
            self._samples.append(sample)

    def look(self) -> Look:
        """How far it is now."""
        values = [one.raw for one in self._samples if one.raw is not None]
        needed = max(COUNT_MIN, int(SHARE_MIN * self._within_ms / self._pace_ms))
        covered_ms = 0
        if self._newest is not None and self._first_ms is not None:
            # a reading stands for the time up to the next one
            covered_ms = min(self._within_ms, self._newest.time_ms - self._first_ms + self._pace_ms)
        deviation = stdev(values) if len(values) > 1 else None
        settled = (
            self._newest is not None
            and is_good(self._newest)
            and covered_ms >= self._within_ms
            and len(values) >= needed
            and deviation is not None
            and deviation <= self._limit
        )
        mean = fmean(values) if values else 0.0
        return Look(
            self._newest, covered_ms, self._within_ms, len(values), needed, mean, deviation, self._limit,
            settled,
        )  # fmt: skip

    @property
    def span_ms(self) -> tuple[int, int]:
        """Times of the first and the last reading that the mean is of."""
        return self._samples[0].time_ms, self._samples[-1].time_ms
