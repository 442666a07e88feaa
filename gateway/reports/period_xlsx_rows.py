"""Rows of a sheet as they stand in the file, written whole: a year of hours is 150,000 cells.

Rule 1: the same bytes as the library writes cell by cell, in a third of its time; a test compares them. How a
        text is escaped is asked of the library, once a text.
Rule 2: what is not common (a text that is too long for a cell) is left to the library.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

from xlsxwriter.worksheet import CellStringTuple, Worksheet

LONGEST = 16_000
"""Characters: above, the library counts what a cell can hold."""
KNOWN = 1000
"""Texts of a sheet that are remembered."""
Styled = tuple[float | str | None, Any]
"""A number, a text or nothing, and a format of the workbook or None."""


class Rows(Worksheet):
    """A worksheet of a workbook with constant_memory that also takes whole rows."""

    def line(self, row: int, cells: Sequence[Styled]) -> None:
        """The row behind the newest one. ValueError for a number that is none."""
        self._write_single_row(row)  # what stands before it: styles are numbered as they are met
        parts, last, label = [], 0, row + 1
        for column, (value, style) in enumerate(cells):
            if value is None:
                continue
            last = column
            attribute = "" if style is None else f' s="{style._get_xf_index()}"'
            if isinstance(value, str):
                if len(value) > LONGEST:
                    self._by_cells(row, cells)
                    return
                parts.append(f'<c r="{letters(column)}{label}"{attribute}{self._text(value)}')
                continue
            figure = f"{value:.16G}"
            if figure[-1] in "NF":  # NAN, INF
                raise ValueError(f"A cell cannot hold {figure}.")
            parts.append(f'<c r="{letters(column)}{label}"{attribute}><v>{figure}</v></c>')
        if parts:
            self._check_dimensions(row, last)
            self.fh.write(f'<row r="{label}">{"".join(parts)}</row>')

    def _by_cells(self, row: int, cells: Sequence[Styled]) -> None:
        for column, (value, style) in enumerate(cells):
            if isinstance(value, str):
                self.write_string(row, column, value, style)
            elif value is not None:
                self.write_number(row, column, value, style)

    def _text(self, text: str) -> str:
        """A text's cell from behind its address and style."""
        known: dict[str, str] = self.__dict__.setdefault("_texts", {})
        found = known.get(text)
        if found is None:
            if len(known) >= KNOWN:
                known.clear()
            file, self.fh = self.fh, io.StringIO()
            try:
                self._write_cell(0, 0, CellStringTuple(text, None))
                found = known[text] = self.fh.getvalue().removeprefix('<c r="A1"')
            finally:
                self.fh = file
        return found


@cache
def letters(column: int) -> str:
    """0 -> "A", 26 -> "AA"."""
    return (letters(column // 26 - 1) if column >= 26 else "") + chr(ord("A") + column % 26)
