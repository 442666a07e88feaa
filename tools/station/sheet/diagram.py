"""The wiring, drawn: gateway, device, each bus with its instruments in order, and what is wired to pins.

Rule 1: it is made of bands, one below the other, so that a page may end between any two; lines that go on are
        drawn to the edge. Lengths are mm.
Rule 2: every text is measured and put into lines before anything is drawn: nothing overlaps, nothing is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tools.station.sheet import plain
from tools.station.sheet.blocks import without
from tools.station.sheet.model import Instrument, Pin, Sheet
from tools.station.sheet.sections import link_said, pin_kind
from tools.station.sheet.words import Words

SPINE, LEFT, GAP = 4.0, 9.0, 2.5  # where the device's own line goes down, and where boxes begin
DROP = 4.0  # from a bus to its instruments
PAD, LINE = 1.6, 3.4
SIZE, SMALL = 7.5, 6.5  # points

Wrap = Callable[[str, float, float, str], list[str]]  # (text, mm, points, "" or "B") -> lines that fit


class Stroke(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    bus: bool  # a cable that all share; else a wire of its own, dashed


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    strong: bool


class Text(NamedTuple):
    x: float
    y: float  # of its base line
    text: str
    points: float
    bold: bool


class Band(NamedTuple):
    height: float
    shapes: list[Stroke | Box | Text]


class Line(NamedTuple):
    """One line of a box."""

    text: str
    points: float = SMALL
    style: str = ""


class Group(NamedTuple):
    """What hangs on one line: a bus, or all inputs."""

    title: str
    bus: bool
    boxes: list[list[Line]]


def drawn(sheet: Sheet, words: Words, wraps: Wrap, width: float, columns: int) -> list[Band]:
    """The whole diagram, `width` mm wide, with as many boxes side by side."""

    def wrap(text: str, room: float, points: float, style: str) -> list[str]:
        return wraps(without(text, sheet.secrets), room, points, style)

    groups = [*_buses(sheet, words), *_pins(sheet, words)]
    bands = [_head(sheet, words, wrap, width, bool(groups))]
    for at, group in enumerate(groups):
        bands += _group(group, wrap, width, columns, at == len(groups) - 1)
    return bands


def _buses(sheet: Sheet, words: Words) -> Iterator[Group]:
    for line in sheet.lines:
        title = f"{words.known('bus', line.kind)}  {line.id}: {line.path}  {line.settings}"
        units = [one for one in sheet.instruments if one.bus == line.id]
        yield Group(title.strip(), True, [_unit(one, words) for one in units])


def _unit(one: Instrument, words: Words) -> list[Line]:
    return [
        Line(f"{words('address')} {one.address}", SIZE, "B"),
        Line(one.profile.title),
        Line(", ".join(one.channels)),
    ]


def _pins(sheet: Sheet, words: Words) -> Iterator[Group]:
    if sheet.pins:
        yield Group(words("pins"), False, [_pin(pin, words) for pin in sheet.pins])


def _pin(pin: Pin, words: Words) -> list[Line]:
    return [Line(f"GPIO {pin.pin}", SIZE, "B"), Line(pin.name), Line(pin_kind(pin, words))]


def _head(sheet: Sheet, words: Words, wrap: Wrap, width: float, goes_on: bool) -> Band:
    """The device with the gateway beside it."""
    board = plain.text(sheet.newest("flashed").get("board"), 80)
    each = (width - 12) / 2
    link = link_said(sheet.link, words)
    reached = sheet.link.get("kind") == "tcp"  # then the device names the gateway's end, else its own
    boxes = [
        [Line(words("device"), SIZE, "B"), Line(sheet.id), Line(board), Line("" if reached else link)],
        [Line(words("gateway"), SIZE, "B"), Line(sheet.gateway_link or (link if reached else ""))],
    ]
    laid = [_lines(box, each, wrap) for box in boxes]
    height = max(map(_height, laid))
    shapes: list[Stroke | Box | Text] = [Stroke(each, height / 2, each + 12, height / 2, True)]
    for x, lines in zip((0.0, each + 12), laid, strict=True):
        shapes += _boxed(x, 0, each, height, lines, True)
    foot = 3.0
    if goes_on:
        shapes.append(Stroke(SPINE, height, SPINE, height + foot, True))
    return Band(height + foot, shapes)


def _group(group: Group, wrap: Wrap, width: float, columns: int, last: bool) -> list[Band]:
    """Its title with the first row of boxes, and the other rows."""
    each = (width - LEFT - 2 - GAP * (columns - 1)) / columns
    rows = [group.boxes[at : at + columns] for at in range(0, len(group.boxes), columns)] or [[]]
    bands = []
    for number, row in enumerate(rows):
        first, end = number == 0, number == len(rows) - 1
        title = wrap(group.title, width - LEFT, SIZE, "B") if first else []
        bands.append(
            _row(group, title, [_lines(box, each, wrap) for box in row], each, width, (first, end, last))
        )
    return bands


def _row(
    group: Group,
    title: Sequence[str],
    boxes: Sequence[Sequence[Line]],
    each: float,
    width: float,
    place: tuple[bool, bool, bool],  # first row, last row of its group; last group
) -> Band:
    first, end, last = place
    shapes: list[Stroke | Box | Text] = [
        Text(LEFT, 3 + at * LINE, line, SIZE, True) for at, line in enumerate(title)
    ]
    trunk = len(title) * LINE + 2.2
    top = trunk + DROP
    tall = max(map(_height, boxes), default=0.0)
    height = top + tall + 3.5
    ends = LEFT + len(boxes) * (each + GAP) - GAP - each / 2 if boxes else LEFT + 12
    for at, lines in enumerate(boxes):
        x = LEFT + at * (each + GAP)
        shapes.append(Stroke(x + each / 2, trunk, x + each / 2, top, group.bus))
        shapes += _boxed(x, top, each, tall, lines, False)
    right = ends if end or not group.bus else width - 0.5
    starts = SPINE if first or not group.bus else LEFT - 2
    shapes.append(Stroke(starts, trunk, right, trunk, group.bus))
    if group.bus and not first:  # the cable comes from the row above
        shapes.append(Stroke(LEFT - 2, 0, LEFT - 2, trunk, True))
    if group.bus and not end:  # ... and goes on to the row below
        shapes.append(Stroke(right, trunk, right, height - 1.2, True))
        shapes.append(Stroke(right, height - 1.2, LEFT - 2, height - 1.2, True))
        shapes.append(Stroke(LEFT - 2, height - 1.2, LEFT - 2, height, True))
    more = not last or (not group.bus and not end)
    if more or first or not group.bus:
        shapes.append(Stroke(SPINE, 0, SPINE, height if more else trunk, True))
    return Band(height, shapes)


def _lines(box: Sequence[Line], width: float, wrap: Wrap) -> list[Line]:
    return [
        line._replace(text=part)
        for line in box
        if line.text
        for part in wrap(line.text, width - 1, line.points, line.style)
    ]


def _height(lines: Sequence[Line]) -> float:
    return len(lines) * LINE + 2 * PAD


def _boxed(
    x: float, y: float, width: float, height: float, lines: Sequence[Line], strong: bool
) -> Iterator[Box | Text]:
    yield Box(x, y, width, height, strong)
    for at, line in enumerate(lines):
        yield Text(x + PAD, y + PAD + 2.5 + at * LINE, line.text, line.points, line.style == "B")
