"""Loads: kg of a parameter from flow and concentration, and which time they really cover. Pure.

Rule 1: a window counts where flow and concentration are both valid (status 00). Nothing else is in `mass_kg`:
        a gap is a gap, listed with its reason, and never filled.
Rule 2: a substitution has a name, and its figure stands apart (substituted()).
Rule 3: units are converted where it is certain, and refused where it is not: normal cubic metres (25 °C, 760
        mmHg) only go with concentrations of such.
Rule 4: sums are exactly rounded (math.fsum): the order of the windows changes no digit.

    volume   m3/h, l/s, ... x hours of the window; m3, Nm3: a meter's increase within it (average = "total")
    mass kg  m3 x mg/l / 1,000;   m3 x mg/m3 / 1,000,000;   Nm3 x mg/Nm3 / 1,000,000

A valid figure slightly below zero counts as it is: to cut it off would make every sum too large.
Times are Unix ms; days, months and quarters begin at GMT+7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from gateway.spans import Span
from protocol import quality as q

if TYPE_CHECKING:
    from gateway.windows import Window

Series = Mapping[int, "Window"]
"""Windows of one channel by their start."""

HOUR_MS = 3_600_000
NO_WINDOW = "no window"
VALID = "00"  # provincial status: measured


class UnitRefused(ValueError):
    """Units that give no mass; str() is the sentence for a person."""


class _Flow(NamedTuple):
    m3: float  # of one of it, or of one of it in an hour
    hourly: bool  # a rate; else the volume within the window
    normal: bool  # at 25 °C and 760 mmHg


class _Concentration(NamedTuple):
    kg: float  # in a cubic metre
    normal: bool


_FLOWS = {
    "m3/h": _Flow(1.0, True, False), "m3/s": _Flow(3600.0, True, False), "m3/min": _Flow(60.0, True, False),
    "m3/d": _Flow(1 / 24, True, False), "m3/day": _Flow(1 / 24, True, False),
    "l/s": _Flow(3.6, True, False), "l/min": _Flow(0.06, True, False), "l/h": _Flow(0.001, True, False),
    "m3": _Flow(1.0, False, False), "nm3/h": _Flow(1.0, True, True), "nm3/s": _Flow(3600.0, True, True),
    "nm3": _Flow(1.0, False, True),
}  # fmt: skip
_CONCENTRATIONS = {
    "mg/l": _Concentration(1e-3, False), "g/m3": _Concentration(1e-3, False),
    "ug/l": _Concentration(1e-6, False), "mg/m3": _Concentration(1e-6, False),
    "ug/m3": _Concentration(1e-9, False), "g/l": _Concentration(1.0, False),
    "mg/nm3": _Concentration(1e-6, True), "ug/nm3": _Concentration(1e-9, True),
    "g/nm3": _Concentration(1e-3, True),
}  # fmt: skip


class Gap(NamedTuple):
    """Time without a load, and why: "Flow: TIMEOUT", "COD: CALIBRATING", "no window"."""

    start_ms: int
    end_ms: int
    why: str


class Load(NamedTuple):
    """What a parameter amounted to in the time that is covered."""

    symbol: str
    period: Span
    mass_kg: float  # of the covered time only
    volume_m3: float  # of the covered time only; Nm3 where the flow is in them
    covered_ms: int
    share: float  # of the period that is covered
    gaps: tuple[Gap, ...]


class Volume(NamedTuple):
    """What was discharged in the time in which the flow is valid."""

    symbol: str
    period: Span
    volume_m3: float
    covered_ms: int
    share: float
    gaps: tuple[Gap, ...]


class Substituted(NamedTuple):
    """What the gaps would amount to if `method` stood for them. Apart from the load; nobody measured it."""

    method: str  # MEAN | HIGHEST | LIMIT
    mass_kg: float  # of the gaps alone
    filled_ms: int
    left_ms: int  # for which there is nothing to take either
    concentration: float | None  # that stood for missing ones, in the channel's unit
    flow: float | None  # likewise


MEAN = "mean"
"""Means of the valid windows of the period, of concentration and flow each."""
HIGHEST = "highest"
"""The highest valid window of the period, of concentration and flow each."""
LIMIT = "limit"
"""The limit value in the place of the concentration, the mean in the place of the flow."""


def series(windows: Iterable[Window]) -> dict[str, dict[int, Window]]:
    """By symbol and start: of each window its newest revision."""
    found: dict[str, dict[int, Window]] = {}
    for window in windows:
        channel = found.setdefault(window.symbol, {})
        old = channel.get(window.start_ms)
        if old is None or old.revision < window.revision:
            channel[window.start_ms] = window
    return found


def is_flow(unit: str) -> bool:
    """Whether a unit is one of a flow, or of a meter's increase."""
    return _plain(unit) in _FLOWS


