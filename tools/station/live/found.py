"""What a test of the wiring finds of each thing: ok, not ok, or not tested, and one sentence why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from tools.station.live.layout import BAD, DOUBT, GOOD, Column, table

WORDS = {True: ("ok", GOOD), False: ("NOT OK", BAD), None: ("not tested", DOUBT)}


@dataclass
class Found:
    """`ok` is True only for what was seen, False for what was seen to fail, None for the rest."""

    name: str
    ok: bool | None
    said: str

    @property
    def facts(self) -> dict[str, Any]:
        """As folder.KINDS has it."""
        return {"name": self.name, "ok": self.ok, "said": self.said}


def together(found: Sequence[Found]) -> bool | None:
    """Of all: False when one failed, True when each is ok, None when something was left out."""
    if any(one.ok is False for one in found):
        return False
    return True if all(one.ok for one in found) else None


def results(parts: Sequence[tuple[str, Sequence[Found]]], width: int) -> list[Text]:
    """The table at the end, with as much of each sentence as fits; what does not fit goes on below."""
    columns = [Column("", least=6, most=8), Column("name", least=8, most=20), Column("result")]
    rows = [
        [(kind, ""), (one.name, ""), WORDS[one.ok], (one.said, "")] for kind, found in parts for one in found
    ]
    short = [row[:3] for row in rows]
    left = width - max((line.cell_len for line in table(columns, short, width)), default=0) - 2
    import textwrap

    lines, styles = [], []
    for row in rows:
        pieces = textwrap.wrap(row[3][0], max(left, 20)) or [""]
        lines.append([*row[:3], (pieces[0], "")])
        styles.append(row)
        lines += [[("", ""), ("", ""), ("", ""), (piece, "")] for piece in pieces[1:]]
    return table([*columns, Column("what was found", most=max(left, 20))], lines, width)
