"""The quarterly fee on wastewater or emissions, as the draft of a declaration. Pure.

Rule 1: a fee is computed of what was measured (loads.py) and of nothing else. What is not covered is named,
        and a substitution stands beside it, never in it.
Rule 2: rates are configuration ([fees]); without one the line has no fee and the draft no total.
Rule 3: a fee is rounded to whole đồng, a half up, line by line; kilograms are not rounded before.

Wastewater: Nghị định 346/2025/NĐ-CP, in force since 1/1/2026. Without monitoring the volume that was really
discharged in the quarter x 1,700 đ/m3 (Điều 7) [sec]; with it by the measured pollution, whose rates were not
available to us. Emissions: Nghị định 153/2024/NĐ-CP, F = f + C: f is 3,000,000 đ a year, a quarter of it in a
quarter; C, with monitoring, is of dust, SOx, NOx and CO. Published rates are 800 đ a tonne for dust and NOx,
700 for SOx [sec], 500 for CO [not verified]: 0.8, 0.8, 0.7 and 0.5 in đ/kg. Reductions are not computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from gateway import loads
from gateway.loads import Load
from gateway.spans import Quarter

if TYPE_CHECKING:
    from gateway.loads import Series, Substituted, Volume

WASTEWATER, EMISSION = "Nghị định 346/2025/NĐ-CP", "Nghị định 153/2024/NĐ-CP"
FLAT_VND_M3 = 1700
FIXED_VND_YEAR = 3_000_000
QUARTERS = 4


class Line(NamedTuple):
    """One parameter of a declaration."""

    load: Load
    rate_vnd_kg: float | None
    fee_vnd: int | None  # of the covered time only
    substituted: Substituted | None
    substituted_vnd: int | None  # the fee on what the substitution adds


class Draft(NamedTuple):
    """What is to be declared; the report renders it, a person signs."""

    decree: str
    quarter: Quarter
    declared_by: date
    monitored: bool
    volume: Volume
    lines: tuple[Line, ...]
    fixed_vnd: int  # 0 for wastewater
    total_vnd: int | None  # None while something is missing that a total needs
    substituted_vnd: int | None  # the total with substitutions; None where there are none
    missing: tuple[str, ...]  # sentences for the person who declares


def vnd(amount: float, rate: float) -> int:
    """A fee in whole đồng, a half up; of figures as they are written."""
    exact = Fraction(repr(float(amount))) * Fraction(repr(float(rate)))
    return int(exact + Fraction(1, 2)) if exact > 0 else 0


def wastewater(
    channels: Mapping[str, Series], flow: str, rates: Mapping[str, float], quarter: Quarter, step_ms: int,
    *, monitored: bool = True, method: str | None = None,
) -> Draft:  # fmt: skip
    """The draft for industrial wastewater; `channels` by symbol, rates in đ/kg. UnitRefused (loads.py).

    `method` names a substitution (loads.MEAN, loads.HIGHEST) to be shown beside.
    """
    return _of_windows(WASTEWATER, channels, flow, rates, quarter, step_ms, monitored, method)


def emission(
    channels: Mapping[str, Series], flow: str, rates: Mapping[str, float], quarter: Quarter, step_ms: int,
    *, monitored: bool = True, method: str | None = None,
) -> Draft:  # fmt: skip
    """The draft for stack gas, of one stream; as wastewater(), in Nm3 and mg/Nm3.

    The fixed part is a facility's: with several streams declare it once.
    """
    return _of_windows(EMISSION, channels, flow, rates, quarter, step_ms, monitored, method)


def _of_windows(
    decree: str, channels: Mapping[str, Series], flow: str, rates: Mapping[str, float], quarter: Quarter,
    step_ms: int, monitored: bool, method: str | None,
) -> Draft:  # fmt: skip
    flowing = channels.get(flow, {})
    found: dict[str, Load] = {}
    instead: dict[str, Substituted] = {}
    for symbol in rates if monitored else ():
        series = channels.get(symbol)
        if not series:
            continue
        found[symbol] = load = loads.load(flowing, series, symbol, quarter.period, step_ms)
        if method is not None and load.gaps:
            instead[symbol] = loads.substituted(flowing, series, load, step_ms, method)
    volume = loads.volume(flowing, flow, quarter.period, step_ms)
    return of_loads(decree, volume, found, rates, quarter, monitored=monitored, instead=instead)


def of_loads(
    decree: str, volume: Volume, found: Mapping[str, Load], rates: Mapping[str, float], quarter: Quarter,
    *, monitored: bool = True, instead: Mapping[str, Substituted] | None = None,
) -> Draft:  # fmt: skip
    """The draft from loads that are there already (loads_columns.py); what `found` lacks was not measured.

    `instead`: substitutions, to be shown beside.
    """
    fixed = FIXED_VND_YEAR // QUARTERS if decree == EMISSION else 0
    if not monitored:
        flat = fixed or vnd(volume.volume_m3, FLAT_VND_M3)
        missing = [] if fixed else _gaps(volume.share, volume.symbol)
        return _draft(decree, quarter, False, volume, (), fixed, flat, missing)
    lines = [
        _line(symbol, rate, found.get(symbol), (instead or {}).get(symbol), quarter)
        for symbol, rate in rates.items()
    ]
    return _summed(decree, quarter, volume, tuple(lines), fixed)


def _line(symbol: str, rate: float, load: Load | None, instead: Substituted | None, quarter: Quarter) -> Line:
    if load is None:
        return Line(Load(symbol, quarter.period, 0.0, 0.0, 0, 0.0, ()), rate, None, None, None)
    more = None if instead is None else vnd(instead.mass_kg, rate)
    return Line(load, rate, vnd(load.mass_kg, rate), instead, more)


def _summed(decree: str, quarter: Quarter, volume: Volume, lines: tuple[Line, ...], fixed: int) -> Draft:
    missing = [] if lines else ["No rates are configured ([fees] rates, đ/kg): the fee cannot be computed."]
    missing += _gaps(volume.share, volume.symbol)
    for line in lines:
        if line.fee_vnd is None:
            missing.append(f"{line.load.symbol} was not measured in this quarter.")
        else:
            missing += _gaps(line.load.share, line.load.symbol)
    fees = [line.fee_vnd for line in lines]
    known = [fee for fee in fees if fee is not None]
    total = fixed + sum(known) if lines and len(known) == len(fees) else None
    return _draft(decree, quarter, True, volume, lines, fixed, total, missing)


def _gaps(share: float, symbol: str) -> list[str]:
    if share >= 1:
        return []
    return [f"{symbol}: {share:.1%} of the quarter is covered by valid data; the rest is not in the fee."]


def _draft(
    decree: str,
    quarter: Quarter,
    monitored: bool,
    volume: Volume,
    lines: tuple[Line, ...],
    fixed: int,
    total: int | None,
    missing: list[str],
) -> Draft:
    more = [line.substituted_vnd for line in lines if line.substituted_vnd is not None]
    with_more = total + sum(more) if total is not None and more else None
    return Draft(
        decree,
        quarter,
        quarter.declared_by,
        monitored,
        volume,
        lines,
        fixed,
        total,
        with_more,
        tuple(missing),
    )
