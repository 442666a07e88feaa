"""The journal's side of the outbox port (gateway/forward/port.py): documents, marks, and what is still to be
sent.

    pending --delivered--> delivered        (one of the kinds PASSING is deleted instead, and tallied)
       |  ^---failed------ pending          (attempts + 1)
       +-----failed, park-> parked          and by a person: gateway/journal/parked.py

Rule 1: documents come in with the transaction of what they tell about; marks ride in the next transaction.
Rule 2: (destination, key) is permanent: a document queued again is the one that is there already.
Rule 3: delivered() returns when the mark is on disk. What a crash leaves unmarked is delivered once more.
Rule 4: a mark and the entry that tells of it (DELIVERY) are one transaction; one entry for each call and
        destination. What was delivered twice stands in two of them. Those of the kinds PASSING stand in
        none: nobody asks for them again. What a person parks or releases stands in an EVENT instead.
Rule 5: to a destination with a delay, a document is pending only once it is that old in station time. One
        whose time is far in the future (a clock that was wrong) waits alone; it holds up nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from gateway.counters import Counters
from gateway.forward.port import Confirmation, Document
from gateway.journal import parked
from gateway.journal.bodies import DELIVERED, PARKED, Delivery, Settled
from gateway.journal.journal import Journal
from gateway.journal.kinds import DELIVERY, EVENT
from gateway.journal.reader import Reader
from gateway.journal.writer import Entry

PASSING = ("readings", "status")
"""Kinds of documents that nobody asks for again: their rows go as soon as they are delivered."""

PASSING_PATIENCE_S = 2.0
"""The mark of a passing document waits so long for the next commit to take it along, where nothing else is
to be sent: commits of their own would double what is written to a memory card. A crash sends it once more."""

AT_ONCE = "status"
"""Kind of documents that no delay holds back: what the gateway says of itself is of now, or of no use."""

_TALLY = (
    "INSERT INTO tally (destination, delivered) SELECT destination, 1 FROM outbox "
    f"WHERE id = ? AND kind IN {PASSING} AND state <> 1 "
    "ON CONFLICT (destination) DO UPDATE SET delivered = delivered + 1"
)
_DELETE = f"DELETE FROM outbox WHERE id = ? AND kind IN {PASSING}"
_DELIVERED = "UPDATE outbox SET state = 1, settled_ms = ?, last_error = '' WHERE id = ? AND state <> 1"
_FAILED = "UPDATE outbox SET attempts = attempts + 1, last_error = ? WHERE id = ? AND state = 0"
_PARKED = (
    "UPDATE outbox SET attempts = attempts + 1, last_error = ?, state = 2, settled_ms = ? "
    "WHERE id = ? AND state = 0"
)
_PENDING = (
    "SELECT id, destination, key, kind, name, folder, at_ms, body, attempts FROM outbox "
    "WHERE destination = ? AND state = 0 AND id > ? "
    f"AND (at_ms <= ? OR kind = '{AT_ONCE}') ORDER BY id LIMIT ?"
)
_NEXT_DUE = "SELECT MIN(at_ms) FROM outbox WHERE destination = ? AND state = 0 AND at_ms > ?"
_ANY_TIME = (1 << 63) - 1
DUE_LOOK_S = 60.0
"""How often it is looked at least whether something has become due: station time may be set."""
ERROR_LENGTH_MAX = 500
"""Characters of an error's text that are kept."""


class _Handed(NamedTuple):
    """A document that was handed out and is not yet settled."""

    destination: str
    key: str
    digest: bytes | None  # SHA-256 of its bytes; None for those whose delivery is not journaled


