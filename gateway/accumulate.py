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
Rule 5: an instrument that has a new value less often than a window is long is not missing in the windows
        between: its last value holds for half as long again as it takes it to make the next.

A channel whose readings depend on their order, or are held against each other: timed.py.
"""

from __future__ import annotations

from math import fsum, sqrt
from operator import mul
from typing import NamedTuple

from gateway import flags
from protocol import quality as q

VALUE_MAX = 3.5e38
"""No 32-bit float is larger; keeps infinities out of the sums."""
FRESH_MAX = 32
"""Valid readings of a channel in a window that are kept until they are added up: 1 KiB. A thousand channels
have a thousand times that, and a reading costs the same in portions of 32 as of 1024 (decisions/0023).
"""
HOLD = 1.5
"""Times its update interval that a slow instrument's value holds."""
AVERAGES = ("mean", "vector", "total", "last")
"""What a window's value is: the arithmetic mean; the mean direction; a meter's increase; the newest state."""


class State(NamedTuple):
    """What is known of a channel at a window's end, for the next one."""

    last: float | None = None  # the last valid value there ever was
    last_ms: int | None = None  # its time, where the channel's cells are timed
    meter: float | None = None  # what a meter showed last
    steady_ms: int | None = None  # since when it shows the same, where that is looked at


class Outcome(NamedTuple):
    """The numbers of a window, and what is known at its end."""

    value: float | None  # None where no value was ever known
    quality: int
    valid: int
    expected: int
    valid_share: float
    minimum: float | None
    maximum: float | None
    deviation: float | None  # sample standard deviation of the valid readings, where there are two
    flags: str  # how many readings were not OK, and why: gateway.flags.told()
    state: State


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
    average: str = "mean"  # of AVERAGES
    checks: tuple = ()  # gateway.checks.Checks
    rollover: float | None = None  # what a meter counts up to
    update_ms: int | None = None  # how often the instrument has a new value; None: as often as it is read
    holds: bool = False  # rule 5 (windows of before it were made without)
    sent: bool = True  # whether it stands in the provincial file
    derived: tuple = ()  # gateway.derive: from which channels' windows it is made, and how
    busy: tuple = ()  # (symbol, quality) of contacts that say that it is calibrated or maintained


class Newest(NamedTuple):
    """A channel's newest reading, for people who look at it now."""

    time_ms: int
    value: float | None
    quality: int


class ExactSum:
    """A sum of floats, and of their squares, that does not depend on their order (to about 106 bits)."""

    __slots__ = ("count", "high", "low", "square_high", "square_low")

    def __init__(self) -> None:
        self.count = 0
        self.high = self.low = 0.0
        self.square_high = self.square_low = 0.0

    def add(self, values: list[float]) -> None:
        self._add([self.high, self.low, *values])
        self._add_squares([self.square_high, self.square_low, *map(mul, values, values)])
        self.count += len(values)

    def add_mean(self, mean: float, count: int) -> None:
        """Add `count` values of which only the mean is known (a float32's product with it is exact)."""
        self._add([self.high, self.low, mean * count])
        self._add_squares([self.square_high, self.square_low, mean * mean * count])
        self.count += count

    def _add(self, values: list[float]) -> None:
        self.high = fsum(values)
        values.append(-self.high)
        self.low = fsum(values)

    def _add_squares(self, values: list[float]) -> None:
        self.square_high = fsum(values)
        values.append(-self.square_high)
        self.square_low = fsum(values)

    def mean(self) -> float:
        return (self.high + self.low) / self.count

    def deviation(self) -> float | None:
        """The sample standard deviation; None of fewer than two.

        By sum((v - m)^2) = sum(v^2) - 2 m sum(v) + n m^2, which holds for any m, in products without an
        error: only the squares themselves are rounded (those of float32 are not).
        """
        if self.count < 2:
            return None
        mean, n = self.mean(), float(self.count)
        square, error = _product(mean, mean)
        terms = [self.square_high, self.square_low, *_product(-2.0 * mean, self.high), -2.0 * mean * self.low]
        total = fsum([*terms, *_product(n, square), n * error])
        return sqrt(max(0.0, total) / (self.count - 1))


def _product(a: float, b: float) -> tuple[float, float]:
    """a * b as two floats whose sum it is exactly (Dekker 1971); below 1e150."""
    a_high, b_high = a * 134217729.0, b * 134217729.0
    a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


