"""Tables and sentences as lines that fit a width: the same for a terminal, a pipe and a test.

Rule 1: no line is wider than asked for. A column that may shrink does so first; then the least important
        ones go, whole, one after the other.
Rule 2: widths are those of a terminal's cells: Vietnamese letters take one, some signs two.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 2
WIDTH = 80
BAD, DOUBT, GOOD, DIM, HEAD = "red", "yellow", "green", "dim", "bold"

Cell = tuple[str, str]
"""Text, and its style ("" for none)."""


@dataclass(frozen=True)
class Column:
    """`keep` 0: never left out; else those with the highest number go first. `least`: shrinks down to."""

    title: str
    right: bool = False
    keep: int = 0
    least: int | None = None
    most: int = 40


def screen_width() -> int:
    """Of the terminal, or the 80 of a pipe."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def harmless(text: str) -> str:
    """Without what a terminal would act on: a device, or whoever says to be one, may send any text."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> list[Text]:
    """A heading and a line for each row. Every row has a cell for each column."""
    chosen = list(range(len(columns)))
    while True:
        sizes = _sizes(columns, rows, chosen, width)
        if sizes is not None:
            break
        chosen.remove(max(chosen, key=lambda i: columns[i].keep))
    head = [(column.title, HEAD) for column in columns]
    return [_line(columns, row, chosen, sizes) for row in (head, *rows)]


def _sizes(columns, rows, chosen: list[int], width: int) -> dict[int, int] | None:
    """Widths that fit; None when a column has to go first."""
    sizes = {}
    for i in chosen:
        texts = [columns[i].title, *(row[i][0] for row in rows)]
        sizes[i] = min(columns[i].most, max(cell_len(text) for text in texts))
    over = sum(sizes.values()) + GAP * (len(chosen) - 1) - width
    for i in chosen:
        least = columns[i].least
        if over > 0 and least is not None and sizes[i] > least:
            taken = min(over, sizes[i] - least)
            sizes[i] -= taken
            over -= taken
    if over <= 0:
        return sizes
    if any(columns[i].keep for i in chosen):
        return None
    for i in reversed(chosen):  # nothing left to leave out: the last ones are cut
        taken = min(over, sizes[i] - 1)
        sizes[i] -= taken
        over -= taken
    return sizes


def _line(columns, row: Sequence[Cell], chosen: list[int], sizes: dict[int, int]) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for i in chosen:
        text, style = row[i]
        text = cut(harmless(text), sizes[i])
        blank = " " * (sizes[i] - cell_len(text))
        if i != chosen[0]:
            line.append(" " * GAP)
        line.append(blank + text if columns[i].right else text + blank, style or None)
    line.rstrip()
    return line


def cut(text: str, size: int) -> str:
    """At most `size` cells of it, with a sign that there was more."""
    if cell_len(text) <= size:
        return text
    return set_cell_size(text, size - 1) + "…" if size > 1 else set_cell_size(text, size)


def wrapped(text: str, width: int, style: str = "", indent: str = "  ") -> list[Text]:
    """A sentence on as many lines as it needs; what follows the first is indented."""
    lines = []
    for part in harmless(text).split("\n"):
        lines += textwrap.wrap(part, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return [Text(cut(line, width), style=style, no_wrap=True, overflow="crop") for line in lines]
