"""A certificate as one HTML file that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tools.station.calibrate import texts as t
from tools.station.calibrate.certificate import Checked, Facts, Note, Table, blocks, heading
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.texts import Text

LANGUAGES = ("both", "vi", "en")
_STYLE = """
body { font: 15px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; color: #111; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; text-align: center; margin: 0 0 1.2rem; }
h2 { font-size: 1.05rem; color: #0b5b8a; margin: 1.3rem 0 .4rem; }
small { display: block; color: #47525f; font-weight: normal; font-size: .8em; }
h1 small { font-size: .75em; margin-top: .2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #d8dee6; padding: .25rem .5rem; vertical-align: top; }
thead th { background: #eef3f7; text-align: left; }
.facts th { text-align: left; width: 15rem; font-weight: normal; background: #f7f9fb; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #b3261e; font-weight: bold; }
.note { color: #47525f; font-size: .87em; }
.wide { overflow-x: auto; }
.sign { display: flex; gap: 2rem; text-align: center; margin: 2.5rem 0 6rem; }
.sign div { flex: 1; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } }
"""


def render(made: Calibration, checked: Checked | None, language: str = "both") -> bytes:
    """The whole file, UTF-8."""
    html = [
        f'<!doctype html><html lang="{"en" if language == "en" else "vi"}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(heading(made))}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(t.TITLE, language)}</h1>",
    ]
    for block in blocks(made, checked):
        match block:
            case Facts(rows):
                lines = [
                    f"<tr><th>{_text(name, language)}</th><td>{_text(value, language)}</td></tr>"
                    for name, value in rows
                ]
                html.append(f'<table class="facts">{"".join(lines)}</table>')
            case Table():
                html.append(_table(block, language))
            case Note(text):
                html.append(f'<p class="note">{_text(text, language)}</p>')
    html.append(f'<div class="sign">{_signatures(made, language)}</div></body></html>')
    return "\n".join(html).encode() + b"\n"


def _table(table: Table, language: str) -> str:
    heads = "".join(f"<th>{_text(head, language)}</th>" for head in table.heads)
    rows = "".join(f"<tr>{_cells(table, row, language)}</tr>" for row in table.rows)
    return (
        f'<h2>{_text(table.title, language)}</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(table: Table, row: Sequence[Text], language: str) -> str:
    cells = []
    for at, text in enumerate(row):
        kind = "bad" if text is t.BEYOND else "" if at in table.left else "n"
        cells.append(f'<td class="{kind}">{_text(text, language)}</td>')
    return "".join(cells)


def _signatures(made: Calibration, language: str) -> str:
    parts = []
    for role, name in ((t.TECHNICIAN, made.by), (t.HEAD, "")):
        parts.append(
            f"<div>{_text(t.DAY, language)}<strong>{_text(role, language)}</strong>"
            f'<span class="note">{_text(t.SIGN, language)}</span><br><br><br><br>{escape(name)}</div>'
        )
    return "".join(parts)


def _text(text: Text, language: str) -> str:
    if language != "both":
        return escape(text.en if language == "en" else text.vi)
    return escape(text.vi) + ("" if text.vi == text.en else f"<small>{escape(text.en)}</small>")
