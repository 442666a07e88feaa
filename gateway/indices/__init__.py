"""Indices for the public: VN_AQI of the air, VN_WQI of surface water (vn_aqi, vn_wqi), their words (words).

Rule 1: everything here is pure: numbers in, a NamedTuple out; nothing is read, and nothing is guessed.
Rule 2: where the rule asks for more data than there is, the value is None and `missing` says what is missing.
Rule 3: figures are taken as they are written (4.8 is 48/10), so that a half is rounded as by hand.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import isfinite


@lru_cache(maxsize=1024)  # an hour stands in the twelve NowCasts from it on
def exact(value: float | None) -> Fraction | None:
    """A figure as it is written; None for none, NaN and infinity; nothing is below zero.

    Analysers show slightly negative figures about zero: an index counts them as zero.
    """
    if value is None or not isfinite(value):
        return None
    return Fraction(*Decimal(repr(float(value))).as_integer_ratio()) if value > 0 else Fraction(0)


def counted(value: float | None) -> float | None:
    """A figure as exact() counts it, still a float: None for what is none, and nothing below zero."""
    return max(0.0, value) if value is not None and isfinite(value) else None


def rounded(value: Fraction) -> int:
    """To the nearest whole number, halves up, as by hand."""
    return int(value + Fraction(1, 2))
