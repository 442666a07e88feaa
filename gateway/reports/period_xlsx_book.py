"""A workbook on its way: sheets written row by row, cells by what they are (period_cells.py).

Rule 1: rows leave memory at once (a year has 8,760 hours); text never is a formula, a link or a number.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import xlsxwriter

from gateway.reports.period_cells import Cell, Figure, Share, When
from gateway.reports.period_model import Report
from gateway.reports.period_words import Words
from gateway.reports.period_xlsx_rows import Rows, Styled
from gateway.zone import DAY_MS, GMT7_S

EPOCH_DAYS = 25_569  # 1970-01-01 in a spreadsheet's count of days


class Book:
    """The workbook on its way."""

    def __init__(self, report: Report, words: Words):
        self.report, self.words = report, words
        self.out = io.BytesIO()
        options = {
            "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
            "strings_to_numbers": False,
        }  # fmt: skip
        self.book = xlsxwriter.Workbook(self.out, options)
        self.book.set_properties(
            {
                "title": words("title"), "subject": f"{report.station.code} {report.period.name}",
                "author": report.station.name, "created": datetime.fromtimestamp(report.reach_ms / 1000, UTC),
            }
        )  # fmt: skip
        self._head = self.book.add_format(
            {"bold": True, "bg_color": "#EEF3F7", "text_wrap": True, "bottom": 1}
        )
        self._moment = self.book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        self._share = self.book.add_format({"num_format": "0.00"})
        self._figures: dict[tuple[int, bool], Any] = {}

    def sheet(self, name: str, headings: Sequence[str], rows: Any, wide: int = 18) -> None:
        """One sheet; `rows` are read once."""
        sheet = cast("Rows", self.book.add_worksheet(_sheet_name(name), Rows))
        sheet.set_column(0, max(0, len(headings) - 1), wide)
        sheet.freeze_panes(1, 1)
        for column, text in enumerate(headings):
            sheet.write_string(0, column, text, self._head)
        for number, row in enumerate(rows, 1):
            sheet.line(number, [self._styled(cell) for cell in row])

    def _styled(self, cell: Cell) -> Styled:
        kind = type(cell)
        if kind is Figure:  # most of them
            value, decimals, valid = cell
            return value, self._figure(decimals, valid)
        if kind is When:
            return serial(cell), self._moment
        return cell, self._share if kind is Share else None

    def _figure(self, decimals: int, valid: bool) -> Any:
        known = self._figures.get((decimals, valid))
        if known is None:
            look = {"num_format": "0." + "0" * decimals if decimals else "0"}
            look |= {} if valid else {"italic": True, "font_color": "#8A95A3"}
            known = self._figures[decimals, valid] = self.book.add_format(look)
        return known

    def finished(self) -> bytes:
        self.book.close()
        return self.out.getvalue()


def serial(time_ms: int) -> float:
    """A moment as spreadsheets count days, on the clock of GMT+7."""
    return (time_ms + GMT7_S * 1000) / DAY_MS + EPOCH_DAYS


def _sheet_name(name: str) -> str:
    """As spreadsheets allow it: 31 characters, none of []:*?/\\."""
    return "".join(" " if letter in "[]:*?/\\" else letter for letter in name)[:31]
