"""Bars as SVG: panels side by side, a label and a figure at every bar; readable without colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

COLOURS = {"quantrac": "#1b6ca8", "thingsboard": "#c2571a"}
OTHER = "#9a9a9a"
WIDTH, COLUMNS, PANEL_WIDTH, BAR_HEIGHT, GAP = 960, 2, 460, 22, 8
LABEL_WIDTH, FIGURE_WIDTH, TITLE_HEIGHT, HEAD, FOOT = 150, 80, 30, 12, 28


class Bar(NamedTuple):
    label: str
    value: float
    shown: str
    who: str


class Panel(NamedTuple):
    title: str
    bars: list[Bar]


def svg(panels: Sequence[Panel], footer: str) -> str:
    """Every panel has a scale of its own, from nothing to its longest bar."""
    most = max((len(panel.bars) for panel in panels), default=0)
    panel_height = TITLE_HEIGHT + most * (BAR_HEIGHT + GAP) + 14
    rows = -(-len(panels) // COLUMNS)
    height = HEAD + rows * panel_height + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts += _panel(panel, 15 + column * (PANEL_WIDTH + 10), HEAD + row * panel_height)
    parts += [_text(15, height - 10, footer, size=11, fill="#555"), "</svg>"]
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, x: int, y: int) -> list[str]:
    parts = [_text(x, y + 18, panel.title, weight="bold")]
    longest = max(bar.value for bar in panel.bars) or 1.0
    room = PANEL_WIDTH - LABEL_WIDTH - FIGURE_WIDTH
    for number, bar in enumerate(panel.bars):
        top = y + TITLE_HEIGHT + number * (BAR_HEIGHT + GAP)
        length = max(1.0, room * bar.value / longest)
        colour = COLOURS.get(bar.who, OTHER)
        parts += [
            _text(x, top + 16, bar.label),
            f'<rect x="{x + LABEL_WIDTH}" y="{top}" width="{length:.1f}" '
            f'height="{BAR_HEIGHT}" fill="{colour}"/>',
            _text(round(x + LABEL_WIDTH + length + 6), top + 16, bar.shown),
        ]
    return parts


def _text(x: int, y: int, text: str, weight: str = "normal", size: int = 13, fill: str = "#222") -> str:
    return (
        f'<text x="{x}" y="{y}" font-weight="{weight}" font-size="{size}" fill="{fill}">{escape(text)}</text>'
    )