def is_concentration(unit: str) -> bool:
    """Whether a unit is one that gives a load."""
    return _plain(unit) in _CONCENTRATIONS


def kg_factor(flow_unit: str, unit: str, window_ms: int) -> float:
    """What flow x concentration of a window of that length is to be multiplied with. UnitRefused."""
    flow, of = _flow(flow_unit), _CONCENTRATIONS.get(_plain(unit))
    if of is None:
        raise UnitRefused(
            f"A concentration in '{unit}' gives no load. Use mg/l, ug/l, mg/m3 or mg/Nm3; parts per million "
            "have to be converted by the analyser."
        )
    if flow.normal != of.normal:
        raise UnitRefused(
            f"A flow in '{flow_unit}' and a concentration in '{unit}' do not refer to the same state of the "
            "gas. Give both at standard conditions (Nm3/h with mg/Nm3), or neither (m3/h with mg/m3)."
        )
    return m3_factor(flow_unit, window_ms) * of.kg


def m3_factor(flow_unit: str, window_ms: int) -> float:
    """What a window's flow is to be multiplied with for its volume in m3. UnitRefused."""
    flow = _flow(flow_unit)
    return flow.m3 * window_ms / HOUR_MS if flow.hourly else flow.m3


def _flow(unit: str) -> _Flow:
    found = _FLOWS.get(_plain(unit))
    if found is None:
        raise UnitRefused(
            f"A flow in '{unit}' is not known. Use m3/h, l/s, m3/day or Nm3/h, or m3 for a meter's increase."
        )
    return found


def _plain(unit: str) -> str:
    return unit.lower().replace("³", "3").replace("µ", "u").replace("\u03bc", "u")


def load(flow: Series, concentration: Series, symbol: str, period: Span, step_ms: int) -> Load:
    """The load of `symbol` in a period on a grid of `step_ms`. UnitRefused when the units give none.

    `concentration` may be empty: then nothing is covered.
    """
    masses, volumes, gaps = [], [], _Gaps()
    flow_unit = unit = None
    for start_ms in range(period.start_ms, period.end_ms, step_ms):
        f, c = flow.get(start_ms), concentration.get(start_ms)
        flowed, held = _figure(f), _figure(c)
        if f is None or c is None or flowed is None or held is None:
            gaps.add(start_ms, start_ms + step_ms, _why(f, c, symbol))
            continue
        if f.unit != flow_unit or c.unit != unit:
            flow_unit, unit = _same(f, flow_unit), _same(c, unit)
        masses.append(flowed * held)
        volumes.append(flowed)
    kg = kg_factor(flow_unit, unit, step_ms) if flow_unit is not None and unit is not None else 0.0
    m3 = m3_factor(flow_unit, step_ms) if flow_unit is not None else 0.0
    covered_ms = len(masses) * step_ms
    share = _share(covered_ms, period)
    return Load(symbol, period, fsum(masses) * kg, fsum(volumes) * m3, covered_ms, share, gaps.done())


def volume(flow: Series, symbol: str, period: Span, step_ms: int) -> Volume:
    """What flowed in a period, in m3 (Nm3 where the flow is in them). UnitRefused."""
    volumes, gaps, unit = [], _Gaps(), None
    for start_ms in range(period.start_ms, period.end_ms, step_ms):
        f = flow.get(start_ms)
        flowed = _figure(f)
        if f is None or flowed is None:
            gaps.add(start_ms, start_ms + step_ms, f"{symbol}: {_named(f)}")
            continue
        unit = _same(f, unit)
        volumes.append(flowed)
    m3 = m3_factor(unit, step_ms) if unit is not None else 0.0
    covered_ms = len(volumes) * step_ms
    return Volume(symbol, period, fsum(volumes) * m3, covered_ms, _share(covered_ms, period), gaps.done())


