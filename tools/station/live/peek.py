"""What the station is asked while somebody looks: its status about once a second, and registers in turn.

Rule 1: half of the line's time at most is ours: after each request it is left alone for as long as the
        answer took. A unit that does not answer is asked again only after many of its time-outs.
Rule 2: a station that does not answer is waited for, unless somebody has only so much patience.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from protocol.messages import Result
from tools.people import Failure
from tools.station.link import Reading, StationLink
from tools.station.live.known import Block

STATUS_S = 1.0
PAUSE_S = 0.2
"""Between two requests, at least."""
AGAIN_TIMEOUTS, AGAIN_S = 20, 5.0
"""A unit without an answer is asked again after so many of its time-outs, and at least so long."""
ANSWER_S = 10.0


def check_link(link: StationLink) -> None:
    """Failure once a serial port has gone: it does not come back by itself."""
    if not link.connected and not link.port.startswith("tcp://"):
        raise Failure(f"{link.port} has gone: plug the cable in again, and start anew.")


@dataclass
class Answer:
    """To a block's request. `words` is None when there were none; `text` says why."""

    words: list[int] | None
    text: str
    at_s: float


class Peek:
    """Asks for as long as run() runs. `blocks`: what to read in turn. `patience_s`: rule 2; None for ever.

    `status` is the newest answer's table, `since` the first one's of this start of the station.
    """

    def __init__(
        self,
        link: StationLink,
        blocks: list[Block],
        patience_s: float | None = None,
    ) -> None:
        self.link = link
        self.blocks = blocks
        self.answers: dict[Block, Answer] = {}
        self.status: dict[str, Any] | None = None
        self.since: dict[str, Any] | None = None
        self.silent_s: float | None = None  # monotonic time from which on nothing was answered
        self._status_at = 0.0
        self._next: dict[Block, float] = {}
        self._patience_s = patience_s

    @property
    def complete(self) -> bool:
        """Whether everything has been asked once."""
        return self.status is not None and all(block in self.answers for block in self.blocks)

    async def run(self) -> None:
        turn = 0
        while True:
            if self.status is None or time.monotonic() - self._status_at >= STATUS_S:
                await self.look()
            began = time.monotonic()
            due = [block for block in self.blocks if self._next.get(block, 0.0) <= began]
            if due:
                await self._read(due[turn % len(due)])
                turn += 1
            await asyncio.sleep(max(PAUSE_S, time.monotonic() - began))

    async def look(self) -> None:
        """Ask for the status once. Failure when the cable has gone, or the patience there is."""
        check_link(self.link)
        result = await self._ask("status")
        silent_s = 0.0 if self.silent_s is None else time.monotonic() - self.silent_s
        if self._patience_s is not None and silent_s > self._patience_s:
            raise Failure(f"The station has not answered for {silent_s:.0f} s: is it still there?")
        if result is None or not result.ok or not isinstance(result.data, dict):
            return
        if self.since is None or result.data.get("boot") != self.since.get("boot"):
            self.since = result.data
        self.status, self._status_at = result.data, time.monotonic()

    async def _read(self, block: Block) -> None:
        args = {
            "bus": block.bus, "unit": block.unit, "function": block.function, "address": block.address,
            "count": block.count, "timeout_ms": min(max(block.timeout_ms, 10), 10_000),
        }  # fmt: skip
        began = time.monotonic()
        result = await self._ask("read", args)
        now = time.monotonic()
        if result is None:
            return
        words = result.data if result.ok and isinstance(result.data, list | tuple) else None
        silent = words is None and now - began >= block.timeout_ms / 1000
        self._next[block] = now + (max(AGAIN_S, AGAIN_TIMEOUTS * block.timeout_ms / 1000) if silent else 0)
        self.answers[block] = Answer(None if words is None else list(words), result.text, now)

    async def _ask(self, name: str, args: dict | None = None) -> Result | None:
        """The answer, or None when none came: then it is known since when."""
        began = time.monotonic()
        try:
            result = await self.link.command(name, args, ANSWER_S)
        except Failure:
            self.silent_s = self.silent_s or began
            return None
        self.silent_s = None
        return result

    # ---- what the status says

    def now_ms(self, told: bool) -> float | None:
        """The station's clock, now; None when it counts otherwise than `told` says."""
        if self.status is None or bool(self.status.get("told")) != told:
            return None
        time_ms = self.status.get("time_ms")
        if not isinstance(time_ms, int):
            return None
        return time_ms + (time.monotonic() - self._status_at) * 1000

    def age_s(self, reading: Reading) -> float | None:
        """How long ago a reading was taken, by the station's own clock."""
        now_ms = self.now_ms(reading.told)
        return None if now_ms is None else max(0.0, (now_ms - reading.time_ms) / 1000)

    def wires(self) -> dict[str, int | None]:
        """Inputs and outputs: 1 on, 0 off, None not known yet."""
        rows = self.status.get("inputs") if self.status else None
        return {str(row[0]): row[1] for row in rows or () if isinstance(row, list | tuple) and len(row) == 2}
