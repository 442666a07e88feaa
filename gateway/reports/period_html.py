"""A period's report as one HTML file: for reading on a screen or a phone, and to be printed on A4. Pure.

Rule 1: self-contained: no script, no font, no picture from elsewhere.
Rule 2: every word that is not ours is escaped (escape() in _text and _row: there is no other way in).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gateway.reports.period_blocks import Charts, Facts, Note, Section, Table
from gateway.reports.period_chart import Chart, Point
from gateway.reports.period_model import Report
from gateway.reports.period_sections import sections
from gateway.reports.period_words import Words

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.45 "Noto Sans", "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif; color: #1c2430;
  background: #fff; max-width: 62rem; margin: 0 auto; padding: 1rem }
header { border-bottom: 2px solid #0b5b8a; margin-bottom: 1rem }
h1 { font-size: 1.3rem; margin: 0 0 .2rem } h2 { font-size: 1.05rem; color: #0b5b8a; margin: 1.6rem 0 .4rem }
h3 { font-size: .95rem; margin: .9rem 0 .3rem }
header p { margin: 0 0 .6rem; color: #47525f }
header .state::first-line { font-weight: 600 }
header .state { text-align: center; color: inherit; font-size: .9rem; margin: 0 0 1rem }
.wide { overflow-x: auto; margin: .4rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #d8dee6; padding: .22rem .5rem; text-align: left; vertical-align: top }
th { background: #eef3f7; font-weight: 600; vertical-align: bottom }
.r { text-align: right } td { white-space: nowrap } td.t { white-space: normal }
dl { display: grid; grid-template-columns: minmax(9rem, 15rem) 1fr; gap: .15rem 1rem; margin: .4rem 0 }
dt { color: #47525f } dd { margin: 0; overflow-wrap: anywhere }
td i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border: 1px solid #8a95a3;
  print-color-adjust: exact; -webkit-print-color-adjust: exact }
.note { color: #47525f; font-size: .82rem; margin: .3rem 0 }
figure { margin: .6rem 0; break-inside: avoid } figcaption { font-weight: 600; font-size: .85rem }
svg { width: 100%; height: auto; display: block }
svg text { font-size: 11px; fill: #47525f }
.signs { display: flex; justify-content: space-around; gap: 2rem; margin: 2.5rem 0 6rem; text-align: center;
  break-inside: avoid }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .4rem } }
@media print { body { font-size: 10pt; max-width: none; padding: 0 } .wide { overflow: visible }
  table { font-size: 7.5pt } thead { display: table-header-group } tr { break-inside: avoid }
  h2, h3 { break-after: avoid } th, td { padding: .1rem .25rem } }
@page { size: A4; margin: 15mm 12mm }
"""
WRAPS = 1.9
"""Weight from which on a column holds sentences, which may take several lines."""
WIDTH, HEIGHT = 760, 190  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 8, 22


def render(report: Report, language: str) -> bytes:
    """The whole file, UTF-8."""
    words = Words(language)
    title = words("title")
    about = f"{report.station.name} – {words.period(report.period)}"
    parts = [
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(title)}: {escape(about)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        f"<header>{_letter_head(words)}<h1>{escape(title)}</h1><p>{escape(about)}</p></header>\n",
    ]
    for number, section in enumerate(sections(report, words), 1):
        parts.append(_section(number, section))
    parts.append(_signatures(words))
    parts.append("</body>\n</html>\n")
    return "".join(parts).encode()


def _section(number: int, section: Section) -> str:
    parts = [f'<section id="{section.name}">\n<h2>{number}. {escape(section.title)}</h2>\n']
    for block in section.blocks:
        match block:
            case Facts(rows):
                said = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>\n" for label, text in rows)
                parts.append(f"<dl>\n{said}</dl>\n")
            case Table():
                parts.append(_table(block))
            case Note(text):
                parts.append(f'<p class="note">{escape(text)}</p>\n')
            case Charts(charts):
                parts += map(svg, charts)
    parts.append("</section>\n")
    return "".join(parts)


def _table(table: Table) -> str:
    marks = [
        ' class="r"' if column.right else ' class="t"' if column.weight >= WRAPS else ""
        for column in table.columns
    ]
    heading = f"<h3>{escape(table.heading)}</h3>\n" if table.heading else ""
    heads = _row("th", marks, [column.heading for column in table.columns])
    written = [_row("td", marks, row) for row in table.rows]
    if table.marks:
        written = [_marked(*each, table.mark_at) for each in zip(written, table.marks, strict=True)]
    rows = "".join(written)
    return (
        f'{heading}<div class="wide"><table>\n<thead>{heads}</thead>\n<tbody>\n{rows}</tbody></table></div>\n'
    )


def _marked(row: str, rgb: tuple[int, int, int] | None, column: int) -> str:
    """A row with a field of that colour at the beginning of a cell."""
    if rgb is None:
        return row
    red, green, blue = rgb
    cells = row.split("<td")
    tag, rest = cells[column + 1].split(">", 1)
    cells[column + 1] = f'{tag}><i style="background:#{red:02x}{green:02x}{blue:02x}"></i>{rest}'
    return "<td".join(cells)


def _row(tag: str, marks: Sequence[str], texts: Sequence[str]) -> str:
    cells = "".join(f"<{tag}{mark}>{escape(text)}</{tag}>" for mark, text in zip(marks, texts, strict=True))
    return f"<tr>{cells}</tr>\n"


def svg(chart: Chart) -> str:
    """One chart."""
    right, base = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f"<figure><figcaption>{escape(chart.title)}</figcaption>\n",
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">\n',
    ]
    for y, text in chart.ticks_y:
        at = _y(y)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#e3e8ee"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>\n')
    for x, text in chart.ticks_x:
        at = _x(x)
        parts.append(f'<path d="M{at:.1f} {base}v4" stroke="#8a95a3"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 6}">{escape(text)}</text>\n')
    for band in chart.bands:
        parts.append(f'<path d="{_path(band)}Z" fill="#9cc5dd" fill-opacity=".55"/>\n')
    for line in chart.lines:
        parts.append(f'<path d="{_path(line)}" fill="none" stroke="#0b5b8a" stroke-width="1.4"/>\n')
    for y in chart.limits:
        parts.append(f'<path d="M{LEFT} {_y(y):.1f}H{right}" stroke="#b3261e" stroke-dasharray="6 4"/>\n')
    parts.append(f'<path d="M{LEFT} {base}H{right}" stroke="#8a95a3"/>\n</svg></figure>\n')
    return "".join(parts)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y in points)


def _x(x: float) -> float:
    return LEFT + x * (WIDTH - LEFT - RIGHT)


def _y(y: float) -> float:
    return HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)


def _letter_head(words: Words) -> str:
    lines = "<br>".join(map(escape, words.letter_head))
    return f'<p class="state">{lines}</p>' if lines else ""


def _signatures(words: Words) -> str:
    who = "".join(
        f"<div>{escape(words('date'))}<br><b>{escape(words(role))}</b><br>"
        f"{escape(words(f'sign_{role}'))}</div>"
        for role in ("operator", "facility_head")
    )
    return f'<div class="signs">{who}</div>\n'
