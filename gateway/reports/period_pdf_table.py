"""Tables on the pages of a report's PDF.

Rule 1: a short table is not parted, and no last row stands alone on a page; heads are on each page.
Rule 2: nothing is cut: a cell takes as many lines as it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.reports.period_blocks import Column, Table
from gateway.reports.period_pdf_paper import BOTTOM, FONT, MARGIN, RULE, Paper

LINE = 4.0  # height of a line of a table
PADDING = 1.2
MARK_WIDTH = 2.6
FILL = (238, 243, 247)
WHOLE_ROWS_MAX = 26
"""Rows of a table that is not parted: it goes to the next page as a whole."""


class Laid(NamedTuple):
    """A table whose lines are known."""

    table: Table
    size: float
    widths: list[float]
    head_height: float
    rows: list[list[list[str]]]  # lines of each cell
    heights: list[float]

    @property
    def least(self) -> float:
        """What it takes to begin it: all of a short one, a few rows of a long one."""
        kept = self.heights if len(self.heights) <= WHOLE_ROWS_MAX else self.heights[:4]
        return (8.0 if self.table.heading else 0.0) + self.head_height + sum(kept)


def laid(paper: Paper, table: Table) -> Laid:
    size, widths = 7.5 if len(table.columns) <= 8 else 6.8, _widths(paper, table)
    rows = [
        [lines_of(paper, text, width, size) for text, width in zip(row, widths, strict=True)]
        for row in table.rows
    ]
    heights = [max(map(len, lines)) * (LINE - 0.6) + 0.6 for lines in rows]
    heads = [
        len(lines_of(paper, column.heading, width, size, "B"))
        for column, width in zip(table.columns, widths, strict=True)
    ]
    return Laid(table, size, widths, max(heads) * (LINE - 0.6) + 1.2, rows, heights)


def draw(paper: Paper, of: Laid) -> None:
    table, size, widths, _, rows, heights = of
    paper.room(of.least)
    if table.heading:
        paper.ln(1.5)
        paper.write_text(table.heading, 9, style="B")
        paper.ln(0.5)
    _heads(paper, table.columns, widths, size)
    marks = table.marks or [None] * len(rows)
    before = sum(widths[: table.mark_at])
    for at, (lines, height, mark) in enumerate(zip(rows, heights, marks, strict=True)):
        needed = height + heights[-1] if at == len(rows) - 2 else height  # no last row alone on a page
        if paper.get_y() + needed > paper.h - BOTTOM:
            paper.add_page()
            _heads(paper, table.columns, widths, size)
        if mark is not None:
            paper.set_fill_color(*mark)
            paper.rect(MARGIN + before - MARK_WIDTH, paper.get_y() + 0.7, MARK_WIDTH, 2.6, "FD")
        _row(paper, table.columns, widths, lines, height)
    paper.ln(1.5)


def _heads(paper: Paper, columns: Sequence[Column], widths: Sequence[float], size: float) -> None:
    lines = [
        lines_of(paper, column.heading, width, size, "B")
        for column, width in zip(columns, widths, strict=True)
    ]
    height = max(map(len, lines)) * (LINE - 0.6) + 1.2
    paper.set_fill_color(*FILL)
    paper.rect(MARGIN, paper.get_y(), sum(widths), height, "F")
    _row(paper, columns, widths, lines, height)
    paper.set_font(FONT, "", size)


def _row(
    paper: Paper,
    columns: Sequence[Column],
    widths: Sequence[float],
    lines: Sequence[list[str]],
    height: float,
) -> None:
    """Cells whose lines are known; the cursor is at the next row then."""
    top, x = paper.get_y(), MARGIN
    paper.set_text_color(0, 0, 0)
    for column, width, texts in zip(columns, widths, lines, strict=True):
        for at, text in enumerate(texts):
            room = width - PADDING - paper.width(text)
            baseline = top + 2.9 + at * (LINE - 0.6)
            paper.text(x + (room if column.right else PADDING), baseline, text)
        x += width
    paper.set_draw_color(*RULE)
    paper.line(MARGIN, top + height, x, top + height)
    paper.set_xy(MARGIN, top + height)


def lines_of(paper: Paper, text: str, width: float, size: float, style: str = "") -> list[str]:
    """A cell's text in lines that fit; a word that is too long is cut."""
    paper.set_font(FONT, style, size)
    room = width - 2 * PADDING
    if paper.width(text) <= room:
        return [text]
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if paper.width(joined) <= room:
            lines[-1] = joined
            continue
        while paper.width(word) > room and len(word) > 1:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or paper.width(word[:n]) <= room)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return [line for line in lines if line] or [""]


def _widths(paper: Paper, table: Table) -> list[float]:
    whole = paper.w - 2 * MARGIN
    weight = sum(column.weight for column in table.columns)
    return [whole * column.weight / weight for column in table.columns]
