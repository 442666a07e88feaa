"""A period's report from the journal's rows: a pure function of them.

Rule 1: rows come in a list for each hour, by start and revision, and are not held: a year of twelve channels
        is 1.26 million of them.
Rule 2: a symbol whose unit changed in between is two channels; only that with the configured unit has limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, groupby
from math import fsum
from operator import itemgetter
from typing import NamedTuple

from gateway.columns import Columns
from gateway.reports.period import Period
from gateway.reports.period_model import (
    CLASSES,
    Beside,
    ChannelReport,
    Evidence,
    Extreme,
    Report,
    Revised,
    Setting,
    Station,
    Statistics,
)
from gateway.reports.period_runs import Limits
from gateway.reports.period_series import (
    MISSING,
    PERCENTILES,
    TOTAL,
    VECTOR,
    Buckets,
    Series,
    class_of,
    percentile,
)

COLUMNS = "start_ms, symbol, revision, end_ms, unit, value, quality, reason"
"""What build() takes of a window's row, in this order."""

Record = tuple[int, str, int, int, str, float | None, int, str]
_SYMBOL = itemgetter(1)


class Grid(NamedTuple):
    """How windows lie, as configured."""

    length_ms: int
    label_end: bool
    share_min: float


class Part(NamedTuple):
    """What the rows of some channels come to."""

    channels: dict[tuple[str, str], ChannelReport]  # by symbol and unit
    first_ms: int  # beginning of the first window, end of the last; 0: there is none
    last_ms: int
    revised: tuple[Revised, ...]
    revised_count: int
    columns: dict[tuple[str, str], Columns]  # of the channels whose windows somebody asked for


def reach_of(period: Period, newest_ms: int) -> int:
    """Up to when a report reaches; `newest_ms` is the end of the journal's newest window, of any time."""
    return max(period.from_ms, min(period.to_ms, newest_ms))


def collect(
    period: Period, settings: Sequence[Setting], grid: Grid, hours: Iterable[list[Record]], newest_ms: int,
    kept: Callable[[str, str], bool] | None = None,
) -> Part:  # fmt: skip
    """The channels of `settings` and whatever other symbols stand in `hours`: COLUMNS of windows (rule 1).

    `kept(symbol, unit)` says of which channels the windows are handed on.
    """
    reach_ms = reach_of(period, newest_ms)
    collected = _Collected(settings, grid)
    for rows in hours:
        collected.take(rows)
    means = {(setting.symbol, setting.unit): setting.means for setting in settings}
    channels = {}
    for key, series in collected.series.items():
        series.finish(reach_ms, means.get(key, ()))
        channels[key] = _channel(*key, series, means.get(key, ()), reach_ms - period.from_ms)
    revised = tuple(one for spans in collected.revised.values() for one in spans)
    columns = {
        key: Columns(*key, series.starts, series.values, series.bad_starts, series.bad)
        for key, series in collected.series.items()
        if kept is not None and kept(*key)
    }
    return Part(channels, collected.first_ms, collected.last_ms, revised, collected.revised_count, columns)


def build(
    station: Station, period: Period, settings: Sequence[Setting], grid: Grid, parts: Sequence[Part],
    newest_ms: int, beside: Beside, evidence: Evidence,
) -> Report:  # fmt: skip
    """The report of `period` from its parts, in whatever way the channels are spread over them."""
    channels = {key: channel for part in parts for key, channel in part.channels.items()}
    order = {setting.symbol: place for place, setting in enumerate(settings)}
    chosen = {(setting.symbol, setting.unit) for setting in settings}
    keys = sorted(channels, key=lambda key: (order.get(key[0], len(order)), key not in chosen, key))
    first_ms = min([part.first_ms for part in parts if part.last_ms], default=0)
    last_ms = max([part.last_ms for part in parts], default=0)
    data_ms = (first_ms, last_ms) if last_ms else None
    revised = sorted(one for part in parts for one in part.revised)
    revised.sort(key=lambda one: one.from_ms)
    return Report(
        station, period, reach_of(period, newest_ms), data_ms, grid.length_ms,
        grid.label_end, grid.share_min, tuple(channels[key] for key in keys), beside, tuple(revised),
        sum(part.revised_count for part in parts), evidence,
    )  # fmt: skip


