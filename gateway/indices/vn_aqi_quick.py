"""VN_AQI of many hours in a row, in floats where they are certain; a year of them takes a third of a second.

Rule 1: every figure is that of vn_aqi.hourly(). A float is used only where it is farther from a change of the
        figure than it can be off: the index is continuous in the concentration, so the only changes are at
        halves (EDGE), and where a NowCast's weight becomes 1/2 (SMALLEST). Nearer than that, vn_aqi decides.
Rule 2: a float is off by 2e-14 of itself at most: half a last digit of each figure as it is written, and less
        than 60 roundings of 1.1e-16. An index rises by 2 per µg/m³ at the most (PM2.5) and ends at 500: it is
        off by less than 1e-10. What is too small to have all its digits (TINY) is left to vn_aqi.
Rule 3: concentrations of NowCasts are not handed on: Hourly.nowcast is empty.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from gateway.indices import counted, vn_aqi
from gateway.indices.vn_aqi import BREAKPOINTS, DUSTS, LEVELS, NOWCAST_HOURS, PARAMETERS, Hourly
from gateway.indices.words import air_class
from gateway.zone import HOUR_MS

EDGE = 1e-6
"""Of an index: nearer to a half it is computed in whole numbers."""
SMALLEST = 1e-6
"""Of a NowCast's weight about 1/2: the same."""
TINY = 1e-100
"""µg/m³."""

Held = Sequence[float | None]


def hours(means: Mapping[str, Mapping[int, float]], from_ms: int, to_ms: int) -> Iterator[Hourly]:
    """VN_AQI of each hour from `from_ms` to before `to_ms`; `means`: µg/m³ by parameter and start of hour."""
    first_ms = from_ms - (NOWCAST_HOURS - 1) * HOUR_MS
    columns = [
        (name, [counted(means[name].get(ms)) for ms in range(first_ms, to_ms, HOUR_MS)])
        for name in PARAMETERS
        if name in means
    ]
    for at in range(-(-(to_ms - from_ms) // HOUR_MS)):
        yield _hour(columns, at)


def _hour(columns: Sequence[tuple[str, Held]], at: int) -> Hourly:
    sub: dict[str, int] = {}
    missing: list[str] = []
    for name, held in columns:
        if name in DUSTS:
            index, lacks = dust(name, held[at : at + NOWCAST_HOURS])
            if lacks:
                missing.append(lacks)
        else:
            now = held[at + NOWCAST_HOURS - 1]
            index = None if now is None else index_of(name, now)
            if index is None:
                index = None if now is None else vn_aqi.sub_index(name, now)
            if index is None:
                missing.append(f"{name}: this hour")
        if index is not None:
            sub[name] = index
    value, deciding = vn_aqi.largest(sub, missing)
    return Hourly(value, sub, deciding, air_class(value), tuple(missing), {})


def dust(name: str, oldest_first: Held) -> tuple[int | None, str]:
    """The sub-index of a dust from twelve hours, none below zero; and what they lack, "" for nothing."""
    absent = oldest_first.count(None)
    if absent and oldest_first[-vn_aqi.NEWEST_HOURS :].count(None) > vn_aqi.NEWEST_HOURS - vn_aqi.NEWEST_MIN:
        return None, vn_aqi.TOO_FEW.format(name)
    there = [value for value in oldest_first if value is not None] if absent else oldest_first
    most = max(there)  # type: ignore[type-var]
    ratio = min(there) / most if most else 1.0  # type: ignore[type-var, operator]
    index, is_least = None, ratio < 0.5
    if abs(ratio - 0.5) > SMALLEST and (most > TINY or not most):
        index = index_of(name, _cast(oldest_first, 0.5 if is_least else ratio, is_least))
    if index is None:
        cast = vn_aqi.nowcast(oldest_first[::-1])
        assert cast is not None
        index, is_least = vn_aqi.sub_index(name, cast.value), vn_aqi.is_least(cast)
    return index, vn_aqi.lacking(name, absent, is_least)


def _cast(oldest_first: Held, weight: float, is_least: bool) -> float:
    """vn_aqi.nowcast() in floats."""
    total = weights = 0.0
    for value in oldest_first:  # Horner's scheme
        total *= weight
        weights *= weight
        if value is not None:
            total += value
            weights += 1.0
    return total * 0.5 if is_least else total / weights


def index_of(scale: str, x: float) -> int | None:
    """The sub-index; None where a float does not decide it."""
    limits = BREAKPOINTS[scale]
    i = bisect_right(limits, x) - 1
    if i == len(limits) - 1:
        return LEVELS[i] if len(limits) == len(LEVELS) else None
    low, level = limits[i], LEVELS[i]
    raised = level + (LEVELS[i + 1] - level) * (x - low) / (limits[i + 1] - low) + 0.5
    whole = int(raised)
    return whole if EDGE < raised - whole < 1.0 - EDGE else None
