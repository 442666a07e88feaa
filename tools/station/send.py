"""A staged transfer: a package or a station.json goes to a device piece by piece, then it is applied.

Rule 1: the device says how far it is, and it remembers that over a restart: whoever begins again with the
        same bytes goes on where the last transfer stopped.
Rule 2: nothing that was sent is used before `apply`, and there not before its SHA-256 is right
        (firmware/change.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from protocol.messages import Result
from tools.people import Failure
from tools.station.steady import SteadyLink

PACKAGE, CONFIG = "update", "station.json"
"""What change.py takes, by the name that `stage` gives it."""
PIECES = (512, 256, 128)
"""Bytes of a piece. A device whose memory has no hole for one gets smaller ones."""
APPLY_TIMES = 4
"""More patience than for other commands: the device checks a signature, and reads all that was sent."""
STUCK_MAX = 5
"""Times in a row that a device may take nothing, before that is an error."""


class Stopped(Failure):
    """The transfer stopped on the way: `at` of `size` bytes are on the device, as far as is known."""

    def __init__(self, why: str, at: int, size: int) -> None:
        super().__init__(why)
        self.at, self.size = at, size


async def transfer(
    line: SteadyLink, name: str, data: bytes, progress: Callable[[int], object] = lambda at: None
) -> int:
    """Bring `data` onto the device, under one of the names above. Returns where it began: 0, or more.

    progress(bytes there) is called for each piece. Failure when the device refuses; Stopped when it is
    silent.
    """
    table = {"name": name, "size": len(data), "sha256": hashlib.sha256(data).digest()}
    at = began = await _stage(line, table, 0)
    piece = stuck = 0
    progress(at)
    while at < len(data):
        try:
            size = PIECES[piece]
            result = await line.command("chunk", {"at": at, "data": data[at : at + size]})
        except Failure as failure:
            raise Stopped(str(failure), at, len(data)) from failure
        there = result.data
        stuck = 0 if isinstance(there, int) and there > at else stuck + 1
        if stuck == STUCK_MAX:
            raise Stopped(f"the station takes nothing more: {result.text}", at, len(data))
        if not isinstance(there, int):  # no memory, no flash
            piece = min(piece + 1, len(PIECES) - 1)
        if not result.ok:  # it has started anew, or a piece came twice: it knows where it is
            there = await _stage(line, table, at)
        at = there if isinstance(there, int) else at
        progress(at)
    return began


async def _stage(line: SteadyLink, table: dict, at: int) -> int:
    """The offset that the device has of this transfer."""
    size = table["size"]
    boot = line.station.hello.boot if line.station else None
    try:
        result = await line.command("stage", table)
    except Failure as failure:
        if line.station is None or line.station.hello.boot == boot:
            raise Stopped(str(failure), at, size) from failure
        result = await line.command("stage", table)  # it started anew meanwhile; twice is no harm
    if not result.ok or not isinstance(result.data, int):
        raise Failure(f"The station takes no transfer: {result.text}.")
    return result.data


async def apply(line: SteadyLink, name: str) -> Result | None:
    """Have what was sent used. None when the device has acted, or may have, but its answer is lost."""
    try:
        verb = "config" if name == CONFIG else "apply"
        return await line.command(verb, seconds=APPLY_TIMES * line.patience_s, repeat=False)
    except Failure:
        return None
