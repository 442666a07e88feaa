"""Sections on loads and fees, as plain blocks: pure functions of the model and the words.

Rule 1: a station that has none of it gets no blocks, and so no section.
Rule 2: beside each load stands how much of the time it covers.
"""

from __future__ import annotations

from datetime import datetime

from gateway.fees import Draft
from gateway.loads import Load
from gateway.reports.period_blocks import COLUMNS_MAX, Block, Column, Facts, Note, Table, cut
from gateway.reports.period_loads import Loads, gaps_alike
from gateway.reports.period_missing import why
from gateway.reports.period_model import Report
from gateway.reports.period_words import Words
from gateway.zone import GMT7, HOUR_MS

DAYS_SHOWN_MAX = 93
"""Lines of days in HTML and PDF: a quarter; all of them are in the files."""


def loads(report: Report, words: Words) -> list[Block]:
    """kg by month and day, with the time that is covered; gaps with their reasons."""
    found = report.added.loads if report.added else None
    if found is None:
        return []
    if found.volume is None:
        if found.flow:
            return [Note(words("flow_refused", flow=found.flow, unit=found.flow_unit))]
        return [Note(words("flow_unknown", flows=", ".join(found.flows)))]
    blocks: list[Block] = [Note(words("loads_note", flow=found.flow))]
    if found.is_normal:
        blocks.append(Note(words("normal_note")))
    if found.refused:
        names = ", ".join(f"{one.symbol} ({one.unit})" for one in found.refused)
        blocks.append(Note(words("load_refused", symbols=names, unit=found.flow_unit)))
    volume = found.volume
    blocks.append(
        Facts(
            [
                (f"{words('volume')}, {found.flow}", words.kg(volume.volume_m3)),
                (words("covered"), words.share(volume.share * 100)),
            ]
        )
    )
    if found.loads:
        blocks += [_months(found, words), *_days(found, words), *_gaps(found, words)]
    return blocks


def _months(found: Loads, words: Words) -> Table:
    columns = [Column(words("parameter")), Column(words("in_month"), 1.1), Column(words("load"), 1.2, True)]
    columns += [Column(words("volume"), 1.2, True), Column(words("covered"), 1.2, True)]
    columns += [Column(words("uncovered_hours"), 1.2, True)]
    rows = []
    for one in found.loads:
        named = [(words.month(each.period.start_ms), each) for each in one.months]
        if len(named) != 1:
            named.append((words("whole"), one.whole))
        rows += [[each.symbol, name, *_figures(each, one.whole, words)] for name, each in named]
    return Table(columns, rows, words("loads_month"))


def _figures(load: Load, whole: Load, words: Words) -> list[str]:
    return [
        words.kg(load.mass_kg, whole.mass_kg), words.kg(load.volume_m3, whole.volume_m3),
        words.share(load.share * 100), words.figure(uncovered_hours(load), 1),
    ]  # fmt: skip


def uncovered_hours(load: Load) -> float:
    """Of the load's period."""
    return (load.period.end_ms - load.period.start_ms - load.covered_ms) / HOUR_MS


def _days(found: Loads, words: Words) -> list[Block]:
    days = found.loads[0].days
    if len(days) > DAYS_SHOWN_MAX:
        return [Note(words("days_elsewhere"))]
    blocks: list[Block] = []
    for first in range(0, len(found.loads), COLUMNS_MAX):
        some = found.loads[first : first + COLUMNS_MAX]
        columns = [Column(words("time"), 1.4), *(Column(one.whole.symbol, 1, True) for one in some)]
        most = [max(day.mass_kg for day in one.days) for one in some]
        rows = [
            [
                words.date(day.period.start_ms),
                *(_kg(one.days[at], like, words) for one, like in zip(some, most, strict=True)),
            ]
            for at, day in enumerate(days)
        ]
        blocks.append(Table(columns, rows, words("loads_day")))
    return [*blocks, Note(words("day_note"))]


