"""CSV files of loads, of an index and of QAL3's interventions, beside those of period_csv.py. Pure.

Rule 1: as period_csv.py: numbers are not rounded, times carry their offset; the same file in both languages.
Rule 2: what a station does not have is no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.loads import Load
from gateway.reports.message import rfc3339
from gateway.reports.period_added import Added
from gateway.reports.period_csv import write
from gateway.reports.period_index import Air
from gateway.reports.period_loads import Loads
from gateway.reports.period_model import Report
from gateway.reports.period_qal3 import interventions_csv
from gateway.reports.period_quality_blocks import intervention_name
from gateway.zone import HOUR_MS

LOAD = (
    "span", "from", "to", "symbol", "flow", "mass_kg", "volume_m3", "covered_share", "covered_hours",
    "uncovered_hours",
)  # fmt: skip
HOURLY = ("start", "end", "vn_aqi", "deciding", "missing")


def files(added: Added) -> dict[str, Callable[[Report], bytes]]:
    """The files that there are, and how each is made; Report.added is `added`."""
    found: dict[str, Callable[[Report], bytes]] = {}
    loads, rating = added.loads, added.rating
    if loads is not None and loads.volume is not None:
        found["loads.csv"] = lambda _: write(LOAD, _loads(loads))
    if isinstance(rating, Air):
        found["aqi_hours.csv"] = lambda _: write(HOURLY, _hours(rating))
    for one in added.qal3:
        if one.charts is not None:
            found[intervention_name(one.symbol)] = lambda _, one=one: interventions_csv(one)
    return found


def _loads(found: Loads) -> Iterator[list]:
    for one in found.loads:
        for span, loads in (("day", one.days), ("month", one.months), ("whole", (one.whole,))):
            yield from (_load(span, load, found.flow) for load in loads)
    for draft in found.drafts:
        yield from (_load("quarter", line.load, found.flow) for line in draft.lines)


def _load(span: str, load: Load, flow: str) -> list:
    covered = load.covered_ms / HOUR_MS
    return [
        span, rfc3339(load.period.start_ms), rfc3339(load.period.end_ms), load.symbol, flow,
        repr(load.mass_kg), repr(load.volume_m3), repr(load.share), repr(covered),
        repr((load.period.end_ms - load.period.start_ms) / HOUR_MS - covered),
    ]  # fmt: skip


def _hours(found: Air) -> Iterator[list]:
    for hour in found.hours():
        value = hour.rated.value
        yield [
            rfc3339(hour.start_ms), rfc3339(hour.start_ms + HOUR_MS), "" if value is None else value,
            hour.rated.deciding, "; ".join(hour.rated.missing),
        ]  # fmt: skip
