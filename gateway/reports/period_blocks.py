"""What a report's sections are made of: data that every output for reading draws, knowing nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.reports.period_chart import Chart
from gateway.reports.period_words import Words

LINES_MAX = 100
"""Of one list in HTML and PDF; all of them are in the spreadsheet."""
COLUMNS_MAX = 12
"""Channels side by side in a table that still can be read on A4."""
BOOK = "report.xlsx"

Lines = Sequence[Sequence[str]]


class Facts(NamedTuple):
    """Pairs of a label and what is to be said."""

    rows: Sequence[tuple[str, str]]


class Column(NamedTuple):
    heading: str
    weight: float = 1.0  # its share of the width
    right: bool = False  # numbers


RGB = tuple[int, int, int]


class Table(NamedTuple):
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    marks: Sequence[
        RGB | None
    ] = ()  # of each row, a small field of that colour; its meaning is in words, too
    mark_at: int = 0  # the column in which it stands


class Note(NamedTuple):
    """Text in small type: how something was computed."""

    text: str


class Charts(NamedTuple):
    charts: Sequence[Chart]


Block = Facts | Table | Note | Charts


class Section(NamedTuple):
    name: str  # permanent, for links and tests
    title: str
    blocks: Sequence[Block]


def cut(columns: Sequence[Column], rows: Lines, words: Words, heading: str = "") -> list[Block]:
    """A list, or what stands for an empty or a very long one: no list is cut without saying so."""
    if not rows:
        blocks: list[Block] = [Note(f"{heading}: {words('none')}" if heading else words("none"))]
        return blocks
    blocks = [Table(columns, rows[:LINES_MAX], heading)]
    if len(rows) > LINES_MAX:
        blocks.append(Note(words("more", count=words.count(len(rows) - LINES_MAX), file=BOOK)))
    return blocks


def longest(
    columns: Sequence[Column], rows: Lines, lengths: Sequence[int], words: Words, heading: str = ""
) -> list[Block]:
    """As cut(), of a list whose lines last: what stays of a very long one are the longest, in their order."""
    if len(rows) <= LINES_MAX:
        return cut(columns, rows, words, heading)
    kept = sorted(sorted(range(len(rows)), key=lambda at: -lengths[at])[:LINES_MAX])
    said = words("longest_lines", shown=LINES_MAX, count=words.count(len(rows)), file=BOOK)
    return [Table(columns, [rows[at] for at in kept], heading), Note(said)]