class JournalOutbox:
    """The outbox of a journal that is open. `now_ms()` is station time, of which `real_s` makes real time,
    `mono_ns()` the monotonic clock; `delays_ms` says for some destinations how old a document has to be.
    """

    def __init__(
        self,
        journal: Journal,
        now_ms: Callable[[], int],
        counters: Counters,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        delays_ms: Mapping[str, int] | None = None,
        real_s: Callable[[float], float] = float,
    ):
        self._journal = journal
        self._now_ms = now_ms
        self._mono_ns = mono_ns
        self._counters = counters
        self._delays_ms = {id: delay for id, delay in (delays_ms or {}).items() if delay}
        self._real_s = real_s
        self._events: dict[str, asyncio.Event] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}  # when the next document of a destination is due
        self._handed: dict[int, _Handed] = {}  # by id
        journal.when_queued(self._heard)

    async def load(self) -> None:
        """Take the counters from the journal, before anything is queued or delivered."""
        for destination, found in (await self._journal.read(Reader.outbox)).items():
            counted = self._counters.destination(destination)
            counted.queued, counted.delivered, counted.parked = (
                found["queued"],
                found["delivered"],
                found["parked"],
            )

    async def queue(self, drafts: Sequence[tuple], marks: Sequence[tuple[str, list[tuple]]] = ()) -> None:
        """Queue documents that belong to no window, with `marks` in the same transaction. Durable when this
        returns.
        """
        await self._journal.commit(drafts=drafts, marks=marks, now_ms=self._now_ms())

    # The port -----------------------------------------------------------------------------------------------

    async def pending(self, destination: str, after_id: int, limit: int) -> list[Document]:
        """Up to `limit` documents neither delivered nor parked, and due, with id > after_id, oldest first."""
        delay_ms = self._delays_ms.get(destination, 0)
        due_ms = self._now_ms() - delay_ms if delay_ms else _ANY_TIME
        rows = await self._journal.read(Reader.rows, _PENDING, destination, after_id, due_ms, limit)
        if delay_ms and len(rows) < limit:
            await self._wake_when_due(destination, due_ms)
        documents = [Document._make(row) for row in rows]
        for document in documents:
            digest = None if document.kind in PASSING else sha256(document.body).digest()
            self._handed[document.id] = _Handed(destination, document.key, digest)
        return documents

    async def delivered(self, confirmed: Iterable[int]) -> None:
        """Mark these (by id) as delivered; durable when this returns. The values of a mapping are told."""
        now_ms = self._now_ms()
        answers = confirmed if isinstance(confirmed, Mapping) else {}
        each = [(id,) for id in confirmed]
        await self._journal.commit(
            entries=self._told([id for (id,) in each], DELIVERED, now_ms, "", answers),
            marks=[(_TALLY, each), (_DELETE, each), (_DELIVERED, [(now_ms, id) for (id,) in each])],
            now_ms=now_ms,
            patience_s=self._real_s(PASSING_PATIENCE_S) if self._may_wait([id for (id,) in each]) else 0.0,
        )
        for (id,) in each:
            handed = self._handed.pop(id, None)
            if handed is not None:
                self._counters.destination(handed.destination).delivered += 1

    def _may_wait(self, ids: list[int]) -> bool:
        """Only passing documents, and nobody waits for room among those that are not marked yet."""
        handed = [one for id in ids if (one := self._handed.get(id)) is not None]
        waiting = {one.destination: self._counters.destination(one.destination).waiting for one in handed}
        return all(one.digest is None for one in handed) and sum(waiting.values()) <= len(handed)

    async def failed(self, id: int, reason: str, park: bool) -> None:
        """Count an attempt that failed; with `park` the document waits for a person."""
        reason = reason[:ERROR_LENGTH_MAX]
        if not park:
            await self._journal.commit(marks=[(_FAILED, [(reason, id)])])
            return
        now_ms = self._now_ms()
        await self._journal.commit(
            entries=self._told([id], PARKED, now_ms, reason),
            marks=[(_PARKED, [(reason, now_ms, id)])],
            now_ms=now_ms,
        )
        handed = self._handed.pop(id, None)
        if handed is not None:
            self._counters.destination(handed.destination).parked += 1

    async def by_hand(
        self, action: parked.Action, ids: Sequence[int], who: str, why: str
    ) -> tuple[list[parked.Row], list[parked.Row]]:
        """A person parks pending documents, of which none may be under way, or releases parked ones; or has
        delivered ones sent again.

        Those of `ids` that were changed, durably, and the others that there are, as they are.
        """
        rows = await self._journal.read(parked.rows_of, ids)
        changed = [row for row in rows if row.state == action.before]
        if not changed:
            return [], rows
        now_ms, mono_ms = self._now_ms(), self._mono_ns() // 1_000_000
        await self._journal.commit(
            entries=self._journal.own(EVENT, parked.bodies(action, changed, who, why), (now_ms, mono_ms)),
            marks=parked.marks(action, changed, who, why, now_ms),
            now_ms=now_ms,
        )
        # A mark that the disk had held up may have come first: what counts is how they are now.
        wanted = {row.id for row in changed}
        rows = await self._journal.read(parked.rows_of, ids)
        changed = [row for row in rows if row.id in wanted and action.done(row)]
        for row in changed:
            self._handed.pop(row.id, None)
            self._counters.destination(row.destination).parked += action.parked
            self._counters.destination(row.destination).queued += action.queued
            self.event(row.destination).set()
        return changed, [row for row in rows if row not in changed]

    def _told(
        self,
        ids: list[int],
        state: str,
        now_ms: int,
        reason: str = "",
        answers: Mapping[int, Confirmation] = {},
    ) -> list[Entry]:
        """Rule 4: the entries that go with these marks."""
        documents: dict[str, list[Settled]] = {}  # by destination
        for id in ids:
            handed = self._handed.get(id)
            if handed is not None and handed.digest is not None:
                settled = Settled(handed.key, handed.digest)
                if (answer := answers.get(id)) is not None:
                    settled = Settled(handed.key, handed.digest, answer.remote, answer.size, answer.answer)
                documents.setdefault(handed.destination, []).append(settled)
        bodies = [
            Delivery(destination, state, now_ms, settled, reason).encode()
            for destination, settled in documents.items()
        ]
        return self._journal.own(DELIVERY, bodies, (now_ms, self._mono_ns() // 1_000_000))

    def event(self, destination: str) -> asyncio.Event:
        """Set whenever documents for `destination` were queued, or have become due."""
        return self._events.setdefault(destination, asyncio.Event())

    async def _wake_when_due(self, destination: str, due_ms: int) -> None:
        """Set its event when the oldest document that is not due yet may be."""
        ((next_ms,),) = await self._journal.read(Reader.rows, _NEXT_DUE, destination, due_ms)
        if timer := self._timers.pop(destination, None):
            timer.cancel()
        if next_ms is not None:
            seconds = min(self._real_s((next_ms - due_ms) / 1000), DUE_LOOK_S)
            call_later = asyncio.get_running_loop().call_later
            self._timers[destination] = call_later(seconds, self.event(destination).set)

    def _heard(self, drafts: Sequence[tuple]) -> None:
        """These documents are in the outbox now."""
        for destination, *_ in drafts:
            self._counters.destination(destination).queued += 1
            self.event(destination).set()
