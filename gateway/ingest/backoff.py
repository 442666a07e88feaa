"""How long to leave something alone that did not answer. Pure: callers bring the time."""

from __future__ import annotations

from random import Random

FIRST_S = 1.0
LONGEST_S = 30.0
"""An instrument switched on again is seen within half a minute; until then each probe costs a timeout."""
JITTER = 0.2
"""Share by which an interval is shortened at random, so that lines do not probe in step."""


class Backoff:
    """Doubling intervals from FIRST_S to LONGEST_S. `failures` is 0 while all is well."""

    __slots__ = ("_rng", "failures", "interval_ns", "until_ns")

    def __init__(self, rng: Random):
        self._rng = rng
        self.failures = 0
        self.interval_ns = 0
        self.until_ns = 0

    def fail(self, now_ns: int) -> float:
        """Note a failure at `now_ns` (monotonic); returns the seconds to wait."""
        seconds = min(LONGEST_S, FIRST_S * 2.0 ** min(self.failures, 16))
        seconds *= 1 - JITTER * self._rng.random()
        self.failures += 1
        self.interval_ns = int(seconds * 1e9)
        self.until_ns = now_ns + self.interval_ns
        return seconds

    def due(self, now_ns: int) -> bool:
        """Whether the wait is over."""
        return now_ns >= self.until_ns

    def hurry(self) -> None:
        """Something changed: try at once, yet do not believe it yet."""
        self.until_ns = 0

    def reset(self) -> None:
        """It works."""
        self.failures = self.interval_ns = self.until_ns = 0
