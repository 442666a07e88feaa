"""VN_AQI, the air quality index of Quyết định 1459/QĐ-TCMT of 12/11/2019: hourly and daily. Pure.

Rule 1: concentrations are hourly means in µg/m³ (25 °C, 760 mmHg), None where an hour is missing or not
        valid. in_ug_m3() converts what can be converted; parts per billion are refused.
Rule 2: an index is the largest sub-index; without PM10 and without PM2.5 there is none (mục 2.1).
Rule 3: sub-indices and index are whole numbers, a half is rounded up; above the last breakpoint they are 500.

Marks: [law] is the decision's own text as reproduced in public: breakpoints (Bảng 2), NowCast and its
condition on the newest three hours, the daily means, O3 above 400, rounding to whole numbers; the examples of
mục 2.3 are tests. [not verified]: how many hours a mean over 8 or 24 hours needs. The decision does not say;
it is SHARE_MIN, as for windows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isfinite, lcm
from typing import NamedTuple

from gateway.indices import counted, exact
from gateway.indices.words import AirClass, air_class

Hours = Sequence[float | None]

LEVELS = (0, 50, 100, 150, 200, 300, 400, 500)
BREAKPOINTS = {  # Bảng 2, µg/m³
    "O3": (0, 160, 200, 300, 400, 800, 1000, 1200),
    "O3 8h": (0, 100, 120, 170, 210, 400),
    "CO": (0, 10_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000),
    "SO2": (0, 125, 350, 550, 800, 1600, 2100, 2630),
    "NO2": (0, 100, 200, 700, 1200, 2350, 3100, 3850),
    "PM10": (0, 50, 150, 250, 350, 420, 500, 600),
    "PM2.5": (0, 25, 50, 80, 150, 250, 350, 500),
}
PARAMETERS = ("PM2.5", "PM10", "O3", "NO2", "SO2", "CO")
DUSTS = ("PM2.5", "PM10")
NOWCAST_HOURS = 12
NEWEST_HOURS, NEWEST_MIN = 3, 2  # of the newest three hours two must be there
DAY_HOURS, LONG_HOURS = 24, 8
SHARE_MIN = Fraction(3, 4)
_LESS = Fraction(1, 2)  # the smallest weight of a NowCast
TOO_FEW = "{}: fewer than 2 of the newest 3 hours"

FACTORS = {"ug/m3": 1.0, "µg/m3": 1.0, "µg/m³": 1.0, "ug/nm3": 1.0, "µg/nm3": 1.0, "µg/nm³": 1.0}
FACTORS |= {"mg/m3": 1000.0, "mg/m³": 1000.0, "mg/nm3": 1000.0, "mg/nm³": 1000.0}


class UnitRefused(ValueError):
    """A unit that VN_AQI cannot be computed from; str() is the sentence for a person."""


def in_ug_m3(value: float | None, unit: str, parameter: str = "") -> float | None:
    """A concentration in µg/m³. UnitRefused as factor_of()."""
    return converted(value, factor_of(unit, parameter))


def factor_of(unit: str, parameter: str = "") -> float:
    """What figures in `unit` are multiplied with. UnitRefused for parts per billion, and for unknown units.

    Parts per billion depend on the molar mass and on the state that the analyser refers to: it can convert.
    """
    known = unit.strip().replace("\u03bc", "µ").lower()  # a Greek mu is a micro sign
    factor = FACTORS.get(known)
    if factor is None:
        what = f"{parameter or 'This channel'} is in '{unit}', and VN_AQI is computed from µg/m³."
        if known in ("ppb", "ppm", "ppbv", "ppmv"):
            raise UnitRefused(f"{what} Set the analyser to µg/m³ or mg/m³ (25 °C, 760 mmHg).")
        raise UnitRefused(f"{what} Give the channel's unit as ug/m3 or mg/m3.")
    return factor


def converted(value: float | None, factor: float) -> float | None:
    """A figure times the factor, as it is written: 4.8 mg/m³ are 4800 µg/m³ and nothing beside it."""
    if value is None or not isfinite(value):
        return None
    return value if factor == 1.0 else float(Decimal(repr(float(value))) * Decimal(factor))


class NowCast(NamedTuple):
    """A weighted mean of the last twelve hours (mục 2.2.1.a)."""

    value: Fraction  # µg/m³
    ratio: Fraction  # smallest by largest
    weight: Fraction  # of an hour against the one after it; never below 1/2
    missing: int  # of twelve hours


class Hourly(NamedTuple):
    """AQI of one hour."""

    value: int | None
    sub: dict[str, int]  # by parameter
    deciding: str  # the parameter with the largest sub-index; "" without a value
    rated: AirClass | None
    missing: tuple[str, ...]  # what could not be computed, and what the figures lack, in sentences' parts
    nowcast: dict[str, float]  # µg/m³, of the dusts


class Daily(NamedTuple):
    """AQI of one day. `sub` has "O3" and "O3 8h" apart, as the decision's example shows them."""

    value: int | None
    sub: dict[str, int]
    deciding: str
    rated: AirClass | None
    missing: tuple[str, ...]
    used: dict[str, float]  # µg/m³: the concentration behind each sub-index


