"""What a correction makes of a channel: the points that its readings are led over from then on. Pure.

Rule 1: a correction undoes the line that was found (fit.py): corrected = (reading - offset) / slope. Where
        one is in force already, the reading is what that one gives: both together are one set of points.
Rule 2: an instrument whose line is far from a true one is repaired and not corrected.

Worked example: references 0 and 100 show 1 and 102, so offset 1 and slope 1.01; then 1 becomes 0, 102 becomes
100, and 51.5 becomes 50. A year later it shows 0.5 and 100.5 of them, corrected: offset 0.5, slope 1. Of the
raw 1 the first makes 0, the second -0.5; of the raw 102, 100 and 99.5: the points are (1, -0.5), (102, 99.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.calibration.fit import Line, found_line
from gateway.calibration.record import Point
from protocol.calibration import check, engineering
from protocol.errors import ConfigError

SLOPE_MIN, SLOPE_MAX = 0.5, 2.0

Points = tuple[tuple[float, float], ...]


class NoCorrection(ValueError):
    """Its text says why, for people."""


def corrected(standing: Sequence[Sequence[float]], points: Sequence[Point]) -> Points:
    """The points that follow from these readings, behind those that are in force. NoCorrection."""
    found = found_line(points)
    if not SLOPE_MIN <= found.slope <= SLOPE_MAX:
        raise NoCorrection(
            f"The readings change by {found.slope:.3g} where the reference changes by 1: between "
            f"{SLOPE_MIN:g} and {SLOPE_MAX:g} is corrected, anything else is repaired."
        )
    if standing:
        made = tuple([(float(raw), _undone(value, found)) for raw, value in standing])
    else:
        ends = (min(point.before for point in points), max(point.before for point in points))
        made = tuple([(raw, _undone(raw, found)) for raw in ends])
    try:
        check(made)
    except ConfigError as error:
        raise NoCorrection(f"These readings give no correction ({error}).") from None
    return made


def left(standing: Sequence[Sequence[float]], made: Points, points: Sequence[Point]) -> tuple[Point, ...]:
    """The points of a record with what each would have shown as it is left. NoCorrection."""
    return tuple([point._replace(after=engineering(_raw(point.before, standing), made)) for point in points])


def _undone(reading: float, line: Line) -> float:
    return (reading - line.offset) / line.slope


def _raw(value: float, points: Sequence[Sequence[float]]) -> float:
    """What the instrument indicated where the points gave this value."""
    turned = sorted((float(at), float(raw)) for raw, at in points)
    raws = [raw for _, raw in turned]
    try:
        check(turned)
    except ConfigError:
        raise NoCorrection("What is in force now has no inverse: give points by command instead.") from None
    if raws not in (sorted(raws), sorted(raws, reverse=True)):
        raise NoCorrection("What is in force now has no inverse: give points by command instead.")
    return engineering(value, turned)
