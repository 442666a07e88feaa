"""Rules by which the readings of a channel are held against each other. Pure.

Rule 1: a reading is judged by those of its own window only, in the order of their times: what comes out is
        the same in whatever order they arrived, and for whoever computes the window again.
Rule 2: the first rule that a reading breaks names it: below zero, beyond what the medium can be, a spike, too
        fast a change. A reading that is no good already (its quality) is not judged and judges no other.
Rule 3: stuck is a matter of time, over as many windows as it takes: gateway/timed.py.

A spike and the change behind it are one thing: a reading is held against the last one that was no spike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway import flags
from protocol import quality as q

MINUTE_MS = 60_000


class Checks(NamedTuple):
    """What readings of a channel are held against, in its unit; None: not at all. A journal keeps it
    (CONFIGURATION): add fields at the end, with a default.
    """

    low: float | None = None  # plausible in this medium
    high: float | None = None
    rate_per_min: float | None = None  # the fastest change
    spike: float | None = None  # the least distance from both neighbours
    stuck_ms: int | None = None  # the longest time without any change
    resolution: float = 0.0  # what the instrument can tell apart
    negative_min: float | None = None  # below this a concentration is negative


def judged(samples: Sequence[tuple[int, float]], checks: Checks) -> list[int]:
    """The quality of each reading (time_ms, value); in the order of time, good so far."""
    found = [_by_itself(value, checks) for _, value in samples]
    if checks.spike is not None:
        good = [place for place, quality in enumerate(found) if not quality]
        for before, place, after in zip(good, good[1:], good[2:], strict=False):
            if _is_spike(*[samples[n][1] for n in (before, place, after)], least=checks.spike):
                found[place] = flags.SPIKE
    if checks.rate_per_min is not None:
        _too_fast(samples, found, checks.rate_per_min)
    return found


def _by_itself(value: float, checks: Checks) -> int:
    if checks.negative_min is not None and value < checks.negative_min:
        return flags.NEGATIVE
    if (checks.low is not None and value < checks.low) or (checks.high is not None and value > checks.high):
        return flags.IMPLAUSIBLE
    return q.OK


def _is_spike(before: float, value: float, after: float, least: float) -> bool:
    return min(value - before, value - after) > least or min(before - value, after - value) > least


def _too_fast(samples: Sequence[tuple[int, float]], found: list[int], rate_per_min: float) -> None:
    """Flag what changed faster than that since the reading before; of two of one moment nobody can tell."""
    before: tuple[int, float] | None = None
    for place, (time_ms, value) in enumerate(samples):
        if found[place]:
            continue
        if before is not None and time_ms > before[0]:
            allowed = rate_per_min * (time_ms - before[0]) / MINUTE_MS
            if abs(value - before[1]) > allowed:
                found[place] = flags.RATE
        before = time_ms, value