class _Collected:
    """Rows on their way into the series of their channels."""

    def __init__(self, settings: Sequence[Setting], grid: Grid):
        self._grid = grid
        self._settings = {setting.symbol: setting for setting in settings}
        self.series: dict[tuple[str, str], Series] = {
            (s.symbol, s.unit): Series(s.decimals, s.limits, grid.length_ms, grid.share_min, s.average)
            for s in settings
        }
        self.first_ms = self.last_ms = 0
        self.revised: dict[str, list[Revised]] = {}
        self.revised_count = 0

    def take(self, rows: list[Record]) -> None:
        """All rows of one hour."""
        if not rows:
            return
        self.first_ms = self.first_ms or rows[0][0]
        rows.sort(key=_SYMBOL)  # keeps the order within a symbol
        for symbol, found in groupby(rows, _SYMBOL):
            starts, _, revisions, ends, units, values, qualities, _ = zip(*found, strict=True)
            self.last_ms = max(self.last_ms, ends[-1])
            if max(revisions) > 1:
                of_symbol = [row for row in rows if row[1] == symbol]
                starts, ends, units, values, qualities = self._newest_of(symbol, of_symbol)
            for unit in dict.fromkeys(units):
                hour = (starts, ends, values, qualities)
                if units.count(unit) < len(units):
                    hour = tuple(tuple(compress(column, [u == unit for u in units])) for column in hour)
                self._of(symbol, unit).hour(*hour)

    def _newest_of(self, symbol: str, rows: list[Record]) -> tuple[tuple, ...]:
        """Columns of the newest revisions of a symbol's rows in an hour; the revised ones are noted."""
        newest = {row[0]: row for row in rows}  # of each start the last one stays
        for start_ms, _, revision, end_ms, _, _, _, reason in newest.values():
            if revision > 1:
                self._revised(symbol, start_ms, end_ms, revision, reason)
        starts, _, _, ends, units, values, qualities, _ = zip(*newest.values(), strict=True)
        return starts, ends, units, values, qualities

    def _of(self, symbol: str, unit: str) -> Series:
        series = self.series.get((symbol, unit))
        if series is None:
            known = self._settings.get(symbol)
            decimals = known.decimals if known else 4
            grid = self._grid
            average = known.average if known else "mean"
            series = Series(decimals, Limits(), grid.length_ms, grid.share_min, average)
            self.series[symbol, unit] = series
        return series

    def _revised(self, symbol: str, start_ms: int, end_ms: int, revision: int, reason: str) -> None:
        self.revised_count += 1
        spans = self.revised.setdefault(symbol, [])
        newest = spans[-1] if spans else None
        if newest and newest.to_ms == start_ms and newest.reason == reason:
            highest = max(newest.revision, revision)
            spans[-1] = newest._replace(to_ms=end_ms, windows=newest.windows + 1, revision=highest)
        else:
            spans.append(Revised(symbol, start_ms, end_ms, 1, revision, reason))


def _channel(
    symbol: str, unit: str, series: Series, means: tuple[tuple[str, Limits], ...], period_ms: int
) -> ChannelReport:
    capture: dict[str, int] = dict.fromkeys(CLASSES, 0)
    for quality, ms in series.quality_ms.items():
        capture[class_of(quality)] += ms
    capture[MISSING] += period_ms - sum(series.quality_ms.values())
    return ChannelReport(
        symbol, unit, series.decimals, series.limits, means, series.average, capture, series.quality_ms,
        _statistics(series), series.hours, series.days, tuple(series.exceedances), tuple(series.calibrating),
    )  # fmt: skip


def _statistics(series: Series) -> Statistics | None:
    values = series.values
    if not values:
        return None
    ordered = sorted(values)
    mean = series.mean_from(0, ()) if series.average == VECTOR else None
    low, high = ordered[0], ordered[-1]
    return Statistics(
        len(values), fsum(values) / len(values) if mean is None else mean,
        Extreme(low, series.starts[values.index(low)]), Extreme(high, series.starts[values.index(high)]),
        tuple(percentile(ordered, percent) for percent in PERCENTILES),
        _highest(series.hours, series.share_min), _highest(series.days, series.share_min),
        fsum(series.counted) if series.average == TOTAL else None,
    )  # fmt: skip


def _highest(buckets: Buckets, share_min: float) -> Extreme | None:
    valid = [at for at in range(len(buckets.start_ms)) if buckets.is_valid(at, share_min)]
    if not valid:
        return None
    best = max(valid, key=lambda at: buckets.mean[at])
    return Extreme(buckets.mean[best], buckets.start_ms[best])
