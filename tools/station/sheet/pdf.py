"""A commissioning sheet as a PDF for signing: A4, the station on each page, fields to sign.

Rule 1: the same sections as the HTML. The same sheet gives the same bytes: its date is the sheet's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

from fpdf.enums import XPos, YPos

from gateway.reports.period_pdf_paper import BLUE, FONT, GREY, MARGIN, Paper
from gateway.reports.period_pdf_table import Laid, draw, laid, lines_of
from tools.station.sheet.blocks import Block, Facts, Note, Picture, Pictures, Points, Table, Wiring, without
from tools.station.sheet.diagram import Band, Box, Stroke, Text, drawn
from tools.station.sheet.model import Sheet
from tools.station.sheet.pdf_paper import ROLES, wrapping
from tools.station.sheet.sections import sections
from tools.station.sheet.words import Words

RED, GREEN, BOX, DEVICE = (179, 38, 30), (46, 125, 79), (91, 104, 118), (227, 238, 245)
SIGNATURE_HEIGHT = 54.0
FACT, LABEL, POINT = 4.4, 55.0, 4.4
PICTURES_ABREAST, PICTURE_HEIGHT, CAPTION = 3, 42.0, 3.2
COLUMNS = 4
DRAWING_MAX = 240.0
"""mm with its title: a drawing that fits a page stands on one; a larger one ends between two of its rows."""


def render(sheet: Sheet, language: str) -> bytes:
    """The whole file."""
    words = Words(language)
    about = f"{words('station', id=sheet.id)} – {words('made', when=words.when(sheet.made_ms))}"
    about = without(about, sheet.secrets)
    paper = Paper(words, about)
    paper.set_title(f"{words('title')}: {sheet.id}")
    paper.set_lang(language)
    paper.set_creation_date(datetime.fromtimestamp(sheet.made_ms / 1000, UTC))
    paper.add_page()
    for line, style in zip(words.letter_head, ("B", ""), strict=False):
        paper.write_line(line, 10, align="C", style=style)
    paper.ln(4 if words.letter_head else 0)
    paper.write_text(words("title"), 14, style="B")
    paper.write_text(about, 10, GREY)
    for number, section in enumerate(sections(sheet, words), 1):
        blocks = [laid(paper, block) if isinstance(block, Table) else block for block in section.blocks]
        bands = drawn(sheet, words, wrapping(words, paper), paper.w - 2 * MARGIN, COLUMNS)
        paper.room(_beginning(blocks, bands) + (SIGNATURE_HEIGHT if section.name == "signed" else 0.0))
        paper.ln(3.5)
        paper.write_text(f"{number}. {section.title}", 11.5, BLUE, "B")
        paper.ln(1)
        for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
            if isinstance(block, Laid) and isinstance(behind, Facts):  # points, and what they came to
                paper.room(block.least + FACT * (len(behind.rows) + 2))
            _draw(paper, block, bands)
    _signatures(paper, words)
    return bytes(paper.output())


def _draw(paper: Paper, block: Block | Laid, bands: Sequence[Band]) -> None:
    match block:
        case Facts(rows):
            _facts(paper, rows)
        case Laid():
            draw(paper, block)
        case Note(text):
            paper.write_text(text, 8, GREY)
            paper.ln(1)
        case Points(lead, rows):
            _points(paper, lead, rows)
        case Wiring():
            for band in bands:
                paper.room(band.height)
                _band(paper, band)
        case Pictures(pictures):
            for at in range(0, len(pictures), PICTURES_ABREAST):
                _pictures(paper, pictures[at : at + PICTURES_ABREAST])


def _beginning(blocks: Sequence[Block | Laid], bands: Sequence[Band]) -> float:
    """How high a section's title is with what must not be parted from it."""
    match blocks[0]:
        case Laid() as table:
            return 12 + min(table.least, 120.0)
        case Wiring():
            whole = 12 + sum(band.height for band in bands)
            return whole if whole <= DRAWING_MAX else 12 + sum(band.height for band in bands[:2])
        case Pictures():
            return 12 + PICTURE_HEIGHT + 25
        case Points():
            return 30.0
    return 12 + 6 * FACT


def _facts(paper: Paper, rows: Sequence[tuple[str, str]]) -> None:
    for label, text in rows:
        labels = lines_of(paper, label, LABEL, 8.5)
        texts = lines_of(paper, text, paper.w - 2 * MARGIN - LABEL, 8.5)
        paper.room(FACT * max(len(labels), len(texts)))
        top = paper.get_y()
        for x, lines, color in ((MARGIN + 1, labels, GREY), (MARGIN + LABEL, texts, (0, 0, 0))):
            paper.set_font(FONT, "", 8.5)
            paper.set_text_color(*color)
            for at, line in enumerate(lines):
                paper.text(x, top + 3.2 + at * FACT, line)
        paper.set_xy(MARGIN, top + FACT * max(len(labels), len(texts)))
    paper.ln(1)


