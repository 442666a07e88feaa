"""What the gateway says of itself, for `send = ["status"]`: one object when each window's time ends, and one
at the start.

Rule 1: by the clock, not by the windows: it comes also when none can be closed. Ends that passed while the
        gateway did not run, or its journal could not be written, are left out: a status is of now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.config_model import Config
from gateway.documents import status_drafts
from gateway.errors import JournalError
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.logs import get_logger

log = get_logger("feed")

LOOK_S = 1.0
"""How often it is looked at the clock, in real seconds."""


class StatusFeed:
    """Queues while `run()` runs. `current()` is gateway.status.Status.current."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        outbox: JournalOutbox,
        current: Callable[[], dict[str, Any]],
        now_ms: Callable[[], int],
    ):
        self._config = config
        self._journal = journal
        self._outbox = outbox
        self._current = current
        self._now_ms = now_ms
        self._wanted = any("status" in destination.send for destination in config.destination)
        self._told_ms = 0  # the window's end of the newest that was queued

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                log.warning("a status waits", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Queue one if a window's time ended since the last."""
        length_ms = self._config.gateway.window_minutes * 60_000
        now_ms = self._now_ms()
        end_ms = now_ms - now_ms % length_ms
        if self._wanted and end_ms != self._told_ms:
            drafts = status_drafts(self._config, now_ms, self._current(), self._journal.checkpoint)
            await self._outbox.queue(drafts)
            self._told_ms = end_ms