def _kg(load: Load, like: float, words: Words) -> str:
    if not load.covered_ms:
        return "–"
    return words.kg(load.mass_kg, like) + ("" if load.share == 1 else "*")


def _gaps(found: Loads, words: Words) -> list[Block]:
    """By reason, the small ones in one line; then the long ones one by one."""
    gaps = gaps_alike(found)
    by_reason: dict[tuple[str, str], list[int]] = {}
    for gap, symbols in gaps:
        lengths = by_reason.setdefault((", ".join(symbols), why(gap.why, words)), [])
        lengths.append(gap.end_ms - gap.start_ms)
    head = [Column(words("parameter"), 2), Column(words("reason"), 2.5), Column(words("times"), 0.7, True)]
    head += [Column(words("total_time"), 1.4, True), Column(words("longest"), 1.4, True)]
    small = [key for key, each in by_reason.items() if sum(each) < HOUR_MS]
    if len(small) > 1:
        rest = [ms for key in small for ms in by_reason.pop(key)]
        by_reason["", words("other_reasons")] = rest
    ordered = sorted(by_reason.items(), key=lambda item: (not item[0][0], -sum(item[1])))
    rows = [
        [*key, words.count(len(each)), words.length(sum(each)), words.length(max(each))]
        for key, each in ordered
    ]
    columns = [Column(words("parameter"), 2), Column(words("from"), 1.4), Column(words("to"), 1.4)]
    columns += [Column(words("lasts"), 1.3, True), Column(words("reason"), 2.5)]
    each = [
        [
            ", ".join(symbols), words.moment(gap.start_ms), words.moment(gap.end_ms),
            words.length(gap.end_ms - gap.start_ms), why(gap.why, words),
        ]
        for gap, symbols in gaps
        if gap.end_ms - gap.start_ms >= HOUR_MS
    ]  # fmt: skip
    blocks = cut(head, rows, words, words("gaps"))
    return [*blocks, *cut(columns, each, words, words("gaps_long"))] if rows else blocks


def fees(report: Report, words: Words) -> list[Block]:
    """The draft of each quarter's declaration."""
    found = report.added.loads if report.added else None
    if found is None or not found.fee_asked or found.volume is None:
        return []
    if report.station.kind not in ("wastewater", "stack"):
        return [Note(words("fees_kind"))]
    if not found.drafts:
        return [Note(words("fees_quarter"))]
    blocks: list[Block] = [Note(words("fees_note"))]
    for draft in found.drafts:
        blocks += _draft(draft, words)
    return blocks


def _draft(draft: Draft, words: Words) -> list[Block]:
    name = f"{words('quarter').capitalize()} {draft.quarter.number}/{draft.quarter.year}"
    due = round(datetime.combine(draft.declared_by, datetime.min.time(), GMT7).timestamp() * 1000)
    facts = [
        (words("decree"), draft.decree),
        (words("declared_by"), words.date(due)),
        (words("volume"), words.kg(draft.volume.volume_m3)),
        (words("covered"), words.share(draft.volume.share * 100)),
    ]
    if draft.fixed_vnd:
        facts.append((words("fixed_fee"), words.money(draft.fixed_vnd)))
    total = words.money(draft.total_vnd)
    if not draft.monitored:
        total += f" ({words('flat_fee')})"
    facts.append((words("total_fee"), total))
    columns = [
        Column(words("parameter")),
        Column(words("load"), 1.2, True),
        Column(words("covered"), 1.2, True),
    ]
    columns += [Column(words("rate"), 1.2, True), Column(words("fee"), 1.4, True)]
    rows = [
        [
            line.load.symbol, words.kg(line.load.mass_kg), words.share(line.load.share * 100),
            "–" if line.rate_vnd_kg is None else words.rate(line.rate_vnd_kg), words.money(line.fee_vnd),
        ]
        for line in draft.lines
    ]  # fmt: skip
    heading = Table(columns, rows, name)
    if rows:
        return [heading, Facts(facts)]
    note = [Note(words("no_rates"))] if draft.monitored else []
    return [Note(name), Facts(facts), *note]
