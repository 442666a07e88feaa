"""Documents that were confirmed and are being marked, while the next ones are already under way.

A mark is a transaction, and a transaction waits for the disk; a destination that takes one document after the
other would wait with it each time.

Rule 1: one transaction at a time; the next takes all that was confirmed meanwhile.
Rule 2: no delivery begins while UNMARKED_MAX wait: so many, and those under way, a crash can leave to be
        delivered once more, which every destination makes harmless (port.py, rule 2), at the price of a look
        at what is there.
Rule 3: when the journal fails, what was not marked is forgotten here: it is still pending, and comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.forward.port import Confirmation, Outbox

UNMARKED_MAX = 4


class Marks:
    """Of one worker. `marked(n)` and `lost(n)` hear how many were marked, or could not be."""

    def __init__(self, outbox: Outbox, marked: Callable[[int], None], lost: Callable[[int], None]):
        self._outbox = outbox
        self._marked, self._lost = marked, lost
        self._waiting: dict[int, Confirmation] = {}
        self._batch: dict[int, Confirmation] = {}  # in the transaction under way
        self._error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        """Done when nothing is under way any more; None when nothing is."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._batch)

    @property
    def newest(self) -> int:
        """The largest id of those that are not marked yet, 0 for none."""
        return max((*self._waiting, *self._batch), default=0)

    def add(self, confirmed: dict[int, Confirmation]) -> None:
        """These were confirmed."""
        self._waiting |= confirmed
        if self.task is None and confirmed:
            self.task = asyncio.create_task(self._run())

    def check(self) -> None:
        """Raise what went wrong since the last time."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def flush(self) -> None:
        """Wait until all are marked. Raises what goes wrong."""
        while self.task is not None:
            await asyncio.wait({self.task})
        self.check()

    async def _run(self) -> None:
        try:
            while self._waiting:
                self._batch, self._waiting = self._waiting, {}
                await self._outbox.delivered(self._batch)
                count, self._batch = len(self._batch), {}
                self._marked(count)
        except Exception as error:
            self._error = error
        finally:
            self._lost(len(self))
            self._waiting, self._batch, self.task = {}, {}, None
