"""A channel's windows as plain columns: a year of twelve channels is 1.26 million windows. Pure.

Rule 1: newest revisions only, each start once, in ascending order; a window stands in one pair of columns.
Rule 2: `values` are of valid windows (quality OK, with a value); of all others only the quality is kept.
Times are Unix ms.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple


class Columns(NamedTuple):
    """One channel."""

    symbol: str
    unit: str
    starts: array[int]  # of valid windows
    values: array[float]  # ... in the channel's unit
    bad_starts: array[int]  # of all others
    bad: array[int]  # ... their quality

    def qualities(self, from_ms: int, to_ms: int) -> dict[int, int]:
        """Quality by start, of the windows that are not valid and begin within from <= time < to."""
        low, high = bisect_left(self.bad_starts, from_ms), bisect_left(self.bad_starts, to_ms)
        return dict(zip(self.bad_starts[low:high], self.bad[low:high], strict=True))

    @property
    def is_empty(self) -> bool:
        """Whether there is no window at all."""
        return not self.starts and not self.bad_starts


def none_of(symbol: str, unit: str) -> Columns:
    """A channel without any window."""
    return Columns(symbol, unit, array("q"), array("d"), array("q"), array("b"))