def nowcast(newest_first: Hours) -> NowCast | None:
    """NowCast of hourly means, the newest first; None unless two of the newest three are there.

    [law] Where the weight is 1/2 the decision gives the plain sum of (1/2)^i c_i, which is not divided by the
    weights: with hours missing it is low by their share. It is computed so, and Hourly.missing says so.
    """
    hours = [exact(value) for value in newest_first[:NOWCAST_HOURS]]
    hours += [None] * (NOWCAST_HOURS - len(hours))
    if sum(value is not None for value in hours[:NEWEST_HOURS]) < NEWEST_MIN:
        return None
    there = [(i, value) for i, value in enumerate(hours) if value is not None]
    # In whole numbers, so that a year of hours takes a second or two: of 1/unit µg/m³, weights w = a/b.
    unit = lcm(*(value.denominator for _, value in there))
    figures = [(i, value.numerator * (unit // value.denominator)) for i, value in there]
    least, most = min(n for _, n in figures), max(n for _, n in figures)
    ratio = Fraction(least, most) if most else Fraction(1)
    weight = max(ratio, _LESS)
    a, b = weight.as_integer_ratio()
    weights = [a**i * b ** (NOWCAST_HOURS - 1 - i) for i in range(NOWCAST_HOURS)]
    total = sum(weights[i] * n for i, n in figures)
    parts = b**NOWCAST_HOURS if weight == _LESS else sum(weights[i] for i, _ in figures)
    return NowCast(Fraction(total, parts * unit), ratio, weight, NOWCAST_HOURS - len(there))


def is_least(cast: NowCast) -> bool:
    """Whether its weight is the smallest one, for which the decision has another formula."""
    return cast.weight == _LESS


def lacking(name: str, missing: int, least: bool) -> str:
    """What a NowCast lacks; "" where it lacks nothing."""
    low = ", the sum is not divided by the weights" if least else ""
    return f"{name}: {missing} of 12 hours{low}" if missing else ""


def sub_index(scale: str, concentration: Fraction | float) -> int | None:
    """The sub-index of a concentration in µg/m³; `scale` is a key of BREAKPOINTS.

    None for O3 8h above its last breakpoint, 400 (mục 2.2.2.b), and for what is no number.
    """
    x = concentration if isinstance(concentration, Fraction) else exact(concentration)
    found = None if x is None else unrounded(scale, x)
    if found is None:
        return None
    over, under = found
    return (2 * over + under) // (2 * under)  # a half more, and cut: a half is rounded up


def unrounded(scale: str, x: Fraction) -> tuple[int, int] | None:
    """Công thức 1, before it is rounded: a fraction of whole numbers, not reduced."""
    limits = BREAKPOINTS[scale]
    if len(limits) < len(LEVELS) and x > limits[-1]:
        return None
    n, d = x.as_integer_ratio()
    i = bisect_right(limits, n // d) - 1  # limits are whole: those up to x are those up to its whole part
    if i == len(limits) - 1:
        return LEVELS[i], 1
    width, rise = limits[i + 1] - limits[i], LEVELS[i + 1] - LEVELS[i]
    return LEVELS[i] * width * d + rise * (n - limits[i] * d), width * d


def hourly(newest_first: Mapping[str, Hours]) -> Hourly:
    """AQI of the hour that stands first in each sequence; parameters as in PARAMETERS, in µg/m³.

    A parameter that is not in the mapping is not measured here. Of the gases only the first hour counts.
    """
    sub: dict[str, int] = {}
    missing: list[str] = []
    casts: dict[str, float] = {}
    for name in PARAMETERS:
        hours = newest_first.get(name)
        if hours is None:
            continue
        if name in DUSTS:
            cast = nowcast(hours)
            if cast is None:
                missing.append(TOO_FEW.format(name))
                continue
            casts[name] = float(cast.value)
            if lacks := lacking(name, cast.missing, is_least(cast)):
                missing.append(lacks)
            index = sub_index(name, cast.value)
        else:
            now = exact(hours[0]) if hours else None
            index = None if now is None else sub_index(name, now)
            if index is None:
                missing.append(f"{name}: this hour")
        if index is not None:
            sub[name] = index
    value, deciding = largest(sub, missing)
    return Hourly(value, sub, deciding, air_class(value), tuple(missing), casts)


def daily(oldest_first: Mapping[str, Hours], before: Mapping[str, Hours] | None = None) -> Daily:
    """AQI of a day from its 24 hourly means, 00:00-01:00 first; `before`: the last hours of the day before.

    8-hour means end within the day; the first seven of them need `before` (the decision's example has 24 of
    them). Means over 8 and 24 hours need SHARE_MIN of their hours.
    """
    sub: dict[str, int] = {}
    missing: list[str] = []
    used: dict[str, float] = {}
    for name in PARAMETERS:
        if name not in oldest_first:
            continue
        day = [counted(value) for value in oldest_first[name][:DAY_HOURS]]
        day += [None] * (DAY_HOURS - len(day))
        absent = day.count(None)
        if absent:
            missing.append(f"{name}: {absent} of 24 hours")
        if name in DUSTS:
            figures = {name: _mean(day, missing, f"{name}: the mean of 24 hours")}
        else:
            figures = {name: exact(max([value for value in day if value is not None], default=None))}
        if name == "O3":
            figures["O3 8h"] = _longest(day, (before or {}).get(name, ()))
        for scale, figure in figures.items():
            index = None if figure is None else sub_index(scale, figure)
            if figure is not None and index is not None:
                sub[scale], used[scale] = index, float(figure)
            elif figure is not None:
                missing.append("O3: no index of 8 hours above 400 µg/m³")
    value, deciding = largest(sub, missing)
    return Daily(value, sub, deciding, air_class(value), tuple(missing), used)


def _longest(day: Hours, before: Hours) -> Fraction | None:
    """The largest mean over 8 hours that ends within the day; all of them at least zero.

    Floats say which may be the largest: a sum of eight is good to 1e-15, but next to nothing.
    """
    earlier = [counted(value) for value in before[-(LONG_HOURS - 1) :]]
    hours = [None] * (LONG_HOURS - 1 - len(earlier)) + earlier + list(day)
    spans = [hours[i : i + LONG_HOURS] for i in range(len(hours) - LONG_HOURS + 1)]
    found = [(sum(there) / len(there), span) for span in spans if (there := _enough(span))]
    largest_mean = max([mean for mean, _ in found], default=0.0)
    least = largest_mean * (1 - 1e-9) if largest_mean > 1e-100 else 0.0
    means = [_mean(span) for mean, span in found if mean >= least]
    return max([mean for mean in means if mean is not None], default=None)


def _enough(hours: Hours) -> list[float]:
    """Those that are there, if they are enough for a mean, else none."""
    there = [value for value in hours if value is not None]
    return there if len(there) * SHARE_MIN.denominator >= SHARE_MIN.numerator * len(hours) else []


def _mean(hours: Hours, missing: list[str] | None = None, what: str = "") -> Fraction | None:
    there = [value for each in _enough(hours) if (value := exact(each)) is not None]
    if not there:
        if missing is not None:
            missing.append(what)
        return None
    unit = lcm(*(value.denominator for value in there))  # in whole numbers, as in nowcast()
    return Fraction(sum(value.numerator * (unit // value.denominator) for value in there), unit * len(there))


def largest(sub: Mapping[str, int], missing: list[str]) -> tuple[int | None, str]:
    """The index of sub-indices and the parameter that decides it; without a dust there is none, and why."""
    if not any(name in sub for name in DUSTS):
        missing.append("PM10 or PM2.5, without which there is no VN_AQI")
        return None, ""
    deciding = max(sub, key=lambda name: sub[name])  # the first of equals
    return sub[deciding], deciding
