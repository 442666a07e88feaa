"""How fast a destination takes documents, and when it will have caught up, by what was delivered. Pure.

Rule 1: nothing is said while it does not move: an estimate that stands still is a lie by the minute.
Rule 2: what comes meanwhile is part of it: a destination that takes less than comes never catches up.
Rule 3: a pause is not slowness: after one, the pace is measured from its end.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

LATELY_S = 300.0
"""What counts as lately: two windows of five minutes lie no further apart."""
SPAN_S_MIN = 5.0
"""Less tells nothing."""
STEP_S = 2.0
"""Between two samples that are kept: at most 150."""
STILL_S = 120.0
"""Without a delivery for so long, or for thrice its usual interval, it does not move."""


class _Sample(NamedTuple):
    at_s: float
    delivered: int
    queued: int


class Pace:
    """Give it, as often as you like, the time (s, of a clock that only rises) and the two counters."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._moved_s = float("-inf")  # when a delivery was seen last
        self._interval_s = 0.0  # between two, as they were then
        self._now_s = 0.0

    def look(self, now_s: float, delivered: int, queued: int) -> None:
        """So many documents were delivered and queued by now."""
        samples, still = self._samples, self._still(now_s)
        self._now_s = now_s
        if still:  # the pace is measured from the end of the pause
            while len(samples) > 1:
                samples.popleft()
        if samples and delivered > samples[-1].delivered:
            self._moved_s = now_s
            self._interval_s = (now_s - samples[0].at_s) / (delivered - samples[0].delivered)
        elif still:
            samples.clear()
        if len(samples) > 1 and now_s - samples[-2].at_s < STEP_S:
            samples.pop()
        samples.append(_Sample(now_s, delivered, queued))
        while len(samples) > 2 and now_s - samples[1].at_s >= LATELY_S:
            samples.popleft()

    def _still(self, now_s: float) -> bool:
        return now_s - self._moved_s > max(STILL_S, 3 * self._interval_s)

    def rate_per_s(self) -> float | None:
        """Documents delivered a second, lately; None while nothing is."""
        if len(self._samples) < 2 or self._still(self._now_s):
            return None
        first, last = self._samples[0], self._samples[-1]
        span_s, count = last.at_s - first.at_s, last.delivered - first.delivered
        return count / span_s if span_s >= SPAN_S_MIN and count > 0 else None

    def eta_s(self, waiting: int) -> float | None:
        """Seconds until `waiting` documents, and those that come meanwhile, are delivered; None: never, or
        nobody knows.
        """
        rate = self.rate_per_s()
        if rate is None:
            return None
        net = rate - (self._samples[-1].queued - self._samples[0].queued) / LATELY_S
        return waiting / net if net > 0 else None
