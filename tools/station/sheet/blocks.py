"""What a sheet's sections are made of, besides the Facts, Tables and Notes of the gateway's reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.reports.period_blocks import Column, Facts, Note, Table
from tools.station.sheet.words import Words

LINES_MAX = 300
"""Of one list: all of it stands in the folder."""
HIDDEN = "•••"
CELL_MAX = 500
"""Letters of one cell: a row has to fit a page."""
POINT_MAX = 2000
"""Of a point: it is as wide as the paper, and names what it is about."""


class Points(NamedTuple):
    """What is missing, as a list to be ticked off."""

    lead: str
    rows: Sequence[str]


class Wiring(NamedTuple):
    """The place of the drawn diagram."""


class Picture(NamedTuple):
    """`jpeg` is None where there is none to be shown."""

    jpeg: bytes | None
    title: str
    lines: Sequence[str]


class Pictures(NamedTuple):
    pictures: Sequence[Picture]


Block = Facts | Table | Note | Points | Wiring | Pictures

__all__ = ["Block", "Column", "Facts", "Note", "Picture", "Pictures", "Points", "Table", "Wiring"]


class Section(NamedTuple):
    name: str  # permanent, for links and tests
    title: str
    blocks: Sequence[Block]


def listed(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], words: Words, heading: str = "", file: str = ""
) -> list[Block]:
    """A table, or what stands for an empty or a very long one: no list is cut without saying so."""
    if not rows:
        return [Note(f"{heading}: {words('none')}" if heading else words("none"))]
    blocks: list[Block] = [Table(columns, rows[:LINES_MAX], heading)]
    if len(rows) > LINES_MAX:
        blocks.append(Note(words("more", count=words.count(len(rows) - LINES_MAX), file=file)))
    return blocks


def cleared(sections: Sequence[Section], secrets: Sequence[str]) -> list[Section]:
    """Without the keys, wherever somebody may have typed one, and with an end to every cell."""

    def said(text: str, most: int = CELL_MAX) -> str:
        text = without(text, secrets)
        return text if len(text) <= most else text[: most - 1] + "…"

    return [Section(one.name, one.title, [_block(block, said) for block in one.blocks]) for one in sections]


def without(text: str, secrets: Sequence[str]) -> str:
    """A text without them: in capitals or small letters, with or without spaces, as a paper groups them."""
    for secret in secrets:
        text = re.sub(r"[\s:.-]*".join(map(re.escape, secret)), HIDDEN, text, flags=re.IGNORECASE)
    return text


def _block(block: Block, said: Callable[..., str]) -> Block:
    match block:
        case Facts(rows):
            return Facts([(label, said(text)) for label, text in rows])
        case Table():
            rows = [[said(text) for text in row] for row in block.rows]
            return block._replace(rows=rows, heading=said(block.heading))
        case Note(text):
            return Note(said(text))
        case Points(lead, rows):
            return Points(lead, [said(text, POINT_MAX) for text in rows])
        case Pictures(pictures):
            shown = [
                one._replace(title=said(one.title), lines=list(map(said, one.lines))) for one in pictures
            ]
            return Pictures(shown)
    return block
