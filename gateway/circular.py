"""Directions: their mean as unit vectors, in degrees. Pure.

Rule 1: the same bits on every machine. The sine of the C library is not the same everywhere in its last bit,
        and a window has to come out the same for whoever computes it again; so what is used here is made of
        additions and multiplications of 64-bit floats alone, which IEEE 754 fixes. Good to 1e-12.
Rule 2: sums are exact (math.fsum): no order of readings shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt

PI = 3.141592653589793
NOWHERE = 1e-9
"""Shorter than this a mean vector points nowhere: the directions cancel each other out."""
_S3, _S5, _S7, _S9, _S11, _S13 = -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800
_C2, _C4, _C6, _C8, _C10, _C12 = -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600


def vector(degrees: float) -> tuple[float, float]:
    """(east, north) of a direction clockwise from north; any number of turns."""
    degrees %= 360.0
    quarter = int(degrees / 90.0 + 0.5)
    radians = (degrees - quarter * 90.0) * PI / 180.0
    x = radians * radians  # Horner's scheme written out: reports take a hundred thousand of them
    sine = radians * ((((((_S13 * x + _S11) * x + _S9) * x + _S7) * x + _S5) * x + _S3) * x + 1.0)
    cosine = (((((_C12 * x + _C10) * x + _C8) * x + _C6) * x + _C4) * x + _C2) * x + 1.0
    if quarter % 2:
        sine, cosine = cosine, -sine
    return (-sine, -cosine) if quarter % 4 > 1 else (sine, cosine)


def direction(east: float, north: float) -> float:
    """The direction of a vector: 0 <= degrees < 360. (0, 0) has none and gives 0."""
    x, y = abs(east), abs(north)
    if not x and not y:
        return 0.0
    degrees = _arc(x / y) if x <= y else 90.0 - _arc(y / x)
    if north < 0:
        degrees = 180.0 - degrees
    degrees = -degrees if east < 0 else degrees
    return degrees % 360.0 if degrees % 360.0 < 360.0 else 0.0


def _arc(ratio: float) -> float:
    """Degrees whose tangent is `ratio`, 0 to 1: halved twice, then Taylor's series to x^17."""
    for _ in range(2):
        ratio = ratio / (1.0 + sqrt(1.0 + ratio * ratio))
    square, power, terms = ratio * ratio, ratio, []
    for odd in range(1, 22, 2):
        terms.append(power / odd if odd % 4 == 1 else -power / odd)
        power *= square
    return 4.0 * fsum(terms) * 180.0 / PI


class Mean:
    """The mean of directions, each of a weight (a mean of n readings counts n times)."""

    __slots__ = ("east", "north", "weight")

    def __init__(self, weighted: Sequence[tuple[float, int]]):
        vectors = [(*vector(degrees), count) for degrees, count in weighted]
        self.weight = sum([count for _, count in weighted])
        self.east = fsum([east * count for east, _, count in vectors]) / self.weight
        self.north = fsum([north * count for _, north, count in vectors]) / self.weight

    @classmethod
    def of(cls, easts: Sequence[float], norths: Sequence[float]) -> Mean:
        """The mean of directions that count once each, at least one, from their vectors."""
        found = cls.__new__(cls)
        found.weight = len(easts)
        found.east, found.north = fsum(easts) / found.weight, fsum(norths) / found.weight
        return found

    def length(self) -> float:
        """1 where all are the same, 0 where they cancel each other out."""
        return min(1.0, sqrt(self.east * self.east + self.north * self.north))

    def degrees(self) -> float | None:
        """The mean direction; None where they cancel each other out."""
        return None if self.length() < NOWHERE else direction(self.east, self.north)

    def deviation(self) -> float:
        """How far they scatter, in degrees: Yamartino's estimate (J. Climate Appl. Meteor. 23, 1984), which
        reaches 103.9 at the most.
        """
        e = sqrt(max(0.0, 1.0 - self.length() ** 2))
        arc = 90.0 if e >= 1.0 else direction(e, sqrt(1.0 - e * e))  # asin
        return arc * (1.0 + 0.1547 * e * e * e)
