"""Signs that a series may be too good to be true: named statistics of 5-minute windows. Pure.

Rule 1: a sign says "look here", never "fraud": each has honest causes too (a plant at rest, a new instrument,
        a day like the last). It names its statistic, its window of time and its threshold, so that a person
        can look at the same figures.
Rule 2: a channel is compared with its own past or with its own chance, never with another station.
Rule 3: figures are taken as they were sent (rounded to the channel's decimals), valid ones only (status 00).
Rule 4: too little to judge by is no sign.

    steady.py    variance collapse; repeats of an earlier day
    edges.py     values pressed just under the limit; gaps that begin before exceedances
    company.py   two channels that stopped moving together; calibration flagged whenever values rise
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from protocol import quality as q

if TYPE_CHECKING:
    from gateway.columns import Columns
    from gateway.spans import Span
    from gateway.windows import Window

DAY_MS = 86_400_000
VALID = "00"  # provincial status: measured


class Thresholds(NamedTuple):
    """When a statistic is a sign. The defaults let honest series pass (rates: tests/gateway/suspicion)."""

    past_days: int = 14  # of its own past that a day is compared with: two weeks hold both kinds of weekday
    past_days_min: int = 7
    day_share_min: float = 0.5  # of a day's windows that must be valid to judge the day by
    collapse: float = 0.25  # noise of a day by the median of its past: honest noise varies by a third
    repeat_windows: int = 12  # an hour in a row that equals an earlier day's
    repeat_distinct: int = 6  # different figures in it: a constant equals itself
    repeat_lags: int = 14  # days back
    band: float = 0.05  # how far below the limit "just under" reaches, of the limit
    pressed_days: int = 7
    pressed_share: float = 0.25  # of the figures that lie in the band
    pressed_above: float = 0.02  # figures in the band above the limit, by those in the band below it
    together: float = 0.6  # median correlation of the past from which two channels move together
    apart: float = 0.1  # a day's correlation at or below which they do not
    apart_days: int = 2  # in a row: a single day may be odd
    calibrations_min: int = 5
    calibration_top: float = 0.9  # quantile of the same time on other days that counts as risen
    calibration_share: float = 0.7  # of the calibrations that begin at risen values; by chance it is 0.1
    gaps_min: int = 3
    gap_chance: float = 0.001  # that so many gaps begin before an exceedance if they do so blindly


class Sign(NamedTuple):
    """Look here."""

    name: str
    symbol: str  # "COD", or "COD, TSS" of two
    start_ms: int
    end_ms: int
    statistic: float
    threshold: float
    vi: str
    en: str


class Track(NamedTuple):
    """A channel on its grid from the beginning of a day on."""

    symbol: str
    start_ms: int
    step_ms: int
    figures: list[float | None]  # as sent; None unless valid
    status: list[str]  # "00", "01", "02"; "" where there is no window

    @property
    def per_day(self) -> int:
        """Windows of a day."""
        return DAY_MS // self.step_ms

    def at(self, i: int) -> int:
        """When window `i` begins, Unix ms."""
        return self.start_ms + i * self.step_ms

    def days(self) -> int:
        """Whole days."""
        return len(self.figures) // self.per_day

    def day(self, number: int) -> list[float | None]:
        """The figures of a day."""
        return self.figures[number * self.per_day : (number + 1) * self.per_day]


def track(channel: Mapping[int, Window], symbol: str, period: Span, step_ms: int, decimals: int) -> Track:
    """A channel's windows (newest revisions, by start) on the grid; the period begins with a day at GMT+7."""
    figures: list[float | None] = []
    status: list[str] = []
    for start_ms in range(period.start_ms, period.end_ms, step_ms):
        window = channel.get(start_ms)
        value = window.value if window is not None and window.status == VALID else None
        figures.append(None if value is None else round(value, decimals))
        status.append("" if window is None else window.status)
    return Track(symbol, period.start_ms, step_ms, figures, status)


def track_of(columns: Columns, period: Span, step_ms: int, decimals: int) -> Track:
    """As track(), from columns."""
    count = -(-(period.end_ms - period.start_ms) // step_ms)
    figures: list[float | None] = [None] * count
    status = [""] * count
    for start_ms, value in zip(columns.starts, columns.values, strict=True):
        at, off = divmod(start_ms - period.start_ms, step_ms)
        if not off and 0 <= at < count:
            figures[at], status[at] = round(value, decimals), VALID
    for start_ms, quality in zip(columns.bad_starts, columns.bad, strict=True):
        at, off = divmod(start_ms - period.start_ms, step_ms)
        if not off and 0 <= at < count:
            status[at] = q.status(quality)
    return Track(columns.symbol, period.start_ms, step_ms, figures, status)


def runs(flags: list[bool]) -> list[tuple[int, int]]:
    """(first, behind the last) of each row of True."""
    found, first = [], None
    for i, flag in enumerate([*flags, False]):
        if flag and first is None:
            first = i
        elif not flag and first is not None:
            found.append((first, i))
            first = None
    return found