def _points(paper: Paper, lead: str, rows: Sequence[str]) -> None:
    """The list of what is missing, each with a field to tick, along a line of its colour."""
    color = RED if rows else GREEN
    _point(paper, lead, color, "B", tick=False)
    for row in rows:
        _point(paper, row, color, "", tick=True)
    paper.ln(1)


def _point(paper: Paper, text: str, color: tuple[int, int, int], style: str, tick: bool) -> None:
    left = 9.0 if tick else 4.0
    lines = lines_of(paper, text, paper.w - 2 * MARGIN - left, 9, style)
    height = POINT * len(lines) + 0.6
    paper.room(height)
    top = paper.get_y()
    paper.set_fill_color(*color)
    paper.rect(MARGIN, top, 1.2, height, "F")
    paper.set_font(FONT, style, 9)
    paper.set_text_color(0, 0, 0)
    if tick:
        paper.set_draw_color(0, 0, 0)
        paper.rect(MARGIN + 4, top + 0.8, 2.8, 2.8)
    for at, line in enumerate(lines):
        paper.text(MARGIN + left, top + 3.3 + at * POINT, line)
    paper.set_xy(MARGIN, top + height)


def _band(paper: Paper, band: Band) -> None:
    top = paper.get_y()
    for shape in band.shapes:
        match shape:
            case Stroke(x1, y1, x2, y2, bus):
                paper.set_draw_color(*(BLUE if bus else BOX))
                paper.set_line_width(0.45 if bus else 0.25)
                if not bus:
                    paper.set_dash_pattern(1.2, 0.8)
                paper.line(MARGIN + x1, top + y1, MARGIN + x2, top + y2)
                paper.set_dash_pattern()
            case Box(x, y, width, height, strong):
                paper.set_draw_color(*(BLUE if strong else BOX))
                paper.set_fill_color(*(DEVICE if strong else (255, 255, 255)))
                paper.set_line_width(0.35 if strong else 0.2)
                paper.rect(MARGIN + x, top + y, width, height, "FD", round_corners=True, corner_radius=1)
            case Text(x, y, text, points, bold):
                paper.set_font(FONT, "B" if bold else "", points)
                paper.set_text_color(0, 0, 0)
                paper.text(MARGIN + x, top + y, text)
    paper.set_line_width(0.15)
    paper.set_xy(MARGIN, top + band.height)


def _pictures(paper: Paper, row: Sequence[Picture]) -> None:
    """Some side by side, what is known of each below it."""
    width = (paper.w - 2 * MARGIN) / PICTURES_ABREAST
    captions = [
        [(line, "B") for line in lines_of(paper, one.title, width, 7.5, "B")]
        + [(line, "") for text in one.lines for line in lines_of(paper, text, width, 6.8)]
        for one in row
    ]
    shown = PICTURE_HEIGHT if any(one.jpeg for one in row) else 0.0
    height = shown + 2 + CAPTION * max(map(len, captions)) + 3
    paper.room(height)
    top = paper.get_y() + 1
    for at, (one, caption) in enumerate(zip(row, captions, strict=True)):
        x = MARGIN + 1 + at * width
        if one.jpeg:
            paper.image(
                io.BytesIO(one.jpeg), x, top, width - 4, shown, keep_aspect_ratio=True, alt_text=one.title
            )
        for number, (line, style) in enumerate(caption):
            paper.set_font(FONT, style, 7.5 if style else 6.8)
            paper.set_text_color(*((0, 0, 0) if style else GREY))
            paper.text(x, top + shown + 3.4 + number * CAPTION, line)
    paper.set_xy(MARGIN, top + height - 1)


def _signatures(paper: Paper, words: Words) -> None:
    paper.room(SIGNATURE_HEIGHT)
    paper.ln(8)
    top, width = paper.get_y(), (paper.w - 2 * MARGIN) / len(ROLES)
    for number, role in enumerate(ROLES):
        texts = ((words("date"), "", 8.5), (words(role), "B", 9.5), (words(f"sign_{role}"), "", 8))
        for line, (text, style, size) in enumerate(texts):
            paper.set_font(FONT, style, size)
            paper.set_text_color(*((0, 0, 0) if line < 2 else GREY))
            paper.set_xy(MARGIN + number * width, top + line * 5)
            paper.cell(width, 5, text, align="C", new_x=XPos.LMARGIN, new_y=YPos.TOP)
        paper.set_draw_color(*BOX)
        x = MARGIN + number * width
        paper.line(x + 6, top + SIGNATURE_HEIGHT - 12, x + width - 6, top + SIGNATURE_HEIGHT - 12)
