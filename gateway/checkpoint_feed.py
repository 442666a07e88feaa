"""Signed checkpoints on their way to whoever asked for them: `send = ["checkpoints"]`.

Rule 1: a checkpoint is signed in the transaction of its windows, by the thread that writes it; its documents
        are queued in a transaction behind that. What a crash leaves in between is queued at the next start:
        a key (documents.py) is taken once per destination, so nothing is doubled.
Rule 2: each checkpoint that was signed goes out, from the newest that was queued for a destination on. One
        that asks for the first time gets the newest: it covers all before.
Rule 3: none goes out that is newer than what may be given to anybody (journal/checkpoints.py, rule 2).
Rule 4: what tells of a delivery is an entry of the log, but signs nothing: the next window's checkpoint
        covers it. So checkpoints never make checkpoints.
"""

from __future__ import annotations

import asyncio

from gateway.config import Config
from gateway.documents import Draft, checkpoint_drafts, checkpoint_key
from gateway.errors import JournalError
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from protocol import checkpoint, note

log = get_logger("checkpoints")

LOOK_S = 0.5
"""How often it is looked whether there is a new checkpoint: one comes every five minutes."""
AT_ONCE = 256
"""Checkpoints queued in one transaction: a day's are some 300."""

_SIGNED = "SELECT size, at_ms, note FROM checkpoint WHERE size > ? AND size <= ? ORDER BY size LIMIT ?"
_QUEUED = "SELECT key FROM outbox WHERE destination = ? AND key > ? AND key < ? ORDER BY id DESC LIMIT 1"


class CheckpointFeed:
    """Queues while `run()` runs."""

    def __init__(self, config: Config, journal: Journal, outbox: JournalOutbox):
        self._config = config
        self._journal = journal
        self._outbox = outbox
        self._queued: dict[str, int] = {}  # destination -> entries of the newest that was queued
        self.takers = [each.id for each in config.destination if "checkpoints" in each.send]

    async def run(self) -> None:
        """Until cancelled. While the journal cannot be read or written, it is tried again."""
        told = ""
        while True:
            try:
                while await self.look():
                    pass
                told = ""
            except JournalError as error:
                if str(error) != told:
                    log.warning("checkpoints wait", reason=str(error))
                told = str(error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> bool:
        """Queue what is new; whether there may be more."""
        newest = self._journal.checkpoint
        if not newest or not self.takers:
            return False
        size = checkpoint.parse(note.parse(newest).text).size
        drafts: list[Draft] = []
        reached: dict[str, int] = {}
        for taker in self.takers:
            if taker not in self._queued:
                self._queued[taker] = await self._journal.read(self._before, taker, size)
            if self._queued[taker] >= size:
                continue
            rows = await self._journal.read(Reader.rows, _SIGNED, self._queued[taker], size, AT_ONCE)
            for signed, at_ms, data in rows:
                made = checkpoint_drafts(self._config, signed, at_ms, data)
                drafts += [draft for draft in made if draft.destination == taker]
            reached[taker] = rows[-1][0] if len(rows) == AT_ONCE else size
        if drafts:
            await self._outbox.queue(drafts)
        self._queued |= reached
        return any(reached[taker] < size for taker in reached)

    def _before(self, reader: Reader, taker: str, size: int) -> int:
        """Entries of the newest checkpoint that is queued for a destination; for a new one, of that before
        the newest (rule 2).
        """
        first, behind = (checkpoint_key(self._config.station.code, mark) for mark in ("", ":"))
        found = reader.rows(_QUEUED, taker, first, behind)
        return int(found[0][0].rpartition("/")[2]) if found else size - 1
