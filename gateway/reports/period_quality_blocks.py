"""Sections on QAL3 and on signs to look at, as plain blocks: pure functions of the model and the words.

Rule 1: a station that has none of it gets no blocks, and so no section.
Rule 2: a sign is a hint, and the section says so before it names any.
"""

from __future__ import annotations

import re

from gateway.qal3 import SPAN, ZERO
from gateway.reports.period_blocks import Block, Charts, Column, Note, Table, cut
from gateway.reports.period_chart import Chart, of_points
from gateway.reports.period_model import Report
from gateway.reports.period_qal3 import Judged
from gateway.reports.period_words import Words
from gateway.suspicion import Sign


def qal3(report: Report, words: Words) -> list[Block]:
    """Each instrument's checks, what was out of control, and the charts."""
    found = report.added.qal3 if report.added else ()
    if not found:
        return []
    blocks: list[Block] = [Note(words("qal3_note"))]
    judged = [one for one in found if one.charts is not None]
    for one in found:
        if one.charts is None:
            blocks.append(Note(words("qal3_none", symbol=one.symbol, file=f"{file_of(one.symbol)}.csv")))
        blocks += [
            Note(words("qal3_fault", symbol=one.symbol, fault=_fault(fault, words))) for fault in one.faults
        ]
        if one.passed_over:
            count = words.count(one.passed_over)
            blocks.append(Note(words("qal3_passed", symbol=one.symbol, count=count)))
        if one.left_out:
            points = ", ".join(words(point) for point in one.left_out)
            blocks.append(Note(words("qal3_s", symbol=one.symbol, points=points)))
    if judged:
        blocks += [_checks(judged, words), *_findings(judged, words)]
        names = ", ".join(intervention_name(one.symbol) for one in judged)
        blocks.append(Note(words("qal3_file", files=names)))
        charts = [chart for one in judged for chart in _charts(report, one, words)]
        blocks += [Charts(charts)] if charts else []
    return blocks


def _fault(fault: str, words: Words) -> str:
    """Which line is wrong; why is said in English alone, as the gateway's messages are."""
    line = re.match(r"Line (\d+):", fault)
    return words("qal3_line", line=line[1]) if line and words.language == "vi" else fault


def file_of(symbol: str) -> str:
    """A symbol as a part of a file's name: what is no letter, digit, dot, comma or hyphen is a _."""
    return "".join(letter if letter.isalnum() or letter in ".,-" else "_" for letter in symbol).lstrip(".")


def intervention_name(symbol: str) -> str:
    """The file of interventions that is written beside the report."""
    return f"qal3-{file_of(symbol)}.csv"


def _checks(judged: list[Judged], words: Words) -> Table:
    columns = [Column(words("parameter")), Column(words("point")), Column("s_AMS", 1, True)]
    columns += [Column(words("unit")), Column(words("checks"), 1, True), Column(words("findings"), 1, True)]
    rows = []
    for one in judged:
        assert one.charts is not None
        for point in one.s_ams:
            plotted = sum(each.point == point for each in one.charts.plotted)
            out = sum(each.point == point for each in one.charts.findings)
            rows.append(
                [one.symbol, words(point), words.plain(one.s_ams[point], 4), one.unit, str(plotted), str(out)]
            )
    return Table(columns, rows, words("checks"))


def _findings(judged: list[Judged], words: Words) -> list[Block]:
    columns = [Column(words("parameter"), 0.9), Column(words("point"), 0.9), Column(words("chart"), 1.1)]
    columns += [Column(words("since"), 1.3), Column(words("value"), 0.9, True)]
    columns += [Column(words("threshold"), 0.9, True), Column(words("adjust"), 1, True)]
    columns += [Column(words("until"), 2.2)]
    rows = []
    for one in judged:
        assert one.charts is not None
        for each in one.charts.findings:
            ended = each.ended
            rows.append(
                [
                    one.symbol, words(each.point), words(each.chart), words.moment(each.since_ms),
                    words.plain(each.value, 4), words.plain(each.threshold, 4),
                    "–" if each.adjust is None else words.plain(-each.adjust, 4),
                    f"{words.moment(ended.time_ms)} {ended.action} {ended.by}" if ended else words("open"),
                ]
            )  # fmt: skip
    return cut(columns, rows, words, words("findings"))


def _charts(report: Report, one: Judged, words: Words) -> list[Chart]:
    """Two for each point that has checks: both drifts, and the differences."""
    assert one.charts is not None
    period, found = report.period, []
    for point in (ZERO, SPAN):
        plotted = [each for each in one.charts.plotted if each.point == point]
        if not plotted:
            continue
        s, constants = one.s_ams[point], one.constants
        about = f"{one.symbol}, {words(point)}"
        unit = one.unit and f" ({one.unit})"
        lines = {
            words("cusum"): (
                [
                    [(each.time_ms, each.up.value) for each in plotted],
                    [(each.time_ms, -each.down.value) for each in plotted],
                ],
                [-constants.hx * s, constants.hx * s],
            ),
            words("difference"): (
                [[(each.time_ms, each.difference) for each in plotted]],
                [
                    factor * s
                    for factor in (-constants.action, -constants.warning, constants.warning, constants.action)
                ],
            ),
        }
        span = (period.from_ms, period.to_ms)
        found += [
            of_points(f"{about}: {name}{unit}", *of, span, words.date, words.figure)
            for name, of in lines.items()
        ]
    return found


def signs(report: Report, words: Words) -> list[Block]:
    """By month; nothing but hints."""
    found = report.added.signs if report.added else None
    if found is None:
        return []
    if found.signs is None:
        return [Note(words("signs_long"))]
    blocks: list[Block] = [Note(words("signs_note", symbols=", ".join(found.symbols)))]
    if not found.signs:
        return [*blocks, Note(words("signs_none"))]
    columns = [Column(words("from"), 1.5), Column(words("to"), 1.5)]
    columns += [Column(words("parameter"), 1), Column(words("sign_name"), 1.9)]
    columns += [Column(words("statistic"), 0.8, True), Column(words("threshold"), 0.8, True)]
    columns += [Column(words("look_here"), 3.6)]
    months: dict[str, list[Sign]] = {}
    for sign in found.signs:
        months.setdefault(words.month(sign.start_ms), []).append(sign)
    for name, of_month in months.items():
        rows = [
            [
                words.moment(sign.start_ms), words.moment(sign.end_ms), sign.symbol, words(sign.name),
                words.plain(sign.statistic, 4), words.plain(sign.threshold, 4),
                sign.vi if words.language == "vi" else sign.en,
            ]
            for sign in of_month
        ]  # fmt: skip
        blocks += cut(columns, rows, words, f"{words('in_month')} {name}")
    return blocks