class Cell:
    """One channel in one window.

    Valid values are appended to `fresh` (that is all a reading costs), and added up at the end. They are
    finite and below 1e60, which the caller sees to.
    """

    __slots__ = ("counted", "fresh", "last", "maximum", "minimum", "others", "reasons", "thinned", "total")
    timed = False
    """Whether readings have to be taken one by one, with their times (timed.py)."""

    def __init__(self) -> None:
        self.fresh: list[float] = []
        self.counted = 0  # of fresh, those already counted elsewhere
        self.total = ExactSum()
        self.minimum = self.maximum = self.last = 0.0
        self.others: ExactSum | None = None  # values of readings that are not OK
        self.reasons: dict[int, int] = {}  # quality -> readings that are not OK
        self.thinned = False  # some of it came as means

    def take(self, time_ms: int, value: float) -> None:
        """Take one valid reading, which the caller counts."""
        self.fresh.append(value)
        self.counted += 1

    def settle(self) -> int:
        """Add up what is fresh, if it is much. Returns how many of them nobody had counted before."""
        uncounted = len(self.fresh) - self.counted
        self.counted = len(self.fresh)
        if self.counted >= FRESH_MAX:
            self.add_up()
        return uncounted

    def add_up(self) -> None:
        """Keep the sums of what is fresh, and not the readings."""
        fresh = self.fresh
        if fresh:
            self._span(min(fresh), max(fresh))
            self.last = fresh[-1]
            self.total.add(fresh)
            self.counted = 0
            fresh.clear()

    def _span(self, low: float, high: float) -> None:
        """Widen what the valid values reach; before they are added."""
        if not self.total.count or low < self.minimum:
            self.minimum = low
        if not self.total.count or high > self.maximum:
            self.maximum = high

    def mean(self, mean: float, low: float, high: float, count: int, time_ms: int) -> int:
        """Take `count` valid readings by their mean, minimum and maximum. Returns as settle(), which it does
        first, so that the newest value is the last one that came.
        """
        uncounted = self.settle()
        self.add_up()
        self._span(low, high)
        self.total.add_mean(mean, count)
        self.last = mean
        return uncounted

    def not_ok(self, quality: int, value: float | None, count: int = 1) -> None:
        """Account for a reading that is not OK (or `count` of them); `value` when it has one (their mean)."""
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
        return self.valid() + sum(self.reasons.values())

    def outcome(self, expected: int, share_min: float, before: State) -> Outcome:
        """The window's numbers; `before` is what was known at its start."""
        self.add_up()
        if not self.total.count:
            other = before.last if self.others is None else self.others.mean()
            return self.concluded(0, expected, share_min, other, before)
        state = State(self.last)  # nobody looks here at what a meter showed, or since when it is the same
        found = self.concluded(self.total.count, expected, share_min, self.total.mean(), state)
        deviation = self.total.deviation()
        return found._replace(minimum=self.minimum, maximum=self.maximum, deviation=deviation)

    def concluded(
        self, valid: int, expected: int, share_min: float, value: float | None, state: State
    ) -> Outcome:
        """The value with its status (rules 2 and 3), by how many readings are valid."""
        share = min(1.0, valid / expected) if expected else 0.0
        quality = q.OK if valid and share >= share_min else self._reason(expected, valid)
        said = flags.told(self.reasons)
        return Outcome(value, quality, valid, expected, share, None, None, None, said, state)

    def _reason(self, expected: int, valid: int) -> int:
        """The quality that explains most of what is missing (rule 3)."""
        missing = dict(self.reasons)
        taken = valid + sum(missing.values())
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
            key=lambda quality: (missing[quality], -flags.PRECEDENCE.index(quality)),
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
        self.carried = State()  # what the newest closed window left
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

    def update_ms(self) -> int:
        """How often there is a new value; 0 while nobody has said."""
        return max(self.channel.update_ms or 0, self.interval_ms)

    def held(self, end_ms: int, length_ms: int) -> Outcome | None:
        """What a window without any reading is, where the last value still holds (rule 5)."""
        before, update_ms = self.carried, self.update_ms()
        if not self.channel.holds or update_ms <= length_ms or before.last_ms is None:
            return None
        if end_ms - before.last_ms > HOLD * update_ms:
            return None
        value = 0.0 if self.channel.average == "total" else before.last
        return Outcome(value, q.OK, 0, 0, 1.0, None, None, None, "", before)

    def open(self) -> int:
        """Readings in windows that are not closed yet."""
        return sum(cell.count() for cell in self.cells.values())
