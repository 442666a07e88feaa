"""What a value shows against a limit: beyond it, so near that nothing ends yet, or within. Pure arithmetic.

    limit 75, clear_share 0.95        |---- within ----| 71.25 |--- near ---| 75 |--- exceeds ---|
    warning: the same with 60 = 0.8 x 75 in the place of the limit, below the limit itself

Rule 1: a level moves inwards by a share of the limit: from 75 by a fifth to 60, from a least 6 by a fifth
        to 7.2.
Rule 2: where there is a least and a most (pH 6 to 9), by that share of the range, half at each end: it is
        warned in the outer fifth, below 6.3 and above 8.7. A share of 9 would say nothing about a pH.
Rule 3: the limit itself is allowed; so is the level of the warning.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.alert_states import EXCEEDS, NEAR, WITHIN


class Levels(NamedTuple):
    """What may not be gone beyond."""

    low: float | None
    high: float | None

    def inner(self, share: float) -> Levels:
        """Moved inwards, so that a value within them is at most at `share` of these (rules 1 and 2)."""
        low, high, rest = self.low, self.high, 1 - share
        if low is not None and high is not None:
            margin = (high - low) * rest / 2
            return Levels(_round(low + margin), _round(high - margin))
        return Levels(
            None if low is None else _round(low + abs(low) * rest),
            None if high is None else _round(high - abs(high) * rest),
        )

    def beyond(self, value: float) -> float | None:
        """The level that a value is beyond; None within them."""
        if self.high is not None and value > self.high:
            return self.high
        if self.low is not None and value < self.low:
            return self.low
        return None


def shows(levels: Levels, value: float, clear_share: float) -> str:
    """EXCEEDS, NEAR (not beyond, and not far enough within to end an alert) or WITHIN."""
    if levels.beyond(value) is not None:
        return EXCEEDS
    return WITHIN if levels.inner(clear_share).beyond(value) is None else NEAR


def warns(levels: Levels, value: float, warn_share: float, clear_share: float) -> tuple[str, Levels]:
    """What it shows of a warning, and the level at which it is warned. What is beyond the limit itself
    neither raises nor ends a warning: an alert of its own says so.
    """
    warning = levels.inner(warn_share)
    if levels.beyond(value) is not None:
        return NEAR, warning
    return shows(warning, value, clear_share), warning


def _round(value: float) -> float:
    """Without what floats add: 0.8 x 74.25 is 59.4."""
    return float(f"{value:.12g}")