def substituted(
    flow: Series, concentration: Series, of: Load, step_ms: int, method: str, limit: float | None = None
) -> Substituted:
    """What the gaps of a load would amount to by `method`; where one of both is valid, it is used as it is.

    `limit` is in the concentration's unit. ValueError for another method, or for LIMIT without a limit.
    """
    if method not in (MEAN, HIGHEST, LIMIT) or (method == LIMIT and limit is None):
        raise ValueError(f"'{method}' is no substitution: use mean, highest, or limit with a limit value")
    inside = range(of.period.start_ms, of.period.end_ms, step_ms)
    flow_unit, of_flow = _valid(flow, inside)
    unit, of_channel = _valid(concentration, inside)
    pick = max if method == HIGHEST else _mean
    instead_flow = pick(of_flow.values()) if of_flow else None
    instead = limit if method == LIMIT else pick(of_channel.values()) if of_channel else None
    unit = unit or next((window.unit for window in concentration.values()), None)
    kg = kg_factor(flow_unit, unit, step_ms) if flow_unit is not None and unit is not None else 0.0
    masses, left = [], 0
    for gap in of.gaps:
        for start_ms in range(gap.start_ms, gap.end_ms, step_ms):
            f, c = of_flow.get(start_ms, instead_flow), of_channel.get(start_ms, instead)
            if f is None or c is None:
                left += step_ms
            else:
                masses.append(f * c)
    return Substituted(method, fsum(masses) * kg, len(masses) * step_ms, left, instead, instead_flow)


def _figure(window: Window | None) -> float | None:
    """The value of a valid window."""
    return window.value if window is not None and window.status == VALID else None


def _same(window: Window, unit: str | None) -> str:
    """The unit that all windows so far have. UnitRefused for a channel that changed it in mid-life."""
    if unit is not None and window.unit != unit:
        raise UnitRefused(
            f"{window.symbol} changed its unit from '{unit}' to '{window.unit}' within the time: "
            "compute what was before and what came after apart."
        )
    return window.unit


def _valid(channel: Series, starts: range) -> tuple[str | None, dict[int, float]]:
    found, unit = {}, None
    for start_ms in starts:
        window = channel.get(start_ms)
        figure = _figure(window)
        if window is not None and figure is not None:
            unit = _same(window, unit)
            found[start_ms] = figure
    return unit, found


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return fsum(found) / len(found)


def _share(covered_ms: int, period: Span) -> float:
    length_ms = period.end_ms - period.start_ms
    return covered_ms / length_ms if length_ms else 0.0


def _why(flow: Window | None, concentration: Window | None, symbol: str) -> str:
    if flow is None and concentration is None:
        return NO_WINDOW
    parts = []
    if _figure(flow) is None:
        parts.append(f"{flow.symbol if flow else 'flow'}: {_named(flow)}")
    if _figure(concentration) is None:
        parts.append(f"{symbol}: {_named(concentration)}")
    return "; ".join(parts)


def _named(window: Window | None) -> str:
    if window is None:
        return NO_WINDOW
    return q.NAMES[window.quality] if 0 <= window.quality < len(q.NAMES) else f"quality {window.quality}"


class _Gaps:
    """Windows in a row with the same reason are one gap."""

    def __init__(self) -> None:
        self._found: list[Gap] = []

    def add(self, start_ms: int, end_ms: int, why: str) -> None:
        last = self._found[-1] if self._found else None
        if last is not None and last.end_ms == start_ms and last.why == why:
            self._found[-1] = last._replace(end_ms=end_ms)
        else:
            self._found.append(Gap(start_ms, end_ms, why))

    def done(self) -> tuple[Gap, ...]:
        return tuple(self._found)
