"""Inputs, watched while somebody works each contact: one counts as tested once it was seen on and off.

Rule 1: what is shown is the station's own, debounced state: a contact that it does not see is not there.
Rule 2: a state that was not seen is never made up: an input that stays as it is is not ok, whoever waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from tools.station.live.found import Found
from tools.station.live.layout import BAD, DIM, DOUBT, GOOD, HEAD, Cell, Column
from tools.station.live.peek import Peek
from tools.station.live.typed import Typed

LOOK_S = 0.15
NOBODY_S = 60.0
"""How long contacts are waited for where nobody types."""
WORDS = {
    "door": ("open", "closed"),
    "mains": ("there", "lost"),
    "maintenance": ("on", "off"),
    "sampler": ("on", "off"),
    "float": ("on", "off"),
    "other": ("on", "off"),
}
"""What on and off mean, by kind of input."""
COLUMNS = (
    Column("", most=2),
    Column("input", least=8, most=20),
    Column("kind", keep=2, most=12),
    Column("pin", right=True, keep=3),
    Column("now", least=6, most=10),
    Column("seen", least=8, most=16),
    Column("result"),
)


def word_of(kind: str, on: int | None) -> str:
    """A state as this kind of input or output calls it."""
    if on is None:
        return "unknown"
    return WORDS.get(kind, WORDS["other"])[0 if on else 1]


class Contact:
    """One input and the states in which it was seen."""

    def __init__(self, row: dict) -> None:
        self.name, self.kind, self.pin = row["id"], row["kind"], row["pin"]
        self.now: int | None = None
        self.seen: set[int] = set()
        self.result: Found | None = None

    def word(self, on: int | None) -> str:
        return word_of(self.kind, on)

    def look(self, on: int | None) -> bool:
        """Take a state in; True when it is another than before."""
        changed = on != self.now
        self.now = on
        if on is not None:
            self.seen.add(on)
        if len(self.seen) == 2 and self.result is None:
            self.result = Found(self.name, True, f"seen {self.word(1)} and {self.word(0)}")
        return changed

    def leave(self, ok: bool | None, why: str) -> None:
        """No longer waited for. Found all the same when both states were seen."""
        if self.result is None:
            only = " and ".join(self.word(on) for on in sorted(self.seen)) or "in no state"
            self.result = Found(self.name, ok, f"{why}: seen only {only}")

    def cells(self, waited: bool) -> list[Cell]:
        """Of COLUMNS. `waited`: this is the one that `s` would leave."""
        seen = ", ".join(self.word(on) for on in sorted(self.seen, reverse=True))
        word, style = ("waiting", DIM) if self.result is None else ("ok", GOOD)
        if self.result is not None and not self.result.ok:
            word, style = ("not seen", BAD if self.result.ok is False else DOUBT)
        return [
            (">" if waited else "", HEAD), (self.name, ""), (self.kind, DIM), (str(self.pin), DIM),
            (self.word(self.now), HEAD), (seen, ""), (word, style),
        ]  # fmt: skip


async def watch(
    contacts: Sequence[Contact],
    peek: Peek,
    typed: Typed | None,
    seconds: float | None,
    show: Callable[[Sequence[Contact]], None],
) -> None:
    """Look until each contact has its result. `s` leaves the first that has none.

    seconds: how long at most; None waits for ever, as long as somebody may type. `typed` None: nobody may.
    show(contacts) is called at the start and after every change.
    """
    began = time.monotonic()
    show(contacts)
    while waiting := [contact for contact in contacts if contact.result is None]:
        await peek.look()
        wires = peek.wires()
        changed = [contact for contact in contacts if contact.look(wires.get(contact.name))]
        if seconds is None and (typed is None or typed.ended):
            seconds = NOBODY_S
        if typed is not None and typed.pressed("s"):
            waiting[0].leave(None, "left out")
            changed.append(waiting[0])
        if seconds is not None and time.monotonic() - began >= seconds:
            for contact in waiting:
                contact.leave(False, f"did not change within {seconds:.0f} s")
            changed = list(waiting)
        if changed:
            show(contacts)
        await asyncio.sleep(LOOK_S)
