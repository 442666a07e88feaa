"""The pages of a report's PDF: A4, station and period above, the page's number below.

Rule 1: the font has all Vietnamese letters and figures of one width; it is a package of its own, and only
        the letters in use are put into the file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import resources

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from gateway.reports.period_words import Words

FONT = "Roboto"
MARGIN, TOP, BOTTOM = 14.0, 22.0, 16.0  # mm
BLUE, GREY, RULE = (11, 91, 138), (71, 82, 95), (216, 222, 230)
ALL_PAGES = "{nb}"  # the library puts their number in its place

logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells every table that it leaves out of a font


class Paper(FPDF):
    """Pages with their header and footer."""

    def __init__(self, words: Words, heading: str):
        super().__init__(format="A4")
        self._words, self._heading = words, heading
        self._widths: dict[tuple[str, float, str], float] = {}
        files = resources.files("font_roboto") / "files"
        self.add_font(FONT, "", str(files / "Roboto-Regular.ttf"))
        self.add_font(FONT, "B", str(files / "Roboto-Bold.ttf"))
        self.set_margins(MARGIN, TOP, MARGIN)
        self.set_auto_page_break(True, BOTTOM)
        self.set_line_width(0.15)

    def header(self) -> None:
        self.set_xy(MARGIN, 9)
        self.write_line(self._heading, 8, GREY)
        self.set_draw_color(*BLUE)
        self.line(MARGIN, 15, self.w - MARGIN, 15)
        self.set_y(TOP - 4)

    def footer(self) -> None:
        self.set_xy(MARGIN, -12)
        text = self._words("page", page=self.page_no(), pages=ALL_PAGES)
        self.write_line(text, 8, GREY)

    def write_line(
        self, text: str, size: float, color: Sequence[int] = (0, 0, 0), align: str = "L", style: str = ""
    ) -> None:
        """One line over the whole width."""
        self.set_font(FONT, style, size)
        self.set_text_color(*color)
        self.cell(0, size * 0.5, text, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def write_text(self, text: str, size: float, color: Sequence[int] = (0, 0, 0), style: str = "") -> None:
        """As many lines as it needs."""
        self.set_font(FONT, style, size)
        self.set_text_color(*color)
        self.multi_cell(0, size * 0.48, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def width(self, text: str) -> float:
        """Of a text in the font that is set, mm; figures come again and again, and measuring takes time."""
        key = (self.font_style, self.font_size_pt, text)
        known = self._widths.get(key)
        if known is None:
            known = self._widths[key] = self.get_string_width(text)
        return known

    def room(self, height: float) -> None:
        """A new page where less than `height` mm are left."""
        if self.get_y() + height > self.h - BOTTOM:
            self.add_page()
