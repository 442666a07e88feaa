"""How a board's prompt is reached, also while the station runs; how it starts again; whether it greets.

Rule 1: a station whose link is the port itself has no Ctrl-C (firmware/boards/metal.py): it is asked by its
        link, with its key, to free its prompt, as a technician would ask by the command `repl`.
Rule 2: the watchdog of a board whose firmware was started cannot be stopped. So nothing is written before the
        board was started again with the note that keeps the starter from arming it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from tools.people import Failure
from tools.station.flash.board import Held, Lost, NoPort, ReplBoard
from tools.station.link import Station, StationLink

NOTE, ASKED = "state/reset", "repl asked"  # firmware/boards/common.py
BACK_S = 60.0
"""From a reset to a port that answers: USB goes and comes again."""
GREETING_S = 45.0
LINK_S = 12.0
"""A running station greets every eight seconds."""
PAUSE_S = 0.5


def reach(port: str, key: bytes | None, say: Callable[[str], None], patience_s: float = BACK_S) -> ReplBoard:
    """The board at its prompt, nothing running. Lost when no MicroPython answers, and no station either."""
    try:
        return ReplBoard(port)
    except NoPort:
        raise
    except Lost as lost:
        if key is None:
            raise
        say("No prompt answers: asking the station, if it is one, to free it.")
        try:
            asyncio.run(_ask_for_prompt(port, key))
        except Failure:
            raise Lost(
                f"{lost} Check cable and port; of a station whose key is another one, connect the pin in "
                "its file `hold` to ground and switch it on again."
            ) from None
        return again(port, patience_s)


async def _ask_for_prompt(port: str, key: bytes) -> None:
    async with StationLink(port, key) as link:
        await link.greeted(LINK_S)
        result = await link.command("repl", seconds=LINK_S)
    if not result.ok:
        raise Failure(result.text)


def again(port: str, patience_s: float = BACK_S) -> ReplBoard:
    """The board once it answers after a reset. Lost with what to do when it does not come back."""
    end = time.monotonic() + patience_s
    while True:
        try:
            return ReplBoard(port)
        except Lost:
            if time.monotonic() > end:
                raise Lost(
                    f"The board did not come back at {port}: pull the cable, plug it in again, and look with "
                    "`quantrac station scan` where it is now."
                ) from None
            time.sleep(PAUSE_S)


def without_watchdog(board: ReplBoard, held: Held, patience_s: float = BACK_S) -> ReplBoard:
    """The same board, started again so that no watchdog resets it while it is written to."""
    if not held.packages or "main.py" not in held.names or not board.about.resets:
        return board
    board.make_folder(NOTE.partition("/")[0])
    board.note(NOTE, ASKED)
    board.restart()
    return again(board.port, patience_s)


def greeting(port: str, key: bytes, seconds: float) -> Station | None:
    """The station, once it has greeted on this port; None when it does not in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:  # USB comes back after a reset
        with contextlib.suppress(Failure, OSError):
            return asyncio.run(_greeting(port, key, max(1.0, end - time.monotonic())))
        time.sleep(PAUSE_S)
    return None


async def _greeting(port: str, key: bytes, seconds: float) -> Station:
    async with StationLink(port, key) as link:
        return await link.greeted(seconds)
