"""One channel: its open windows, what its readings in each add up to, and the window's value and status.

Rule 1: the mean is that of exact sums (math.fsum, carried on as a pair of floats), so that neither the order
        of readings nor where a sum was interrupted shows in it: a recomputed window equals the first one bit
        for bit.
Rule 2: a number always comes out: the mean of what is good, else of what there is, else the last good value.
        Only a channel that never had a value has none: a number would be invented.
Rule 3: the status is that of the reason that explains most of what is missing; 01 before 02 when they are
        equal.
Rule 4: the mean of n readings counts as n readings: n times in the sum, n in the count. That is what a device
        keeps when its flash runs short (SUMMARY); its minimum and maximum take part in the window's.
"""

from __future__ import annotations

from math import fsum
from typing import NamedTuple

from protocol import quality as q

PRECEDENCE = (
    q.CALIBRATING,
    q.MAINTENANCE,
    q.FAULT,
    q.OVERLOAD,
    q.OUT_OF_RANGE,
    q.BAD_REPLY,
    q.TIMEOUT,
    q.OFF,
    q.TIME_UNTRUSTED,
    q.COVERAGE,
    q.NO_DATA,
)
"""Which reason is named when two explain equally much."""
VALUE_MAX = 3.5e38
"""No 32-bit float is larger; keeps infinities out of the sums."""


class Outcome(NamedTuple):
    """The numbers of a window. `last` is the channel's last valid value up to its end, if there ever was
    one.
    """

    value: float | None  # None where no value was ever known
    quality: int
    valid: int
    expected: int
    valid_share: float
    minimum: float | None
    maximum: float | None
    last: float | None


class Channel(NamedTuple):
    """A configured channel: where its readings come from, what is plausible, in its unit, and how its values
    are written. A journal keeps all of it (CONFIGURATION): add fields at the end, with a default.
    """

    symbol: str
    unit: str
    source: str  # the lane's name: device/st-01, bus/tank
    quantity: str  # what the source calls it (for a bus: the symbol)
    interval_ms: int | None = None  # None: the device's HELLO says it
    low: float = -VALUE_MAX
    high: float = VALUE_MAX
    decimals: int | None = None  # in the provincial file; None: an earlier version did not keep it
    unit_when_none: str = ""  # what the file says where the unit is empty


class Newest(NamedTuple):
    """A channel's newest reading, for people who look at it now."""

    time_ms: int
    value: float | None
    quality: int


class ExactSum:
    """A sum of floats that does not depend on their order (to about 106 bits)."""

    __slots__ = ("count", "high", "low")

    def __init__(self) -> None:
        self.count = 0
        self.high = 0.0
        self.low = 0.0

    def add(self, values: list[float]) -> None:
        values = [self.high, self.low, *values]
        self.count += len(values) - 2
        self.high = fsum(values)
        values.append(-self.high)
        self.low = fsum(values)

    def add_mean(self, mean: float, count: int) -> None:
        """Add `count` values of which only the mean is known (a float32's product with it is exact)."""
        self.add([mean * count])
        self.count += count - 1

    def mean(self) -> float:
        return (self.high + self.low) / self.count


