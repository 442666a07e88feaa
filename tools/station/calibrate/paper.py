"""A certificate as a PDF to sign: A4, on the pages of the gateway's reports (gateway/reports/)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fpdf.enums import XPos, YPos

from gateway.reports.period_pdf_paper import BLUE, FONT, GREY, MARGIN, RULE, Paper
from gateway.reports.period_words import Words
from tools.station.calibrate import texts as t
from tools.station.calibrate.certificate import Checked, Facts, Note, Table, blocks, heading
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.texts import Text

BAND, RED = (238, 243, 247), (179, 38, 30)
LABEL = 40.0  # mm
FACTS_ALONE = 3
"""So many and fewer stand in one column."""
VI, EN = 8.5, 6.5  # points: the first language, and the second below it
LINE, SECOND = 4.1, 2.8  # mm, of each
SIGNATURES = 38.0


def render(made: Calibration, checked: Checked | None, language: str = "both") -> bytes:
    """The whole file; the same bytes for the same calibration."""
    words = Words("en" if language == "en" else "vi")
    paper = Paper(words, heading(made))
    paper.set_title(f"{t.TITLE.en}: {heading(made)}")
    paper.set_author(made.by)
    paper.set_lang("en" if language == "en" else "vi")
    paper.set_creation_date(datetime.fromtimestamp(made.at_ms / 1000, UTC))
    paper.add_page()
    first, second = _languages(t.TITLE, language)
    paper.write_line(first, 13, align="C", style="B")
    if second:
        paper.write_line(second, 9, GREY, align="C")
    paper.ln(3)
    for block in blocks(made, checked):
        match block:
            case Facts(rows):
                _facts(paper, rows, language)
            case Table():
                _table(paper, block, language)
            case Note(text):
                _note(paper, text, language)
    _signatures(paper, made, language)
    return bytes(paper.output())


def _languages(text: Text, language: str) -> tuple[str, str]:
    """What stands first, and what below it."""
    if language == "both":
        return text.vi, "" if text.vi == text.en else text.en
    return (text.en if language == "en" else text.vi), ""


def _facts(paper: Paper, rows: Sequence[tuple[Text, Text]], language: str) -> None:
    """In two columns, the left one first, where there are many."""
    columns = 2 if len(rows) > FACTS_ALONE else 1
    half = len(rows) // 2 + 1 if columns == 2 else len(rows)
    width = (paper.w - 2 * MARGIN) / columns
    paper.ln(2)
    top = lowest = paper.get_y()
    for column in range(columns):
        paper.set_y(top)
        for name, value in rows[column * half : (column + 1) * half]:
            _fact(paper, name, value, language, MARGIN + column * width, width - 2)
        lowest = max(lowest, paper.get_y())
    paper.set_xy(MARGIN, lowest)


def _fact(paper: Paper, name: Text, value: Text, language: str, left: float, width: float) -> None:
    top, lowest = paper.get_y(), 0.0
    for text, x, across, color in (
        (name, left, LABEL, GREY),
        (value, left + LABEL, width - LABEL, (0, 0, 0)),
    ):
        paper.set_y(top)
        first, second = _languages(text, language)
        for words, size, step, shade in ((first, VI, LINE, color), (second, EN, SECOND, GREY)):
            if words:
                paper.set_x(x)
                paper.set_font(FONT, "", size)
                paper.set_text_color(*shade)
                paper.multi_cell(across, step, words, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        lowest = max(lowest, paper.get_y())
    paper.set_y(lowest + 0.6)


def _note(paper: Paper, text: Text, language: str) -> None:
    first, second = _languages(text, language)
    paper.ln(1)
    paper.write_text(first, 7.5, GREY)
    if second:
        paper.write_text(second, 6.5, GREY)


def _table(paper: Paper, table: Table, language: str) -> None:
    widths = [share * (paper.w - 2 * MARGIN) for share in table.widths]
    paper.room(30)
    paper.ln(2)
    first, second = _languages(table.title, language)
    paper.set_font(FONT, "B", 10)
    paper.set_text_color(*BLUE)
    paper.cell(paper.get_string_width(first) + 3, 5, first)
    paper.set_font(FONT, "", 8)
    paper.set_text_color(*GREY)
    paper.cell(0, 5, second, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    paper.ln(0.8)
    _row(paper, table.heads, widths, range(len(widths)), language, BAND)
    for row in table.rows:
        _row(paper, row, widths, table.left, language)


def _row(
    paper: Paper,
    texts: Sequence[Text],
    widths: Sequence[float],
    left: Sequence[int],
    language: str,
    fill: tuple[int, int, int] | None = None,
) -> None:
    cells = [_languages(text, language) for text in texts]
    broken = [_broken(paper, pair, width) for pair, width in zip(cells, widths, strict=True)]
    height = max(len(ones) * LINE + len(others) * SECOND for ones, others in broken) + 1.4
    paper.room(height)
    top, x = paper.get_y(), MARGIN
    paper.set_draw_color(*RULE)
    for at, ((ones, others), width) in enumerate(zip(broken, widths, strict=True)):
        if fill:
            paper.set_fill_color(*fill)
        paper.rect(x, top, width, height, style="FD" if fill else "D")
        y = top + 0.7
        align = "L" if at in left else "R"
        for lines, size, step, color in ((ones, VI, LINE, (0, 0, 0)), (others, EN, SECOND, GREY)):
            paper.set_font(FONT, "B" if fill and size == VI else "", size)
            paper.set_text_color(*(RED if texts[at] is t.BEYOND else color))
            for line in lines:
                paper.set_xy(x, y)
                paper.cell(width, step, line, align=align)
                y += step
        x += width
    paper.set_xy(MARGIN, top + height)


def _broken(paper: Paper, pair: tuple[str, str], width: float) -> tuple[list[str], list[str]]:
    """The lines of both languages in a cell of this width."""
    found = []
    for text, size in zip(pair, (VI, EN), strict=True):
        paper.set_font(FONT, "B" if size == VI else "", size)  # the wider one of the two that may stand there
        lines: list[str] = []
        for word in text.split(" ") if text else ():
            joined = f"{lines[-1]} {word}" if lines else word
            if lines and paper.get_string_width(joined) <= width - 2.2:
                lines[-1] = joined
            else:
                lines.append(word)
        found.append(lines)
    return found[0], found[1]


def _signatures(paper: Paper, made: Calibration, language: str) -> None:
    paper.room(SIGNATURES)
    paper.ln(4)
    top, width = paper.get_y(), (paper.w - 2 * MARGIN) / 2
    for place, (role, name) in enumerate(((t.TECHNICIAN, made.by), (t.HEAD, ""))):
        y = top
        for text, style, size in ((t.DAY, "", 8.5), (role, "B", 9.5), (t.SIGN, "", 7.5)):
            for line, points, color in zip(
                _languages(text, language), (size, EN), ((0, 0, 0), GREY), strict=True
            ):
                if not line:
                    continue
                paper.set_font(FONT, style if points == size else "", points)
                paper.set_text_color(*color)
                paper.set_xy(MARGIN + place * width, y)
                paper.cell(width, LINE, line, align="C")
                y += LINE if points == size else SECOND + 0.4
        paper.set_font(FONT, "", 9)
        paper.set_text_color(0, 0, 0)
        paper.set_xy(MARGIN + place * width, top + SIGNATURES - 8)
        paper.cell(width, LINE, name, align="C")
