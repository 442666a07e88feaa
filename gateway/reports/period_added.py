"""What only some stations' reports have: loads and fees, an index, QAL3, signs to look at. Pure.

Rule 1: what is not configured and cannot be computed is None, and its section is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gateway.columns import Columns
from gateway.reports.period import Period
from gateway.reports.period_build import Part
from gateway.reports.period_index import Air, Source, Water, air, water
from gateway.reports.period_loads import Loads, Rates, has_to_keep, loads_of
from gateway.reports.period_model import Report, Setting
from gateway.reports.period_qal3 import Instrument, Judged, judged
from gateway.reports.period_signs import Looked, Signs, can_look, signs_of
from gateway.spans import Span

Rating = Callable[[], Air | Water | None]


class Added(NamedTuple):
    loads: Loads | None = None
    rating: Air | Water | None = None
    qal3: tuple[Judged, ...] = ()
    signs: Signs | None = None


def keeps(period: Period, settings: Sequence[Setting], symbol: str, unit: str) -> bool:
    """Whether added() wants the windows of a channel."""
    if any((setting.symbol, setting.unit) == (symbol, unit) for setting in settings):
        return has_to_keep(unit) or can_look(period.from_ms, period.to_ms)
    return False


def added(
    report: Report, settings: Sequence[Setting], parts: Sequence[Part], rates: Rates,
    instruments: Sequence[Instrument], rating: Rating | None = None,
) -> Added:  # fmt: skip
    """Everything, for a report that is otherwise ready.

    rating() gives what rated() does, where another process is at it meanwhile: it is asked for last.
    """
    columns: Mapping[tuple[str, str], Columns] = {
        key: found for part in parts for key, found in part.columns.items()
    }
    period, step_ms = report.period, report.length_ms
    span = Span(period.from_ms, period.to_ms)
    units = [(setting.symbol, setting.unit) for setting in settings]
    looked = [
        Looked(one.symbol, one.unit, one.decimals, one.limits.maximum)
        for one in settings
        if one.average == "mean"
    ]
    return Added(
        loads_of(units, columns, rates, report.station.kind, span, report.reach_ms, step_ms),
        qal3=judged(instruments, period.from_ms, report.reach_ms),
        signs=signs_of(looked, columns, span, report.reach_ms, step_ms),
        rating=rated(report, settings) if rating is None else rating(),
    )


def is_rated(kind: str) -> bool:
    """Whether stations of this kind have an index."""
    return kind in _INDICES


def rated(report: Report, settings: Sequence[Setting]) -> Air | Water | None:
    """The index of a station; None where none is known for its kind."""
    if not is_rated(report.station.kind):
        return None
    units = {(setting.symbol, setting.unit) for setting in settings}
    sources = [
        Source(one.symbol, one.unit, one.hours, one.days)
        for one in report.channels
        if (one.symbol, one.unit) in units
    ]
    of = _INDICES[report.station.kind]
    return of(sources, report.period.from_ms, report.reach_ms, report.share_min)


_INDICES: dict[str, Callable[..., Air | Water | None]] = {"ambient-air": air, "surface-water": water}
