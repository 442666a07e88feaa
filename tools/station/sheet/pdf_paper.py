"""The paper of a sheet: the gateway's, with what only a sheet needs."""

from __future__ import annotations

import logging

from gateway.reports.period_pdf_paper import Paper
from gateway.reports.period_pdf_table import lines_of
from tools.station.sheet.diagram import Wrap
from tools.station.sheet.words import Words

ROLES = ("technician", "facility", "inspector")

logging.getLogger("fpdf").setLevel(logging.ERROR)  # it tells of each letter that the font does not have


def wrapping(words: Words, paper: Paper | None = None) -> Wrap:
    """Texts in lines, measured with the font of the PDF; a page's own font may be a little wider."""
    measured, spare = (paper, 1.0) if paper else (Paper(words, ""), 0.84)
    return lambda text, width, points, style: lines_of(measured, text, width * spare, points, style)
