"""QAL3 of a report: the charts of each instrument whose checks a person keeps (gateway/qal3.py). Pure.

Rule 1: charts begin with the first check of the table, whenever that was: sums forget nothing. Shown are the
        checks of the period, and findings that touch it.
Rule 2: a line of the table that cannot be read is told in the report, and the others count.
Rule 3: what people recorded in the journal goes before the table: of that, what was before the first record
        counts (history), and how many lines did not is told.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.calibration.checks import Charted
from gateway.qal3 import (
    SPAN,
    ZERO,
    Charts,
    Check,
    Constants,
    Finding,
    Intervention,
    charts,
    intervention_file,
    read_checks,
)
from gateway.zone import GMT7

DONE = ["time", "point", "action", "by"]


class Instrument(NamedTuple):
    """A channel with `qal3`, and what stands in its tables; None: there is no table."""

    symbol: str
    unit: str
    s_ams: Mapping[str, float]
    constants: Constants
    checks: str | None
    done: str | None = None
    recorded: Charted = Charted()  # in the journal


class Judged(NamedTuple):
    """An instrument in the period."""

    symbol: str
    unit: str
    s_ams: Mapping[str, float]
    constants: Constants
    charts: Charts | None  # of the period; None without a table
    faults: tuple[str, ...]  # what is wrong with the tables, in sentences
    left_out: tuple[str, ...] = ()  # points with checks and without s_AMS
    passed_over: int = 0  # lines of the table by rule 3


def judged(instruments: Sequence[Instrument], from_ms: int, to_ms: int) -> tuple[Judged, ...]:
    """One of each, in their order."""
    return tuple(_judged(one, from_ms, to_ms) for one in instruments)


def _judged(one: Instrument, from_ms: int, to_ms: int) -> Judged:
    head = (one.symbol, one.unit, one.s_ams, one.constants)
    if one.checks is None and not one.recorded.checks:
        return Judged(*head, None, ())
    in_table, faults = read_checks(one.checks) if one.checks is not None else ([], [])
    done, more = read_interventions(one.done) if one.done is not None else ([], [])
    begun_ms = one.recorded.first_ms
    history = [check for check in in_table if begun_ms is None or check.time_ms < begun_ms]
    checks = [*history, *one.recorded.checks]
    done += one.recorded.interventions
    left_out = tuple(point for point in (ZERO, SPAN) if point not in one.s_ams and _has(checks, point))
    checks = [check for check in checks if check.point in one.s_ams and check.time_ms < to_ms]
    whole = charts(checks, one.s_ams, [each for each in done if each.time_ms < to_ms], one.constants)
    plotted = tuple(each for each in whole.plotted if each.time_ms >= from_ms)
    findings = tuple(each for each in whole.findings if _touches(each, from_ms))
    return Judged(*head, Charts(plotted, findings), (*faults, *more), left_out, len(in_table) - len(history))


def _has(checks: Sequence[Check], point: str) -> bool:
    return any(check.point == point for check in checks)


def _touches(finding: Finding, from_ms: int) -> bool:
    return finding.since_ms >= from_ms or finding.ended is None or finding.ended.time_ms >= from_ms


def read_interventions(text: str) -> tuple[list[Intervention], list[str]]:
    """Interventions of a CSV table and what is wrong with it, line by line.

    Columns time ("2026-03-01 09:00" at GMT+7), point (zero, span, or empty for both), action, by.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[Intervention] = []
    faults: list[str] = []
    try:
        if [name.strip().lower() for name in next(rows, [])] != DONE:
            return [], [f"Line 1: the columns are not {', '.join(DONE)}. Write them as the first line."]
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            done = _intervention([cell.strip() for cell in row])
            if isinstance(done, Intervention):
                found.append(done)
            else:
                faults.append(f"Line {rows.line_num}: {done}")
    except csv.Error as error:
        faults.append(f"Line {rows.line_num}: this is no CSV ({error}). Save the table as CSV once more.")
    return found, faults


def _intervention(row: list[str]) -> Intervention | str:
    if len(row) != len(DONE):
        return f"there are {len(row)} fields. Write {', '.join(DONE)}."
    when, point, action, by = row
    try:
        moment = datetime.strptime(when, "%Y-%m-%d %H:%M").replace(tzinfo=GMT7)
        time_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return f"{when[:40]!r} is no time. Write it as 2026-03-01 09:00."
    if point not in (ZERO, SPAN, ""):
        return f"{point[:40]!r} is no point. Write zero or span, or nothing for both."
    return Intervention(time_ms, point, action, by)


def interventions_csv(one: Judged) -> bytes:
    """The file of interventions of one instrument (intervention_file()), for spreadsheets."""
    assert one.charts is not None
    return b"\xef\xbb\xbf" + intervention_file(one.charts.findings).encode()
