"""Section on VN_AQI or VN_WQI, as plain blocks: a pure function of the model and the words.

Rule 1: a station that has none of it gets no blocks, and so no section.
Rule 2: a colour never stands alone: the class is named beside it. Advice is in the decision's words.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.indices.vn_wqi import Quality
from gateway.reports.period_blocks import RGB, Block, Column, Note, Table
from gateway.reports.period_index import Air, Unmapped, Water
from gateway.reports.period_missing import missing
from gateway.reports.period_model import Report
from gateway.reports.period_words import Words


def index(report: Report, words: Words) -> list[Block]:
    """VN_AQI or VN_WQI of each day, and what its classes mean."""
    found = report.added.rating if report.added else None
    if found is None:
        return []
    blocks: list[Block] = [Note(words("air_note" if isinstance(found, Air) else "water_note"))]
    used = ", ".join(symbol if symbol == name else f"{symbol} ({name})" for symbol, name in found.mapped)
    blocks.append(Note(words("mapped", channels=used)))
    if found.unmapped:
        left = ", ".join(_unmapped(one, words) for one in found.unmapped)
        blocks.append(Note(words("not_mapped", channels=left)))
    always = _always(found)
    if always:
        blocks.append(Note(words("always_missing", what=missing(always, words))))
    return [*blocks, *_classes(found, words), _each_day(found, always, words)]


def _always(found: Air | Water) -> list[str]:
    """What is missing on every day, which is told once."""
    days = [day.rated.missing for day in found.days]
    return [part for part in days[0] if all(part in day for day in days)] if days else []


def _unmapped(one: Unmapped, words: Words) -> str:
    if one.taken:
        return words("not_again", symbol=one.symbol)
    if not one.parameter:
        return words("not_parameter", symbol=one.symbol)
    return words("not_unit", symbol=one.symbol, unit=one.unit)


def _classes(found: Air | Water, words: Words) -> list[Block]:
    """How many days had which class, and its advice in the words of the decision."""
    counts: dict = {}
    for day in found.days:
        rated = day.rated.rated
        if rated is not None:
            counts[rated] = counts.get(rated, 0) + 1
    if not counts:
        return []
    heads = ("health", "everybody", "sensitive") if isinstance(found, Air) else ("use",)
    columns = [
        Column(words("class"), 1.3),
        Column(words("colour"), 0.9),
        Column(words("days_count"), 0.7, True),
    ]
    columns += [Column(words(name), 3) for name in heads]
    ordered = sorted(counts, key=lambda rated: rated.top, reverse=isinstance(found, Water))
    rows = [
        [
            words.both(rated.name), words.colour(rated.rgb), str(counts[rated]),
            *(words.both(getattr(rated, name)) for name in heads),
        ]
        for rated in ordered
    ]  # fmt: skip
    return [Table(columns, rows, words("classes"), [rated.rgb for rated in ordered], 1)]


def _each_day(found: Air | Water, always: Sequence[str], words: Words) -> Table:
    is_air = isinstance(found, Air)
    columns = [Column(words("time"), 1.2), Column(words("index_day" if is_air else "index_water"), 1, True)]
    columns += [Column(words("deciding"), 1.3), Column(words("class"), 1.4)]
    columns += [Column(words("lacking"), 4)]
    rows: list[Sequence[str]] = []
    marks: list[RGB | None] = []
    for day in found.days:
        one = day.rated
        text = "–" if one.value is None else str(one.value)
        if isinstance(one, Quality) and one.value is None and one.indicative is not None:
            text = f"({one.indicative})"
        name = words.both(one.rated.name) if one.rated else words("no_index")
        lacks = missing([part for part in one.missing if part not in always], words)
        rows.append([words.date(day.start_ms), text, one.deciding or "–", name, lacks])
        marks.append(one.rated.rgb if one.rated else None)
    if not any(row[-1] for row in rows):  # nothing is missing, or every day the same
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(columns, rows, words("index_day" if is_air else "index_water"), marks, 3)
