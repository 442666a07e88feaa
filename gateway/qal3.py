"""Ongoing quality of an instrument (QAL3 of EN 14181): CUSUM and Shewhart of zero and span checks. Pure.

Rule 1: a check is a difference d = indicated - reference. Zero and span have charts of their own.
Rule 2: sums begin at zero, and again after an intervention; they never forget anything else.
Rule 3: out of control is a finding with the chart and the moment; it lasts until an intervention.

CUSUM, per check, with s = s_AMS of the point (same unit as the checks):
    precision   S = max(0, S + (d - d_before)^2 / 2 - ks)     lost when S > hs
    drift up    U = max(0, U + d - kx)                        found when U > hx
    drift down  D = max(0, D - d - kx)                        found when D > hx
    hx = 2.85 s, kx = 0.501 s, hs = 6.90 s^2, ks = 1.85 s^2; N counts the checks since a sum left zero

Precision is judged first: while it is lost no drift is found, since the figures do not carry it. A drift is
to be adjusted by 0.7 (kx + U / N).
Shewhart: |d| > 2 s warns, |d| > 3 s, or a second warning in a row on the same side, is out of control.

Sources: Madsen, On the mathematics behind the CUSUM control charts (DTU, 1998); ABB EL3000 operating
instruction OI/EL3000-EN Rev. D, page 160 (constants, order of the tests, names of the sums). [not verified]
against the standard's own text: the halved square of successive differences, the factor 0.7, the limits of
Shewhart's chart. With these constants an instrument in control is found drifting about once in 55 checks.

Checks are made of the records of calibrations in the journal (calibration/checks.py); read_checks() takes
those of a table that a person kept before there were any.
Times are Unix ms.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import NamedTuple

from gateway.zone import GMT7

ZERO, SPAN = "zero", "span"
PRECISION, UP, DOWN, SHEWHART = "precision", "drift up", "drift down", "shewhart"
ADJUST = 0.7
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a text that begins so is a formula to a spreadsheet


class Constants(NamedTuple):
    """In units of s_AMS (hx, kx, warning, action) and of its square (hs, ks)."""

    hx: float = 2.85
    kx: float = 0.501
    hs: float = 6.90
    ks: float = 1.85
    warning: float = 2.0
    action: float = 3.0


class Check(NamedTuple):
    """One look at an instrument with a gas, a liquid or a filter that is known."""

    time_ms: int
    point: str  # ZERO | SPAN
    reference: float
    indicated: float


class Intervention(NamedTuple):
    """What a person did about an instrument: the charts of `point` begin again."""

    time_ms: int
    point: str  # ZERO, SPAN, or "" for both
    action: str
    by: str


class Sum(NamedTuple):
    """A CUSUM: its value, and the checks since it left zero."""

    value: float = 0.0
    checks: int = 0

    def after(self, step: float) -> Sum:
        """The sum with one more check."""
        value = self.value + step
        return Sum(value, self.checks + 1) if value > 0 else Sum()


class Plotted(NamedTuple):
    """One check on the charts of its point."""

    time_ms: int
    point: str
    difference: float
    precision: Sum
    up: Sum
    down: Sum
    shewhart: str  # "" | "warning" | "action"
    out: tuple[str, ...]  # charts that are out of control at this check


class Finding(NamedTuple):
    """An instrument out of control: since when, by which chart, until what was done."""

    since_ms: int
    point: str
    chart: str
    value: float  # the sum, or the difference on Shewhart's chart
    threshold: float
    adjust: float | None  # of a drift: by how much the indication is too high
    ended: Intervention | None


class _Charts:
    """The charts of one point."""

    def __init__(self, point: str, s_ams: float, constants: Constants):
        self.point, self.s, self.constants = point, s_ams, constants
        self.reset()

    def reset(self) -> None:
        self.precision = self.up = self.down = Sum()
        self.before: float | None = None
        self.warned = 0  # the side of a warning just before

    def plot(self, check: Check) -> Plotted:
        c, s = self.constants, self.s
        d = check.indicated - check.reference
        if self.before is not None:
            self.precision = self.precision.after((d - self.before) ** 2 / 2 - c.ks * s * s)
        self.up = self.up.after(d - c.kx * s)
        self.down = self.down.after(-d - c.kx * s)
        self.before = d
        shewhart = self._shewhart(d)
        out = [PRECISION] if self.precision.value > c.hs * s * s else []
        if not out:
            out += [UP] if self.up.value > c.hx * s else []
            out += [DOWN] if self.down.value > c.hx * s else []
        out += [SHEWHART] if shewhart == "action" else []
        return Plotted(check.time_ms, self.point, d, self.precision, self.up, self.down, shewhart, tuple(out))

    def _shewhart(self, d: float) -> str:
        c, side = self.constants, 1 if d > 0 else -1
        if abs(d) <= c.warning * self.s:
            self.warned = 0
            return ""
        again, self.warned = self.warned == side, side
        return "action" if again or abs(d) > c.action * self.s else "warning"

    def finding(self, plotted: Plotted, chart: str) -> Finding:
        c, s = self.constants, self.s
        second = abs(plotted.difference) <= c.action * s  # a warning again, on the same side
        values = {
            PRECISION: (plotted.precision.value, c.hs * s * s), UP: (plotted.up.value, c.hx * s),
            DOWN: (plotted.down.value, c.hx * s),
            SHEWHART: (plotted.difference, (c.warning if second else c.action) * s),
        }  # fmt: skip
        adjust = None
        if chart in (UP, DOWN):
            sum_ = plotted.up if chart == UP else plotted.down
            adjust = ADJUST * (c.kx * s + sum_.value / sum_.checks) * (1 if chart == UP else -1)
        return Finding(plotted.time_ms, self.point, chart, *values[chart], adjust, None)


class Charts(NamedTuple):
    """What came of the checks."""

    plotted: tuple[Plotted, ...]
    findings: tuple[Finding, ...]


def charts(
    checks: Iterable[Check],
    s_ams: Mapping[str, float],
    interventions: Iterable[Intervention] = (),
    constants: Constants | None = None,
) -> Charts:
    """The charts of one instrument; `s_ams` by point, in the checks' unit.

    At the same moment an intervention comes before a check: the check shows what it did. ValueError for a
    point that is neither zero nor span, and where there is no s_AMS above zero for one that has checks.
    """
    found: dict[str, _Charts] = {}
    plotted: list[Plotted] = []
    findings: list[Finding] = []
    events: list[Check | Intervention] = sorted(
        [*interventions, *checks], key=lambda each: (each.time_ms, isinstance(each, Check))
    )
    for each in events:
        if isinstance(each, Intervention):
            for point in found if not each.point else [each.point]:
                if point in found:
                    found[point].reset()
            findings = [
                f._replace(ended=each) if f.ended is None and each.point in ("", f.point) else f
                for f in findings
            ]
            continue
        if each.point not in found:
            found[each.point] = _Charts(each.point, _s_of(each.point, s_ams), constants or Constants())
        here = found[each.point]
        plotted.append(here.plot(each))
        lasting = {f.chart for f in findings if f.point == each.point and f.ended is None}
        findings += [here.finding(plotted[-1], chart) for chart in plotted[-1].out if chart not in lasting]
    return Charts(tuple(plotted), tuple(findings))


def _s_of(point: str, s_ams: Mapping[str, float]) -> float:
    if point not in (ZERO, SPAN):
        raise ValueError(f"A check of '{point}' is neither of zero nor of span.")
    s = s_ams.get(point, 0.0)
    if not s > 0:
        raise ValueError(
            f"There is no s_AMS for {point} checks: take it from the instrument's certificate (QAL1)."
        )
    return s


COLUMNS = ["time", "point", "reference", "indicated"]
CHECKS_MAX = 100_000


def read_checks(text: str) -> tuple[list[Check], list[str]]:
    """Checks of a CSV table and what is wrong with it, line by line.

    Columns time ("2026-03-01 09:00" at GMT+7), point (zero or span), reference, indicated.
    """
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[Check] = []
    faults: list[str] = []
    try:
        head = next(rows, [])
        if [name.strip().lower() for name in head] != COLUMNS:
            return [], [f"Line 1: the columns are not {', '.join(COLUMNS)}. Write them as the first line."]
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            checked = _check(row)
            if isinstance(checked, Check):
                found.append(checked)
            else:
                faults.append(f"Line {rows.line_num}: {checked}")
            if len(found) > CHECKS_MAX:
                return [], [f"There are more than {CHECKS_MAX:,} checks. Give those of one instrument."]
    except csv.Error as error:
        faults.append(f"Line {rows.line_num}: this is no CSV ({error}). Save the table as CSV once more.")
    return found, faults


def _check(row: list[str]) -> Check | str:
    """A row as a check, or what is wrong with it."""
    if len(row) != len(COLUMNS):
        return f"there are {len(row)} fields. Write {', '.join(COLUMNS)}, decimals with a point."
    when, point, *figures = (cell.strip() for cell in row)
    try:
        moment = datetime.strptime(when, "%Y-%m-%d %H:%M").replace(tzinfo=GMT7)
        time_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return f"{when[:40]!r} is no time. Write it as 2026-03-01 09:00."
    if point not in (ZERO, SPAN):
        return f"{point[:40]!r} is no point. Write zero or span."
    try:
        reference, indicated = (float(figure) for figure in figures)
    except ValueError:
        return "a figure is no number. Write it with a decimal point, 12.5."
    if not (isfinite(reference) and isfinite(indicated)):
        return "a figure is no number. Write it with a decimal point, 12.5."
    return Check(time_ms, point, reference, indicated)


def intervention_file(findings: Sequence[Finding]) -> str:
    """The file of interventions as CSV with CRLF: one row for each finding, what was done, and by whom."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(
        ["Thời gian", "Điểm kiểm tra", "Biểu đồ", "Giá trị", "Ngưỡng", "Hiệu chỉnh đề xuất",
         "Thời gian xử lý", "Biện pháp", "Người thực hiện"]
    )  # fmt: skip
    for f in findings:
        ended = ["", "", ""] if f.ended is None else [_time(f.ended.time_ms), f.ended.action, f.ended.by]
        adjust = "" if f.adjust is None else f"{-f.adjust:.6g}"
        rows.writerow(
            [_time(f.since_ms), f.point, f.chart, f"{f.value:.6g}", f"{f.threshold:.6g}", adjust,
             *(_plain(each) for each in ended)]
        )  # fmt: skip
    return text.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, GMT7).strftime("%Y-%m-%d %H:%M:%S")
