"""What the journal holds, on its way to whoever asked for it: checkpoints, hours, events, alerts.

    source.end() ──▶ what is new for a destination ──▶ source.drafts() ──▶ outbox and mark, one transaction
                     since its mark

Rule 1: the journal's thread writes it; its documents are queued in a transaction behind that. How far a
        destination was served is a mark in that transaction, so what a crash leaves in between is queued at
        the next start: nothing is left out, and since the outbox takes a key once, nothing is doubled.
Rule 2: each goes out, in order. A destination that asks for the first time begins at the newest, and is
        marked before anything else is done.
Rule 3: a source that trips over what it finds is a mistake of ours: logged, a problem in the status, and left
        alone until the next start. It holds up neither the others nor anything else.
Rule 4: what tells of a delivery is an entry of the log that no source takes, and signs nothing. So documents
        never make documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from gateway.config_model import Config
from gateway.documents import Draft
from gateway.errors import JournalError
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader
from gateway.logs import get_logger

log = get_logger("feed")

LOOK_S = 0.5
"""How often it is looked whether there is something new."""

_MARKED = "SELECT value FROM meta WHERE name = ?"
_MARK = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Source:
    """One kind of what the journal holds, at positions that only rise: numbers of entries, where a kind does
    not say otherwise.
    """

    send = ""
    """The `send` word it answers."""

    def __init__(self, config: Config, journal: Journal):
        self._config = config
        self._journal = journal

    def end(self) -> int:
        """The newest position that may be told of; -1 while there is none. Called on the loop."""
        return self._journal.size - 1

    def before_newest(self, reader: Reader, end: int) -> int:
        """Right before the newest position at which there is something, up to `end`; what is there without
        being told yet (end = -1) is of before.
        """
        raise NotImplementedError

    def drafts(self, reader: Reader, after: int, end: int, checkpoint: bytes) -> tuple[list[Draft], int]:
        """Documents of after < position <= end, or of a first part of that; and the position reached.
        `checkpoint` is the journal's newest.
        """
        raise NotImplementedError


class Feed:
    """Queues what its sources have while `run()` runs."""

    def __init__(self, config: Config, journal: Journal, outbox: JournalOutbox, sources: Sequence[Source]):
        self._journal = journal
        self._outbox = outbox
        self._takers = {
            source: [each.id for each in config.destination if source.send in each.send] for source in sources
        }
        self._reached: dict[tuple[str, str], int] = {}  # (send, destination) -> position
        self._tripped: dict[str, str] = {}  # send -> what went wrong

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
                    log.warning("documents wait", reason=str(error))
                told = str(error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> bool:
        """Queue what is new; whether there may be more."""
        more = False
        for source, takers in self._takers.items():
            if not takers or source.send in self._tripped:
                continue
            try:
                more |= await self._look(source, takers)
            except JournalError:
                raise
            except Exception as error:
                log.exception("a feed has stopped", what=source.send)
                self._tripped[source.send] = repr(error)
        return more

    def problems(self) -> Iterator[str]:
        """Sentences for the status (rule 3)."""
        for send, error in self._tripped.items():
            yield f"No {send} are sent: {error}. Start the gateway again; if that does not help, report it."

    async def _look(self, source: Source, takers: list[str]) -> bool:
        end = source.end()
        waiting: dict[int, list[str]] = {}  # position -> destinations that were served up to there
        for taker in takers:
            reached = self._reached.get((source.send, taker))
            if reached is None:
                reached = await self._recall(source, taker, end)
            if reached < end:
                waiting.setdefault(reached, []).append(taker)
        more = False
        for after, those in waiting.items():
            checkpoint = self._journal.checkpoint
            drafts, reached = await self._journal.read(_drafts, source, after, end, checkpoint)
            drafts = [draft for draft in drafts if draft.destination in those]
            if drafts:
                await self._outbox.queue(drafts, self._marks(source, those, reached))
            self._reached |= {(source.send, taker): reached for taker in those}
            more |= reached < end
        return more

    async def _recall(self, source: Source, taker: str, end: int) -> int:
        """Up to where a destination was served (rule 2)."""
        rows = await self._journal.read(Reader.rows, _MARKED, _mark(source, taker))
        if rows:
            reached = rows[0][0]
        else:
            reached = await self._journal.read(_before_newest, source, end)
            await self._outbox.queue((), self._marks(source, [taker], reached))
        self._reached[source.send, taker] = reached
        return reached

    def _marks(self, source: Source, takers: list[str], reached: int) -> list[tuple[str, list[tuple]]]:
        return [(_MARK, [(_mark(source, taker), reached) for taker in takers])]


def _mark(source: Source, taker: str) -> str:
    return f"fed {source.send} {taker}"


def _before_newest(reader: Reader, source: Source, end: int) -> int:
    return source.before_newest(reader, end)


def _drafts(reader: Reader, source: Source, after: int, end: int, checkpoint: bytes):
    return source.drafts(reader, after, end, checkpoint)
