"""A commissioning sheet as one HTML file: for a phone at the station, and to be printed. Pure.

Rule 1: self-contained: no script, no font, no picture from elsewhere.
Rule 2: every word that is not ours is escaped: escape() stands wherever a text goes in.
Rule 3: on a narrow screen a table's row becomes a card, each value beside its heading.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from tools.station.sheet.blocks import (
    Facts,
    Note,
    Picture,
    Pictures,
    Points,
    Section,
    Table,
    Wiring,
    without,
)
from tools.station.sheet.diagram import drawn
from tools.station.sheet.drawn_svg import NARROW, WIDE, svg
from tools.station.sheet.model import Sheet
from tools.station.sheet.pdf_paper import ROLES, wrapping
from tools.station.sheet.sections import sections
from tools.station.sheet.words import Words

_STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { font: 15px/1.45 Roboto, "Noto Sans", "Segoe UI", "DejaVu Sans", Arial, sans-serif; color: #1c2430;
  background: #fff; max-width: 64rem; margin: 0 auto; padding: 1rem }
header { border-bottom: 2px solid #0b5b8a; margin-bottom: 1rem }
h1 { font-size: 1.3rem; margin: 0 0 .2rem } h2 { font-size: 1.05rem; color: #0b5b8a; margin: 1.7rem 0 .4rem }
h3 { font-size: .95rem; margin: 1rem 0 .3rem; overflow-wrap: anywhere }
header p { margin: 0 0 .6rem; color: #47525f; overflow-wrap: anywhere }
header .state { text-align: center; color: inherit; font-size: .9rem; margin: 0 0 1rem }
header .state::first-line { font-weight: 600 }
table { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: .82rem;
  font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #d8dee6; padding: .25rem .5rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
th { background: #eef3f7; font-weight: 600; vertical-align: bottom }
.r { text-align: right }
dl { display: grid; grid-template-columns: minmax(9rem, 16rem) 1fr; gap: .15rem 1rem; margin: .4rem 0 }
dt { color: #47525f } dd { margin: 0; overflow-wrap: anywhere }
.note { color: #47525f; font-size: .82rem; margin: .3rem 0; overflow-wrap: anywhere }
.points { border: 1px solid #b3261e; border-left-width: 6px; border-radius: 4px; padding: .5rem .9rem }
.points.done { border-color: #2e7d4f }
.points p { margin: 0; font-weight: 600 } .points ul { list-style: none; margin: .4rem 0 0; padding: 0 }
.points li { padding-left: 1.6rem; position: relative; margin: .3rem 0; overflow-wrap: anywhere }
.points li::before { content: ""; position: absolute; left: 0; top: .25em; width: .85em; height: .85em;
  border: 1px solid #1c2430 }
svg { width: 100%; height: auto; display: block; margin: .6rem 0 } svg.narrow { display: none }
svg text { fill: #1c2430 } svg rect { fill: #fff; stroke: #5b6876; stroke-width: .25 }
svg .d { fill: #e3eef5; stroke: #0b5b8a; stroke-width: .4 }
svg path { fill: none; stroke: #0b5b8a; stroke-width: .5 }
svg .w { stroke: #5b6876; stroke-width: .3; stroke-dasharray: 1.2 .8 }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0; break-inside: avoid } figure img { max-width: 100%; height: auto; display: block }
figcaption { font-size: .82rem; overflow-wrap: anywhere } figcaption p { margin: .1rem 0; color: #47525f }
.signs { display: flex; flex-wrap: wrap; justify-content: space-around; gap: 2rem; text-align: center;
  margin: 2.5rem 0 6rem; break-inside: avoid }
@media screen and (max-width: 54rem) {
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .4rem }
  thead, colgroup { display: none } table, tbody, tr, td { display: block }
  tr { border: 1px solid #d8dee6; border-radius: 4px; margin: .5rem 0; padding: .3rem .5rem }
  td, td.r { border: 0; padding: .1rem 0; text-align: left; display: grid; grid-template-columns: 8rem 1fr;
    gap: .6rem }
  td::before { content: attr(data-label); color: #47525f; overflow-wrap: normal }
  svg.wide { display: none } svg.narrow { display: block }
}
@media print { body { font-size: 9.5pt; max-width: none; padding: 0 } table { font-size: 7.5pt }
  thead { display: table-header-group } tr { break-inside: avoid } h2, h3 { break-after: avoid } }
@page { size: A4; margin: 15mm 12mm }
"""


