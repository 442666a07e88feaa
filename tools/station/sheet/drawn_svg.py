"""The diagram as SVG in a page: one as wide as a paper, and one for a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tools.station.sheet.diagram import Band, Box, Stroke, Text

MM = 0.3528  # of a point
WIDE, NARROW = (182.0, 4), (92.0, 2)  # mm, boxes side by side


def svg(bands: Sequence[Band], width: float, name: str, title: str) -> str:
    """One of them, with a class by which the page shows the one that fits."""
    height = sum(band.height for band in bands)
    parts = [
        f'<svg class="{name}" viewBox="-0.5 -0.5 {width + 1:.1f} {height + 1:.1f}" role="img" '
        f'aria-label="{escape(title)}">\n'
    ]
    top = 0.0
    for band in bands:
        parts += [_shape(shape, top) for shape in band.shapes]
        top += band.height
    return "".join([*parts, "</svg>\n"])


def _shape(shape: Stroke | Box | Text, top: float) -> str:
    match shape:
        case Stroke(x1, y1, x2, y2, bus):
            look = 'class="c"' if bus else 'class="w"'
            return f'<path {look} d="M{x1:.2f} {y1 + top:.2f}L{x2:.2f} {y2 + top:.2f}"/>\n'
        case Box(x, y, width, height, strong):
            look = 'class="d"' if strong else 'class="b"'
            place = f'x="{x:.2f}" y="{y + top:.2f}" width="{width:.2f}" height="{height:.2f}"'
            return f'<rect {look} {place} rx="1"/>\n'
        case Text(x, y, text, points, bold):
            look = f'font-size="{points * MM:.2f}"' + (' font-weight="600"' if bold else "")
            return f'<text x="{x:.2f}" y="{y + top:.2f}" {look}>{escape(text)}</text>\n'
