"""What one channel's readings in one window add up to, taken one by one, and the window's value and status.

Rule 1: the mean is that of exact sums (math.fsum, carried on as a pair of floats), so that neither the order
        of readings nor where a sum was interrupted shows in it: a recomputed window equals the first one bit
        for bit.
Rule 2: a number always comes out: the mean of what is good, else of what there is, else the last good value.
        Only a channel that never had a value has none: a number would be invented.
Rule 3: the status is that of the reason that explains most of what is missing; 01 before 02 when they are
        equal.
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

    def mean(self) -> float:
        return (self.high + self.low) / self.count


class Cell:
    """One channel in one window.

    Valid values are appended to `fresh` (that is all a reading costs); settle() adds them up. They are finite
    and below 1e60, which the caller sees to.
    """

    __slots__ = ("counted", "fresh", "last", "maximum", "minimum", "others", "reasons", "total")

    def __init__(self) -> None:
        self.fresh: list[float] = []
        self.counted = 0  # of fresh, those already counted elsewhere
        self.total = ExactSum()
        self.minimum = self.maximum = self.last = 0.0
        self.others: ExactSum | None = None  # values of readings that are not OK
        self.reasons: dict[int, int] | None = None  # quality -> readings that are not OK

    def settle(self) -> int:
        """Add up what is fresh. Returns how many of them nobody had counted before."""
        fresh = self.fresh
        if not fresh:
            return 0
        low, high = min(fresh), max(fresh)
        if not self.total.count or low < self.minimum:
            self.minimum = low
        if not self.total.count or high > self.maximum:
            self.maximum = high
        self.last = fresh[-1]
        self.total.add(fresh)
        uncounted = len(fresh) - self.counted
        self.counted = 0
        fresh.clear()
        return uncounted

    def not_ok(self, quality: int, value: float | None) -> None:
        """Account for a reading that is not OK; `value` when it has one."""
        if self.reasons is None:
            self.reasons = {}
        self.reasons[quality] = self.reasons.get(quality, 0) + 1
        if value is not None:
            if self.others is None:
                self.others = ExactSum()
            self.others.add([value])

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
            missing[q.COVERAGE if taken else q.NO_DATA] = expected - taken
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
