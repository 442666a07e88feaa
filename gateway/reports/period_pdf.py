"""A period's report as a PDF for signing: A4, station and period on each page, fields to sign.

Rule 1: the same blocks as the HTML, from the same model; the same report gives the same bytes (its creation
        date is the moment up to which it reaches).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fpdf.enums import XPos, YPos

from gateway.reports.period_blocks import Charts, Facts, Note, Table
from gateway.reports.period_chart import Chart, Point
from gateway.reports.period_model import Report
from gateway.reports.period_pdf_paper import BLUE, FONT, GREY, MARGIN, RULE, Paper
from gateway.reports.period_pdf_table import Laid, draw, laid, lines_of
from gateway.reports.period_sections import sections
from gateway.reports.period_words import Words

BAND, RED = (190, 217, 233), (179, 38, 30)
CHART_HEIGHT, CHART_LEFT, CHART_BOTTOM = 36.0, 15.0, 5.0
SIGNATURE_HEIGHT = 50.0
FACT = 4.8  # height of a line of facts


def render(report: Report, language: str) -> bytes:
    """The whole file."""
    words = Words(language)
    about = words.period(report.period)
    paper = Paper(words, f"{report.station.name} ({report.station.code})  –  {about}")
    paper.set_title(f"{words('title')}: {report.station.code} {report.period.name}")
    paper.set_author(report.station.name)
    paper.set_lang(language)
    paper.set_creation_date(datetime.fromtimestamp(report.reach_ms / 1000, UTC))
    paper.add_page()
    for line, style in zip(words.letter_head, ("B", ""), strict=False):
        paper.write_line(line, 10, align="C", style=style)
    paper.ln(4 if words.letter_head else 0)
    paper.write_text(words("title"), 15, style="B")
    paper.write_text(f"{report.station.name} – {about}", 10, GREY)
    found = sections(report, words)
    for number, section in enumerate(found, 1):
        blocks = [laid(paper, block) if isinstance(block, Table) else block for block in section.blocks]
        signed = SIGNATURE_HEIGHT if number == len(found) else 0.0  # no signature stands alone on a page
        paper.room(_beginning(paper, blocks) + signed)
        paper.ln(3.5)
        paper.write_text(f"{number}. {section.title}", 11.5, BLUE, "B")
        paper.ln(1)
        for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
            match block:
                case Facts(rows):
                    _facts(paper, rows)
                case Laid():
                    if isinstance(behind, Facts):  # a draft's figures and what they come to
                        paper.room(block.least + FACT * len(behind.rows))
                    draw(paper, block)
                case Note(text):
                    paper.write_text(text, 8, GREY)
                    paper.ln(1)
                case Charts(charts):
                    for chart in charts:
                        _chart(paper, chart)
    _signatures(paper, words)
    return bytes(paper.output())


def _beginning(paper: Paper, blocks: Sequence[Facts | Laid | Note | Charts]) -> float:
    """How high a section's title is with what must not be parted from it: notes, and what they are about."""
    height = 14.0
    for block in blocks:
        match block:
            case Note(text):
                height += len(lines_of(paper, text, paper.w - 2 * MARGIN, 8)) * 3.9 + 1
                continue
            case Laid():
                height += block.least
            case Charts():
                height += CHART_HEIGHT + 8
            case Facts(rows):
                height += FACT * len(rows)
        break
    return height


def _facts(paper: Paper, rows: Sequence[tuple[str, str]]) -> None:
    paper.room(FACT * min(len(rows), 12))
    for label, text in rows:
        paper.set_font(FONT, "", 9)
        paper.set_text_color(*GREY)
        paper.cell(52, FACT, label)
        paper.set_text_color(0, 0, 0)
        paper.multi_cell(0, FACT, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _chart(paper: Paper, chart: Chart) -> None:
    paper.room(CHART_HEIGHT + 8)
    paper.write_text(chart.title, 8.5, style="B")
    top = paper.get_y() + 1.5
    left, right = MARGIN + CHART_LEFT, paper.w - MARGIN - 2
    base = top + CHART_HEIGHT - CHART_BOTTOM

    def at(point: Point) -> tuple[float, float]:
        return left + point[0] * (right - left), base - point[1] * (base - top)

    paper.set_font(FONT, "", 6.5)
    paper.set_text_color(*GREY)
    for y, text in chart.ticks_y:
        _, level = at((0, y))
        paper.set_draw_color(*RULE)
        paper.line(left, level, right, level)
        paper.text(left - 1.5 - paper.width(text), level + 0.8, text)
    for x, text in chart.ticks_x:
        place, _ = at((x, 0))
        paper.set_draw_color(*GREY)
        paper.line(place, base, place, base + 1)
        paper.text(place, base + 3.6, text)
    paper.set_fill_color(*BAND)
    for band in chart.bands:
        paper.polygon([at(point) for point in band], style="F")
    paper.set_draw_color(*BLUE)
    paper.set_line_width(0.3)
    for line in chart.lines:
        paper.polyline([at(point) for point in line])
    paper.set_draw_color(*RED)
    paper.set_dash_pattern(1.6, 1.1)
    for y in chart.limits:
        paper.line(left, at((0, y))[1], right, at((0, y))[1])
    paper.set_dash_pattern()
    paper.set_line_width(0.15)
    paper.set_xy(MARGIN, top + CHART_HEIGHT + 1)


def _signatures(paper: Paper, words: Words) -> None:
    paper.room(SIGNATURE_HEIGHT)
    paper.ln(8)
    top, width = paper.get_y(), (paper.w - 2 * MARGIN) / 2
    for number, role in enumerate(("operator", "facility_head")):
        texts = ((words("date"), "", 9), (words(role), "B", 10), (words(f"sign_{role}"), "", 8))
        for line, (text, style, size) in enumerate(texts):
            paper.set_font(FONT, style, size)
            paper.set_text_color(*((0, 0, 0) if line < 2 else GREY))
            paper.set_xy(MARGIN + number * width, top + line * 5)
            paper.cell(width, 5, text, align="C")
