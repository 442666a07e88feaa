"""VN_AQI and VN_WQI of a report, from the hours and days of its channels (gateway/indices). Pure.

Rule 1: an hour or a day counts where the report calls it valid; nothing is filled in.
Rule 2: which channel is which parameter is written down here (AIR, WATER); what is not, and a unit that
        cannot be converted with certainty, is named in the report and left out.
Rule 3: nitrogen and phosphorus of surface water are taken as N and as P: so the decision has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.indices import vn_aqi, vn_aqi_quick, vn_wqi
from gateway.reports.period_series import Buckets
from gateway.zone import DAY_MS, HOUR_MS, day_of

AIR = {
    "PM2.5": "PM2.5", "PM2,5": "PM2.5", "PM25": "PM2.5", "PM2_5": "PM2.5", "PM10": "PM10", "PM-10": "PM10",
    "O3": "O3", "NO2": "NO2", "SO2": "SO2", "CO": "CO",
}  # fmt: skip
"""Parameter of VN_AQI by symbol, in capitals."""
WATER = {
    "PH": "pH", "DO": "DO", "TEMP": "Temp", "T": "Temp", "NHIETDO": "Temp", "BOD": "BOD5", "BOD5": "BOD5",
    "COD": "COD", "TOC": "TOC", "NH4": "NH4", "NH4-N": "NH4", "NH4_N": "NH4", "AMONI": "NH4", "NO3": "NO3",
    "NO3-N": "NO3", "NO3_N": "NO3", "NO2": "NO2", "NO2-N": "NO2", "NO2_N": "NO2", "PO4": "PO4",
    "PO4-P": "PO4", "PO4_P": "PO4", "TN": "TN", "TP": "TP", "TSS": "TSS", "TURB": "TURB", "DODUC": "TURB",
    "COLIFORM": "Coliform", "ECOLI": "Ecoli", "E.COLI": "Ecoli", "AS": "As", "CD": "Cd", "PB": "Pb",
    "CR6": "Cr6", "CR6+": "Cr6", "CU": "Cu", "ZN": "Zn", "HG": "Hg",
}  # fmt: skip
"""Parameter of VN_WQI by symbol, in capitals."""
_MG_L = {"mg/l": 1.0, "g/m3": 1.0, "ug/l": 1e-3, "mg/m3": 1e-3}
_OTHER = {
    "pH": {"": 1.0, "-": 1.0, "ph": 1.0}, "Temp": {"°c": 1.0, "c": 1.0, "oc": 1.0, "degc": 1.0},
    "TURB": {"ntu": 1.0, "fnu": 1.0}, "Coliform": {"mpn/100ml": 1.0, "cfu/100ml": 1.0},
    "Ecoli": {"mpn/100ml": 1.0, "cfu/100ml": 1.0},
}  # fmt: skip


class Source(NamedTuple):
    """A channel with its hours and days."""

    symbol: str
    unit: str
    hours: Buckets
    days: Buckets


class Unmapped(NamedTuple):
    """A channel that is no part of the index; `parameter` is "" where its symbol is none of it, else its unit
    is the reason, or that another channel is that parameter already (`taken`).
    """

    symbol: str
    unit: str
    parameter: str
    taken: bool = False


class AirDay(NamedTuple):
    start_ms: int
    rated: vn_aqi.Daily


class AirHour(NamedTuple):
    start_ms: int
    rated: vn_aqi.Hourly


class Air(NamedTuple):
    days: tuple[AirDay, ...]
    mapped: tuple[tuple[str, str], ...]  # (symbol, parameter)
    unmapped: tuple[Unmapped, ...]
    means: Mapping[str, Mapping[int, float]]  # µg/m³ by parameter and start of the valid hour
    span_ms: tuple[int, int]
    known: dict[int, vn_aqi.Hourly]  # hours that were asked for already, by their start

    def hours(self) -> Iterator[AirHour]:
        """VN_AQI of each hour, without what NowCast came to: computed when they are asked for, and once."""
        starts = range(*self.span_ms, HOUR_MS)
        if not self.known:
            self.known.update(zip(starts, vn_aqi_quick.hours(self.means, *self.span_ms), strict=True))
        return (AirHour(start_ms, self.known[start_ms]) for start_ms in starts)


class WaterDay(NamedTuple):
    start_ms: int
    rated: vn_wqi.Quality


class Water(NamedTuple):
    days: tuple[WaterDay, ...]
    mapped: tuple[tuple[str, str], ...]
    unmapped: tuple[Unmapped, ...]


def air(sources: Sequence[Source], from_ms: int, reach_ms: int, share_min: float) -> Air | None:
    """VN_AQI; None where no channel is a parameter of it. Hours before the period are not at hand: 8-hour
    means of the first day lack them, and NowCast of the first hours.
    """
    means: dict[str, dict[int, float]] = {}
    mapped, unmapped = [], []
    for source in sources:
        name = AIR.get(source.symbol.upper(), "")
        try:
            factor = vn_aqi.factor_of(source.unit, name)
        except vn_aqi.UnitRefused:
            unmapped.append(Unmapped(source.symbol, source.unit, name))
            continue
        if not name or name in means:
            unmapped.append(Unmapped(source.symbol, source.unit, name, bool(name)))
            continue
        mapped.append((source.symbol, name))
        valid = _valid(source.hours, share_min)
        held = {ms: vn_aqi.converted(value, factor) for ms, value in valid.items()}
        means[name] = {ms: value for ms, value in held.items() if value is not None}
    if not mapped:
        return None
    found = []
    for day_ms in range(day_of(from_ms), reach_ms, DAY_MS):
        hours = {name: [held.get(day_ms + i * HOUR_MS) for i in range(24)] for name, held in means.items()}
        before = {
            name: [held.get(day_ms - i * HOUR_MS) for i in range(7, 0, -1)] for name, held in means.items()
        }
        found.append(AirDay(day_ms, vn_aqi.daily(hours, before)))
    return Air(tuple(found), tuple(mapped), tuple(unmapped), means, (from_ms, reach_ms), {})


def water(sources: Sequence[Source], from_ms: int, reach_ms: int, share_min: float) -> Water | None:
    """VN_WQI of day means; None where no channel is a parameter of it."""
    means: dict[str, dict[int, float]] = {}
    mapped, unmapped = [], []
    for source in sources:
        name = WATER.get(source.symbol.upper(), "")
        factor = factor_of(name, source.unit) if name else None
        if name == "DO" and source.unit.strip() in ("%", "%sat"):
            name, factor = "DO%", 1.0
        if factor is None or name in means:
            unmapped.append(Unmapped(source.symbol, source.unit, name, name in means))
            continue
        mapped.append((source.symbol, name))
        means[name] = {ms: value * factor for ms, value in _valid(source.days, share_min).items()}
    if not mapped:
        return None
    days = [
        WaterDay(ms, vn_wqi.quality({name: held.get(ms) for name, held in means.items()}))
        for ms in range(day_of(from_ms), reach_ms, DAY_MS)
    ]
    return Water(tuple(days), tuple(mapped), tuple(unmapped))


def factor_of(parameter: str, unit: str) -> float | None:
    """What a figure in `unit` is multiplied with for VN_WQI; None where that is not certain."""
    plain = unit.strip().lower().replace("³", "3").replace("µ", "u").replace("\u03bc", "u").replace("º", "°")
    return _OTHER.get(parameter, _MG_L).get(plain)


def _valid(buckets: Buckets, share_min: float) -> dict[int, float]:
    return {
        start_ms: buckets.mean[at]
        for at, start_ms in enumerate(buckets.start_ms)
        if buckets.is_valid(at, share_min)
    }
