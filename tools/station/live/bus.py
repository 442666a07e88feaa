"""What the station counts of each instrument, and the one sentence about whatever is suspicious in it.

Rule 1: the figures are the station's own, since its start; every request of ours is among them.
Rule 2: what is judged is what happened since somebody looks, once that is enough to judge by: a fault that
        was mended a minute ago shall not be named for the rest of the day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from protocol.meanings import modbus
from tools.station.live.known import Known
from tools.station.live.peek import Peek

ENOUGH = 20
"""Requests by which a share can be judged."""
SHARE = 0.01
"""Of requests without a good answer: a sound line loses none."""
SLOW = 0.7
"""Of the time that a unit is given."""


@dataclass(frozen=True)
class Counts:
    """Of one unit. `response_ms`: of its last good answer. `lost`: three polls in a row without an answer."""

    bus: str
    unit: int
    requests: int
    timeouts: int
    bad_replies: int
    exceptions: int
    response_ms: int
    lost: bool

    @property
    def failed(self) -> int:
        return self.timeouts + self.bad_replies + self.exceptions

    @property
    def mute(self) -> bool:
        """Never a good answer, though it was asked. A request may be under way."""
        return 0 < self.failed >= self.requests - 1 and not self.response_ms

    @property
    def share(self) -> float:
        """Of requests without a good answer."""
        return self.failed / self.requests if self.requests else 0.0

    def since(self, before: Counts) -> Counts:
        """What was counted since `before`."""
        return Counts(
            self.bus, self.unit, self.requests - before.requests, self.timeouts - before.timeouts,
            self.bad_replies - before.bad_replies, self.exceptions - before.exceptions, self.response_ms,
            self.lost,
        )  # fmt: skip


def counts(status: dict[str, Any] | None) -> dict[tuple[str, int], Counts]:
    """Of every unit in a status; rows of another shape (another firmware's) are left out."""
    found = {}
    for row in (status or {}).get("units") or ():
        if isinstance(row, list | tuple) and len(row) == 8 and all(isinstance(n, int) for n in row[1:]):
            found[(str(row[0]), row[1])] = Counts(str(row[0]), *row[1:7], lost=bool(row[7]))
    return found


def suspicions(peek: Peek, known: Known | None) -> list[str]:
    """A sentence for each unit that is not as it should be; one for a line on which none answers."""
    now, before = counts(peek.status), counts(peek.since)
    said = []
    for bus in dict.fromkeys(key[0] for key in now):
        units = [unit for key, unit in now.items() if key[0] == bus and unit.requests]
        path = known.paths.get(bus, "") if known else ""
        at = f" ({path})" if path else ""
        if _closed(bus, peek):
            said.append(f"bus {bus} cannot be opened{at}: look at its adapter, or its pins in site.json.")
            continue
        if len(units) > 1 and all(unit.mute and unit.timeouts == unit.failed for unit in units):
            said.append(
                f"no unit on bus {bus} ever answered{at}: A and B may be swapped, or the baud rate is "
                "another one; try `station scan`."
            )
            continue
        for unit in units:
            sentence = _of_unit(unit, before.get((bus, unit.unit)), peek, known)
            if sentence:
                said.append(sentence)
    return said


def _closed(bus: str, peek: Peek) -> bool:
    """Whether the station has no line at all: such requests are counted, and nothing else of them."""
    said = [answer.text for block, answer in peek.answers.items() if block.bus == bus]
    return bool(said) and all(
        re.search(f"bus {re.escape(bus)} (cannot be opened|is not there|has gone)", t) for t in said
    )


def _of_unit(unit: Counts, before: Counts | None, peek: Peek, known: Known | None) -> str:
    name = f"unit {unit.unit}"
    profile = known.units.get((unit.bus, unit.unit)) if known else None
    if profile:
        name += f" ({profile})"
    if unit.mute:
        return f"{name} {_never(unit, peek)}"
    if unit.lost:
        return f"{name} answered before and is silent now: look at its power and its cable."
    seen = unit.since(before) if before else unit
    if seen.requests < ENOUGH:
        seen = unit
    if seen.requests < ENOUGH or seen.share < SHARE:
        return _slow(name, unit, known)
    of = f"{seen.requests} requests"
    most = max(seen.bad_replies, seen.timeouts, seen.exceptions)
    if seen.bad_replies == most:
        return (
            f"{name} answers with errors in {most} of {of}: look at termination, the shield and "
            "the stubs of the line; two units may have this address."
        )
    if seen.timeouts == most:
        return f"{name} does not answer {most} of {of}: look at its cable and clamps, then its power."
    return f"{name} refuses {most} of {of}{_code(unit, peek)}"


def _never(unit: Counts, peek: Peek) -> str:
    """What a unit without a single good answer points to."""
    if unit.timeouts == unit.failed:
        return "never answered: look at its power, its address and its wires, or try `station scan`."
    if unit.exceptions:
        return f"refuses every request{_code(unit, peek)}"
    return (
        "never answered whole: baud rate or parity may be another one, A and B may be swapped, or two "
        "units have this address; try `station scan`."
    )


def _code(unit: Counts, peek: Peek) -> str:
    """What its exception means, where one was seen just now."""
    for block, answer in peek.answers.items():
        code = re.search(r"exception (\d+)", answer.text)
        if (block.bus, block.unit) == (unit.bus, unit.unit) and answer.words is None and code:
            return f": {modbus(int(code[1]))}."
    return ": compare its registers with the profile."


def _slow(name: str, unit: Counts, known: Known | None) -> str:
    given = [
        block.timeout_ms
        for block in (known.blocks if known else ())
        if (block.bus, block.unit) == (unit.bus, unit.unit)
    ]
    if given and unit.response_ms > SLOW * min(given):
        return (
            f"{name} takes {unit.response_ms} of the {min(given)} ms that it is given: "
            "raise timeout_ms in site.json."
        )
    return ""
