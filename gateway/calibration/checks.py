"""Records of calibrations as zero and span checks of QAL3 (gateway/qal3.py). Pure.

Rule 1: of a record's points the one nearest to zero is the zero check, and that nearest to span the span
        check; a point is of that of the two which it is nearer to. Others are none.
Rule 2: an adjustment is an intervention: as the instrument was found is charted before it, as it was left
        behind it, a millisecond later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.calibration.record import Point, Record
from gateway.qal3 import SPAN, ZERO, Check, Intervention

ADJUSTED = "adjusted"
"""What was done, in the file of interventions, where no remark says it."""


class Charted(NamedTuple):
    """What records add to the charts of one instrument."""

    checks: tuple[Check, ...] = ()
    interventions: tuple[Intervention, ...] = ()

    @property
    def first_ms(self) -> int | None:
        """When the first of them was made."""
        return min((check.time_ms for check in self.checks), default=None)


def charted(records: Iterable[Record]) -> Charted:
    """Of the records of one channel."""
    checks: list[Check] = []
    interventions: list[Intervention] = []
    for record in records:
        for name, point in _ends(record):
            checks.append(Check(record.at_ms, name, point.reference, point.before))
            if record.is_adjusted and point.after is not None:
                checks.append(Check(record.at_ms + 1, name, point.reference, point.after))
        if record.is_adjusted:
            action = record.remark or ADJUSTED
            interventions.append(Intervention(record.at_ms + 1, "", action, record.who))
    return Charted(tuple(checks), tuple(interventions))


def _ends(record: Record) -> list[tuple[str, Point]]:
    zero, span = record.limits.zero, record.limits.span
    if span is None:
        span = max(point.reference for point in record.points)
    places = {ZERO: (zero, span), SPAN: (span, zero)}
    found = []
    for name, (here, there) in places.items():
        near = [p for p in record.points if abs(p.reference - here) < abs(p.reference - there)]
        nearest = _nearest(near, here)
        found += [(name, nearest)] if nearest else []
    return found


def _nearest(points: Sequence[Point], place: float) -> Point | None:
    return min(points, key=lambda point: abs(point.reference - place), default=None)
