"""The line through the points of a calibration, and what speaks against it. Pure: no device, no clock.

Rule 1: raw = a + b x reference by least squares: the standard is what is known, the raw value what scatters
        (as in gateway/calibration/fit.py). Turned over it is the device's line: engineering = offset +
        slope x raw, with slope = 1 / b and offset = -a / b.
Rule 2: a residual is what the new calibration makes of a point's raw value, less its standard: it is taken of
        the points that the device will really use, not of the line that they were made from.
Rule 3: nonsense is refused with a sentence that says which point, and what to look at.

Worked example: the standards 0 and 100 mg/l show 2 and 94.5: b = 92.5 / 100 = 0.925, a = 2; slope = 1 / 0.925
= 1.08108..., offset = -2 / 0.925 = -2.16216...; of the raw value 48.25 the device then makes 50.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.calibration.fit import line
from protocol.calibration import engineering
from protocol.reading import bits_float, float_bits

POINTS_MIN, POINTS_MAX = 2, 5
APART = 5.0
"""How many times the scatter of two points their raw values have to lie apart."""
BENT_MAX = 5.0
"""How many times steeper or flatter than the calibration before a new one may be."""

Points = tuple[tuple[float, float], ...]
"""(raw, engineering), raw rising: what the device holds."""


class Taken(NamedTuple):
    """A point as it was taken: what the instrument indicated of a standard, over a quiet while."""

    reference: float  # in the channel's unit
    raw: float  # mean of `readings` of them
    deviation: float  # their standard deviation, raw
    readings: int
    from_ms: int  # station time of the first and the last of them, Unix ms
    to_ms: int


class Line(NamedTuple):
    """engineering = offset + slope x raw."""

    slope: float  # channel's unit per raw
    offset: float  # channel's unit


class Fault(NamedTuple):
    """What is wrong, and the points (from 0) that it may lie at."""

    said: str
    at: tuple[int, ...]


def fitted(taken: Sequence[Taken]) -> Line:
    """By rule 1. ValueError where the points give no line."""
    found = line([point.reference for point in taken], [point.raw for point in taken])
    if not found.slope:
        raise ValueError("The raw values do not change with the standards.")
    return Line(1 / found.slope, -found.offset / found.slope)


def two_points(made: Line, taken: Sequence[Taken]) -> Points:
    """The line as the device holds it: at the lowest and the highest raw value that was taken."""
    ends = (min(point.raw for point in taken), max(point.raw for point in taken))
    return as_held([(raw, made.offset + made.slope * raw) for raw in ends])


def themselves(taken: Sequence[Taken]) -> Points:
    """The points themselves, with straight lines between them."""
    return as_held(sorted((point.raw, point.reference) for point in taken))


def as_held(points: Sequence[Sequence[float]]) -> Points:
    """As 32-bit floats: what the device keeps, and what its greeting carries."""
    return tuple([(_single(raw), _single(value)) for raw, value in points])


def line_of(points: Sequence[Sequence[float]]) -> Line:
    """The line from the lowest to the highest point in force; with none the raw value is the value."""
    if not points:
        return Line(1.0, 0.0)
    (low, at_low), (high, at_high) = points[0], points[-1]
    slope = (at_high - at_low) / (high - low) if len(points) > 1 else 1.0
    return Line(slope, at_low - slope * low)


def residuals(made: Points, taken: Sequence[Taken]) -> tuple[float, ...]:
    """By rule 2, in the channel's unit."""
    return tuple([engineering(point.raw, made) - point.reference for point in taken])


def faults(
    taken: Sequence[Taken], made: Points, before: Line | None, residual_max: float, unit: str
) -> list[Fault]:
    """What speaks against a calibration; [] for nothing. `before` None: nobody knows how it should be."""
    near = too_near(taken, unit)
    if near:
        return near
    everywhere = tuple(range(len(taken)))
    slope = fitted(taken).slope
    if before is not None and slope * before.slope < 0:
        return [Fault("The raw value falls where it has to rise: were two standards confused?", everywhere)]
    ratio = 1.0 if before is None else abs(slope / before.slope)
    if not 1 / BENT_MAX <= ratio <= BENT_MAX:
        hardly = "hardly changes" if ratio > 1 else "changes far too much"
        return [
            Fault(
                f"The raw value {hardly} between the standards (slope {slope:.4g}, before "
                f"{before.slope if before else 1:.4g}): is the probe in them, and is it the right one?",
                everywhere,
            )
        ]
    return [
        Fault(
            f"Point {at + 1} ({point.reference:g} {unit}) lies {off:+.4g} beside the line, allowed is "
            f"{residual_max:.4g}.".replace("  ", " ").replace(" )", ")"),
            (at,),
        )
        for at, (point, off) in enumerate(zip(taken, residuals(made, taken), strict=True))
        if abs(off) > residual_max
    ]


def too_near(taken: Sequence[Taken], unit: str) -> list[Fault]:
    """Two standards that gave the same raw value, as far as their scatter tells; [] for none."""
    order = sorted(range(len(taken)), key=lambda at: taken[at].reference)
    for one, other in pairwise(order):
        a, b = taken[one], taken[other]
        least = max(APART * max(a.deviation, b.deviation), 1e-6 * max(abs(a.raw), abs(b.raw)))
        if abs(a.raw - b.raw) <= least:
            pair = f"{a.reference:g} and {b.reference:g} {unit}".strip()
            return [
                Fault(
                    f"{pair} gave nearly the same raw value ({a.raw:.5g} and {b.raw:.5g}): was the probe in "
                    "both, and does the instrument measure?",
                    (one, other),
                )
            ]
    return []


def _single(number: float) -> float:
    return bits_float(float_bits(number))