class Cell:
    """One channel in one window.

    Valid values are appended to `fresh` (that is all a reading costs); settle() adds them up. They are finite
    and below 1e60, which the caller sees to.
    """

    __slots__ = ("counted", "fresh", "last", "maximum", "minimum", "others", "reasons", "thinned", "total")

    def __init__(self) -> None:
        self.fresh: list[float] = []
        self.counted = 0  # of fresh, those already counted elsewhere
        self.total = ExactSum()
        self.minimum = self.maximum = self.last = 0.0
        self.others: ExactSum | None = None  # values of readings that are not OK
        self.reasons: dict[int, int] | None = None  # quality -> readings that are not OK
        self.thinned = False  # some of it came as means

    def settle(self) -> int:
        """Add up what is fresh. Returns how many of them nobody had counted before."""
        fresh = self.fresh
        if not fresh:
            return 0
        self._span(min(fresh), max(fresh))
        self.last = fresh[-1]
        self.total.add(fresh)
        uncounted = len(fresh) - self.counted
        self.counted = 0
        fresh.clear()
        return uncounted

    def _span(self, low: float, high: float) -> None:
        """Widen what the valid values reach; before they are added."""
        if not self.total.count or low < self.minimum:
            self.minimum = low
        if not self.total.count or high > self.maximum:
            self.maximum = high

    def mean(self, mean: float, low: float, high: float, count: int) -> int:
        """Take `count` valid readings by their mean, minimum and maximum. Returns as settle(), which it does
        first, so that the newest value is the last one that came.
        """
        uncounted = self.settle()
        self._span(low, high)
        self.total.add_mean(mean, count)
        self.last = mean
        return uncounted

    def not_ok(self, quality: int, value: float | None, count: int = 1) -> None:
        """Account for a reading that is not OK (or `count` of them); `value` when it has one (their mean)."""
        if self.reasons is None:
            self.reasons = {}
        self.reasons[quality] = self.reasons.get(quality, 0) + count
        if value is not None:
            if self.others is None:
                self.others = ExactSum()
            self.others.add_mean(value, count)

    def valid(self) -> int:
        """Valid readings taken."""
        return self.total.count + len(self.fresh)

    def count(self) -> int:
        """All readings taken."""
        return self.valid() + sum((self.reasons or {}).values())

    def outcome(self, expected: int, share_min: float, carried: float | None) -> Outcome:
        """The window's numbers; `carried` is the channel's last valid value before this window."""
        self.settle()
        valid = self.total.count
        share = min(1.0, valid / expected) if expected else 0.0
        last = self.last if valid else carried
        if valid and share >= share_min:
            return Outcome(self.total.mean(), q.OK, valid, expected, share, self.minimum, self.maximum, last)
        quality = self._reason(expected)
        if valid:
            return Outcome(
                self.total.mean(), quality, valid, expected, share, self.minimum, self.maximum, last
            )
        value = self._mean_of_all() if self.others is not None else last
        return Outcome(value, quality, 0, expected, share, None, None, last)

    def _mean_of_all(self) -> float:
        """Mean of all readings with a value, none of which is valid."""
        assert self.others is not None
        return self.others.mean()

    def _reason(self, expected: int) -> int:
        """The quality that explains most of what is missing (rule 3)."""
        missing = dict(self.reasons or {})
        taken = self.total.count + sum(missing.values())
        if expected > taken:
            quality = q.COVERAGE if taken else q.NO_DATA
            missing[quality] = (
                missing.get(quality, 0) + expected - taken
            )  # windows of an hour may be COVERAGE
        if not missing:
            return q.NO_DATA
        weight: dict[str, int] = {}
        for quality, count in missing.items():
            status = q.status(quality)
            weight[status] = weight.get(status, 0) + count
        status = "01" if weight.get("01", 0) >= weight.get("02", 0) else "02"
        return max(
            (quality for quality in missing if q.status(quality) == status),
            key=lambda quality: (missing[quality], -PRECEDENCE.index(quality)),
        )


class ChannelState:
    """A channel and its open windows."""

    __slots__ = (
        "carried", "cells", "channel", "expected", "interval_ms", "late", "newest", "read", "shown",
        "unplaced", "valid_then", "windowed",
    )  # fmt: skip

    def __init__(self, channel: Channel):
        self.channel = channel
        self.interval_ms = channel.interval_ms or 0
        self.expected: int | None = None  # readings a window should have; None: the interval says it
        self.cells: dict[int, Cell] = {}
        self.carried: float | None = None  # last valid value of the newest closed window
        self.newest: Newest | None = None  # newest reading that did not go the fast way,
        self.valid_then = 0  # and how many valid ones its window had by then
        self.shown: Newest | None = None  # told ahead of a backlog (NOW), to be looked at only
        self.read = 0  # readings taken and counted
        self.windowed = 0  # readings that are in a window's row
        self.unplaced = 0  # readings whose time is not known or not credible
        self.late = 0  # readings of closed windows whose new revision is not yet made

    def settle(self) -> None:
        """Add up the values that came one by one, in all open windows."""
        for cell in self.cells.values():
            self.read += cell.settle()

    def expects(self, length_ms: int) -> int:
        """Readings a window should have; 0 while nobody has said how often the channel is read."""
        if self.expected is not None:
            return self.expected
        return max(1, length_ms // self.interval_ms) if self.interval_ms else 0

    def open(self) -> int:
        """Readings in windows that are not closed yet."""
        return sum(cell.count() for cell in self.cells.values())
