"""Signs to look at in a report (gateway/suspicion), from the columns of its channels. Pure.

Rule 1: they are looked for in periods up to half a year: a year would take as long again as the report.
Rule 2: only channels whose window is a mean: a direction or a meter's increase has no noise to speak of.
Rule 3: whole days; the first week of a period has no past to be compared with, and nothing is made of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.columns import Columns
from gateway.spans import Span, days
from gateway.suspicion import DAY_MS, Sign, track_of
from gateway.suspicion.look import look

LENGTH_MAX_MS = 184 * DAY_MS
DAYS_MIN = 7
"""Below it no statistic has anything to go by."""


class Looked(NamedTuple):
    """A channel to be looked at."""

    symbol: str
    unit: str
    decimals: int
    maximum: float | None  # of the limits of its windows


class Signs(NamedTuple):
    """What was found; None where the period is too long to be looked at."""

    signs: tuple[Sign, ...] | None
    symbols: tuple[str, ...]  # that were looked at


def can_look(from_ms: int, to_ms: int) -> bool:
    """Whether a period is short enough."""
    return to_ms - from_ms <= LENGTH_MAX_MS


def signs_of(
    channels: Sequence[Looked], columns: Mapping[tuple[str, str], Columns], span: Span, reach_ms: int,
    step_ms: int,
) -> Signs | None:  # fmt: skip
    """None where there is too little to judge by, or windows do not divide a day."""
    whole = [day for day in days(span.start_ms, min(span.end_ms, reach_ms)) if day.end_ms <= span.end_ms]
    if len(whole) < DAYS_MIN or DAY_MS % step_ms:
        return None
    if not can_look(*span):
        return Signs(None, ())
    inside = Span(whole[0].start_ms, whole[-1].end_ms)
    there = [one for one in channels if (one.symbol, one.unit) in columns]
    tracks = [track_of(columns[one.symbol, one.unit], inside, step_ms, one.decimals) for one in there]
    limits = {one.symbol: one.maximum for one in there if one.maximum is not None}
    return Signs(tuple(look(tracks, limits)), tuple(one.symbol for one in there))
