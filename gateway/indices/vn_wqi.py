"""VN_WQI, the water quality index of Quyết định 1460/QĐ-TCMT of 12/11/2019, for surface water. Pure.

Rule 1: concentrations are of one sample or one mean, in mg/l but for pesticides (µg/l), coliforms (MPN/100
        ml), turbidity (NTU), pH and temperature (°C); None where there is none. Nothing is filled in.
Rule 2: groups I pH, II pesticides, III heavy metals, IV organics and nutrients, V microbiology:
            WQI = WQI_I/100 x (prod WQI_II)^(1/n)/100 x (prod WQI_III)^(1/m)/100
                  x [ (mean WQI_IV)^2 x mean WQI_V ]^(1/3)
        A group without data is left out: its factor is 1, and without V the bracket is the mean of IV.
Rule 3: published only with data of 3 of 5 groups, IV among them with 3 parameters. Else `value` is None, and
        `indicative` what comes of the data there is: an automatic station without laboratory rarely has more
        than pH and group IV.

Marks: breakpoints, classes, the eight parameters of group IV and the three groups that are needed are
[observed]. The cube root over IV and V is [not verified]: software was seen that takes the square root of
IV x V (Rule.square). What holds at the last breakpoint of a row of four (NO3, TSS, As, Cd, Pb, Cr6, Hg,
coliforms) is [not verified]: 25 at it, 10 above. TN, TP, TSS and turbidity have [observed] tables, no group
in the decision as we know it: their sub-indices are shown, and count in group IV only with Rule.extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import NamedTuple

from gateway.indices import exact, rounded
from gateway.indices.words import WaterClass, water_class

QUALITIES = (100, 75, 50, 25, 10)
TABLES: dict[str, tuple[str, ...]] = {  # concentration at which the sub-index is 100, 75, 50, 25, 10
    "BOD5": ("4", "6", "15", "25", "50"),
    "COD": ("10", "15", "30", "50", "150"),
    "TOC": ("4", "6", "15", "25", "50"),
    "NH4": ("0.3", "0.3", "0.6", "0.9", "5"),  # as N: 100 below 0.3, 75 at it
    "NO3": ("2", "5", "10", "15"),  # as N
    "PO4": ("0.1", "0.2", "0.3", "0.5", "4"),  # as P
    "As": ("0.01", "0.02", "0.05", "0.1"),
    "Cd": ("0.005", "0.008", "0.01", "0.1"),
    "Pb": ("0.02", "0.04", "0.05", "0.5"),
    "Cr6": ("0.01", "0.02", "0.04", "0.1"),
    "Cu": ("0.1", "0.2", "0.5", "1", "2"),
    "Zn": ("0.5", "1", "1.5", "2", "3"),
    "Hg": ("0.001", "0.0015", "0.002", "0.01"),
    "Coliform": ("2500", "5000", "7500", "10000"),
    "Ecoli": ("20", "50", "100", "200"),
    "TN": ("3", "6", "12", "18", "40"),
    "TP": ("0.2", "0.4", "0.6", "2", "6"),
    "TSS": ("20", "30", "50", "100"),
    "TURB": ("5", "20", "30", "70", "100"),
}
ALLOWED = {  # 100 up to and with it, 10 above
    "NO2": "0.05",  # as N, mg/l
    "Aldrin": "0.1",  # µg/l, as those below
    "BHC": "0.02",
    "Dieldrin": "0.1",
    "DDT": "1",
    "Heptachlor": "0.2",
}
PH = (("5.5", 50), ("6", 100), ("8.5", 100), ("9", 50))  # 10 outside
DO = (
    ("20", 25), ("50", 50), ("75", 75), ("88", 100), ("112", 100), ("125", 75), ("150", 50), ("200", 25),
)  # % of saturation; 10 outside  # fmt: skip
GROUPS = {
    "I": ("pH",),
    "II": ("Aldrin", "BHC", "Dieldrin", "DDT", "Heptachlor"),
    "III": ("As", "Cd", "Pb", "Cr6", "Cu", "Zn", "Hg"),
    "IV": ("DO", "BOD5", "COD", "TOC", "NH4", "NO3", "NO2", "PO4"),
    "V": ("Coliform", "Ecoli"),
}
EXTRA = ("TN", "TP", "TSS", "TURB")
_LOWEST = Fraction(10)
_FULL = Fraction(100)


class Rule(NamedTuple):
    """What is asked of the data, and what is not certain about the formula."""

    groups_min: int = 3
    group_iv_min: int = 3
    extra: bool = False  # count TN, TP, TSS and turbidity in group IV
    square: bool = False  # the square root of IV x V instead of the cube root of IV² x V


class Quality(NamedTuple):
    """VN_WQI of one sample. `deciding` is the parameter with the lowest sub-index among those combined."""

    value: int | None
    indicative: int | None
    sub: dict[str, float]
    groups: dict[str, float]  # of those with data: their mean
    deciding: str
    rated: WaterClass | None
    missing: tuple[str, ...]


def saturation_mg_l(temperature_c: float) -> float:
    """Oxygen in saturated water, mg/l, by its temperature in °C (the decision's polynomial [observed])."""
    return float(_saturation(Fraction(repr(float(temperature_c)))))


def _saturation(t: Fraction) -> Fraction:
    a, b, c, d = (Fraction(each) for each in ("14.652", "0.41022", "0.0079910", "0.000077774"))
    return a - b * t + c * t**2 - d * t**3


def oxygen_percent(oxygen_mg_l: float | None, temperature_c: float | None) -> Fraction | None:
    """Dissolved oxygen as a share of saturation, %; None when either is missing, or no water has it."""
    oxygen, t = exact(oxygen_mg_l), exact(temperature_c)
    if oxygen is None or t is None or _saturation(t) <= 0:
        return None
    return oxygen / _saturation(t) * 100


def sub_index(parameter: str, value: float | Fraction | None) -> Fraction | None:
    """The sub-index 10 to 100; of "DO" by % of saturation. None for none; KeyError for what has no table."""
    x = value if isinstance(value, Fraction) else exact(value)
    if x is None:
        return None
    if parameter in ("pH", "DO"):
        points = [(Fraction(at), Fraction(q)) for at, q in (PH if parameter == "pH" else DO)]
        return between(x, points) if points[0][0] <= x <= points[-1][0] else _LOWEST
    if parameter in ALLOWED:
        return _FULL if x <= Fraction(ALLOWED[parameter]) else _LOWEST
    return _falling(x, [Fraction(at) for at in TABLES[parameter]])


def _falling(x: Fraction, limits: list[Fraction]) -> Fraction:
    if x > limits[-1]:
        return _LOWEST
    if x < limits[0]:
        return _FULL
    points = [(at, Fraction(q)) for at, q in zip(limits, QUALITIES, strict=False)]
    if limits[0] == limits[1]:  # a step: 100 below it, 75 at it
        points = points[1:]
    return between(x, points)


def between(x: Fraction, points: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """Linear interpolation in (x, y) points of rising x; `x` must lie within them."""
    for (low, at_low), (high, at_high) in pairwise(points):
        if low <= x <= high:
            return at_low + (at_high - at_low) * (x - low) / (high - low)
    raise AssertionError("outside of the points")


def quality(values: Mapping[str, float | None], rule: Rule | None = None) -> Quality:
    """VN_WQI of a sample: symbols as in GROUPS and EXTRA, and "Temp" for oxygen.

    "DO" is in mg/l and needs "Temp"; "DO%" is taken as it is. Other symbols are passed over.
    """
    rule = rule or Rule()
    sub, missing = _sub_indices(values)
    groups = {name: [sub[each] for each in members if each in sub] for name, members in GROUPS.items()}
    if rule.extra:
        groups["IV"] += [sub[each] for each in EXTRA if each in sub]
    there = {name: found for name, found in groups.items() if found}
    missing += [f"group {name}: {', '.join(GROUPS[name])}" for name in GROUPS if name not in there]
    combined = _combined(there, rule)
    ruled = len(there) >= rule.groups_min and len(groups["IV"]) >= rule.group_iv_min
    if len(there) < rule.groups_min:
        missing.append(f"{len(there)} of the {rule.groups_min} groups that VN_WQI needs")
    if len(groups["IV"]) < rule.group_iv_min:
        missing.append(f"group IV: {len(groups['IV'])} of the {rule.group_iv_min} parameters that it needs")
    counted = [each for members in GROUPS.values() for each in members if each in sub]
    counted += [each for each in EXTRA if rule.extra and each in sub]
    value = combined if ruled else None
    return Quality(
        value,
        combined,
        {name: float(index) for name, index in sub.items()},
        {name: float(_mean_of(name, found)) for name, found in there.items()},
        min(counted, key=lambda name: sub[name], default=""),
        water_class(value),
        tuple(missing),
    )


def _sub_indices(values: Mapping[str, float | None]) -> tuple[dict[str, Fraction], list[str]]:
    sub: dict[str, Fraction] = {}
    missing: list[str] = []
    known = [each for members in GROUPS.values() for each in members] + list(EXTRA)
    for name in known:
        value: float | Fraction | None = values.get(name)
        if name == "DO":
            direct = exact(values.get("DO%"))
            value = direct if direct is not None else oxygen_percent(values.get("DO"), values.get("Temp"))
            if value is None and values.get("DO") is not None:
                missing.append("DO: no water temperature, so no saturation")
        index = sub_index(name, value)
        if index is not None:
            sub[name] = index
        elif name in values and values[name] is None:
            missing.append(name)
    return sub, missing


def _mean_of(group: str, found: list[Fraction]) -> Fraction | float:
    """Geometric in II and III, arithmetic in the others."""
    if group in ("II", "III"):
        return float(prod(found)) ** (1 / len(found))
    return sum(found, Fraction(0)) / len(found)


def _combined(there: Mapping[str, list[Fraction]], rule: Rule) -> int | None:
    if "IV" not in there:
        return None
    index = float(_mean_of("IV", there["IV"]))
    if "V" in there:
        fifth = float(_mean_of("V", there["V"]))
        index = (index * fifth) ** 0.5 if rule.square else (index**2 * fifth) ** (1 / 3)
    for name in ("I", "II", "III"):
        if name in there:
            index *= float(_mean_of(name, there[name])) / 100
    # Roots are not exact: a half that a root missed by its last digit is still a half.
    return rounded(Fraction(repr(round(index, 9))))