def render(sheet: Sheet, language: str) -> bytes:
    """The whole file, UTF-8."""
    words = Words(language)
    title, about = (
        words("title"),
        f"{words('station', id=sheet.id)} – {words('made', when=words.when(sheet.made_ms))}",
    )
    about = without(about, sheet.secrets)
    parts = [
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(title)}: {escape(sheet.id)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        f"<header>{_letter_head(words)}<h1>{escape(title)}</h1><p>{escape(about)}</p></header>\n",
    ]
    for number, section in enumerate(sections(sheet, words), 1):
        parts.append(f'<section id="{section.name}">\n<h2>{number}. {escape(section.title)}</h2>\n')
        parts += _blocks(section, sheet, words)
        parts.append("</section>\n")
    return "".join([*parts, _signatures(words), "</body>\n</html>\n"]).encode()


def _blocks(section: Section, sheet: Sheet, words: Words) -> list[str]:
    parts = []
    for block in section.blocks:
        match block:
            case Facts(rows):
                said = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>\n" for label, text in rows)
                parts.append(f"<dl>\n{said}</dl>\n")
            case Table():
                parts.append(_table(block))
            case Note(text):
                parts.append(f'<p class="note">{escape(text)}</p>\n')
            case Points(lead, rows):
                parts.append(_points(lead, rows))
            case Wiring():
                wrap, title = wrapping(words), words("section_wiring")
                for (width, columns), name in ((WIDE, "wide"), (NARROW, "narrow")):
                    parts.append(svg(drawn(sheet, words, wrap, width, columns), width, name, title))
            case Pictures(pictures):
                parts.append(f'<div class="pictures">\n{"".join(map(_picture, pictures))}</div>\n')
    return parts


def _points(lead: str, rows: Sequence[str]) -> str:
    if not rows:
        return f'<div class="points done"><p>{escape(lead)}</p></div>\n'
    said = "".join(f"<li>{escape(row)}</li>\n" for row in rows)
    return f'<div class="points"><p>{escape(lead)}</p>\n<ul>\n{said}</ul></div>\n'


def _table(table: Table) -> str:
    marks = [' class="r"' if column.right else "" for column in table.columns]
    labels = [escape(column.heading, quote=True) for column in table.columns]
    heads = "".join(f"<th{mark}>{label}</th>" for mark, label in zip(marks, labels, strict=True))
    rows = []
    for row in table.rows:
        cells = "".join(
            f'<td{mark} data-label="{label}"><span>{escape(text)}</span></td>'
            for mark, label, text in zip(marks, labels, row, strict=True)
        )
        rows.append(f"<tr>{cells}</tr>\n")
    heading = f"<h3>{escape(table.heading)}</h3>\n" if table.heading else ""
    whole = sum(column.weight for column in table.columns)
    widths = "".join(f'<col style="width:{100 * column.weight / whole:.2f}%">' for column in table.columns)
    body = f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>"
    return f"{heading}<table>\n<colgroup>{widths}</colgroup>\n{body}</table>\n"


def _picture(picture: Picture) -> str:
    shown = ""
    if picture.jpeg:
        data = base64.b64encode(picture.jpeg).decode()
        shown = f'<img alt="{escape(picture.title, quote=True)}" src="data:image/jpeg;base64,{data}">'
    lines = "".join(f"<p>{escape(line)}</p>" for line in picture.lines)
    return f"<figure>{shown}<figcaption><b>{escape(picture.title)}</b>{lines}</figcaption></figure>\n"


def _letter_head(words: Words) -> str:
    lines = "<br>".join(map(escape, words.letter_head))
    return f'<p class="state">{lines}</p>' if lines else ""


def _signatures(words: Words) -> str:
    who = "".join(
        f"<div>{escape(words('date'))}<br><b>{escape(words(role))}</b><br>{escape(words(f'sign_{role}'))}</div>"
        for role in ROLES
    )
    return f'<div class="signs">{who}</div>\n'
