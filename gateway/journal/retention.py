"""Old raw entries go, and their hashes stay.

Rule 1: only FRAME and POLL entries go, in blocks of 256, from the first on; the database itself refuses the
        rest (schema/v3.sql). Everything that readings led to stays for ever, and all proofs stay valid.
Rule 2: age is counted on the log's own time: by the windows that were closed since. A clock that jumps ahead
        leaves a gap there and makes nothing old. MARGIN_MS covers what such a jump still closes: nothing goes
        within retention_days, and no window that late readings may reach (BACK_MS) loses some of its own.
        What a clock that was set back may bring about, replay.recompute() refuses.
Rule 3: what goes, the hashes that stay, meta.pruned and pruned_ms, and the event that tells of it are one
        transaction, small, and in company: it waits for the next readings' commit and costs none of its own.
Rule 4: hashes are kept only where they are those of the tree: what a disk has changed stays as it is, and is
        told.
Rule 5: documents that were delivered before that time go, too, and are tallied. Pending and parked ones stay.

SQLite uses the room again: the file stops growing. `quantrac gateway compact` makes it smaller (compact.py).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from gateway.errors import JournalError
from gateway.journal import room
from gateway.journal.bodies import event
from gateway.journal.fold import SLOT_MS
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, GATEWAY, RECORDS
from gateway.journal.reader import DAY_MS, Reader
from gateway.lane import FUTURE_MS
from gateway.windows import EMPTY_MS
from protocol import cbor
from protocol.merkle import TILE_LEVELS, root_of

PRUNED = "pruned"
"""The event: ["pruned", "gateway", first, last, cutoff_ms, gone]: the raw ones of first..last went."""
MARGIN_MS = EMPTY_MS + DAY_MS
"""Kept beyond retention_days: the empty windows that a clock closes when it jumps ahead, and a day more."""
BLOCK = 1 << TILE_LEVELS
BLOCKS = 8
"""Blocks in one transaction: some tens of milliseconds of the writing thread."""
DOCUMENTS = 512
"""Documents in one transaction."""
PATIENCE_S = 2.0
"""How long a transaction waits for company, in real seconds: so old entries go at 1,000 a second at most."""
LOOK_S = 600.0
"""How often the disk is looked at, in real seconds,"""
START_S = 60.0
"""... for the first time so long after the start, when devices have brought what they kept,"""
PRUNE_EVERY = 6
"""... and at every so many looks what has become old goes."""

_KEEP = "INSERT INTO pruned SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM pruned WHERE block = ?1)"
_GO = f"DELETE FROM entry WHERE idx >= ? AND idx < ? AND kind IN {RECORDS}"
_SPANS = "DELETE FROM span WHERE slot <= ? AND last < ?"
_META = "UPDATE meta SET value = MAX(value, ?) WHERE name = ?"
_TALLY = (
    "INSERT INTO tally (destination, delivered) SELECT destination, 1 FROM outbox WHERE id = ? AND state = 1 "
    "ON CONFLICT (destination) DO UPDATE SET delivered = delivered + 1"
)
_FORGET = "DELETE FROM outbox WHERE id = ? AND state = 1"
_DELIVERED = "SELECT id, settled_ms FROM outbox WHERE destination = ? AND state = 1 ORDER BY id LIMIT ?"
_NEXT = "SELECT MIN(destination) FROM outbox WHERE destination > ?"
_BLOCK = "SELECT kind, arrived_ms, last_ms, leaf FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"


class Block(NamedTuple):
    """One that is due: its number, its leaves, its raw entries, and the latest time of a reading in them."""

    number: int
    leaves: bytes
    raw: int
    last_ms: int


class Located(NamedTuple):
    """An event that placed entries first..last in time afterwards: windows up to last_ms rest on them."""

    first: int
    last: int
    last_ms: int


class Retention:
    """Of an open journal. `now()` is station time, monotonic nanoseconds, whether the first can be trusted.

    `problem` is a sentence when something keeps it from working, `room` what the disk had at the last look.
    """

    def __init__(
        self,
        journal: Journal,
        days: int,
        now: Callable[[], tuple[int, int, bool]],
        disk: Callable[[Path], Any] = shutil.disk_usage,
    ):
        self._journal = journal
        self._days = days
        self._now = now
        self._disk = disk
        self.problem = ""
        self.room: room.Room | None = None
        self.gone = 0  # raw entries that were ever pruned, as far as the log was looked at
        self._looked = 0  # entries looked at for events
        self._gaps: list[tuple[int, int]] = []
        self._located: list[Located] = []

    async def run(self) -> None:
        """Until cancelled. The disk's refusals are told in `problem`, and tried again."""
        for turn in count():
            await asyncio.sleep(LOOK_S if turn else START_S)
            try:
                if not turn % PRUNE_EVERY:
                    await self.prune()
                await self.look()
                self.problem = ""
            except JournalError as error:
                self.problem = f"Nothing old can be pruned: {error}"

    async def look(self) -> None:
        """See how much room there is. JournalError."""
        now_ms = self._now()[0]
        await self._journal.read(self._events)
        self.room = await self._journal.read(room.look, now_ms, self.gone, self._disk)

    async def prune(self) -> int:
        """Let go what is old enough; the number of transactions. JournalError."""
        done = 0
        while self._now()[2]:
            if self._journal.half_full:
                await asyncio.sleep(PATIENCE_S)
                continue
            if not await self._step():
                break
            done += 1
        return done

    def problems(self) -> list[str]:
        """Sentences, empty while all is well."""
        full = "" if self.room is None else self.room.problem(self._days)
        return [text for text in (self.problem, full) if text]

    async def _step(self) -> bool:
        """One transaction; False when nothing is due."""
        now_ms, mono_ns, _ = self._now()
        cutoff_ms = await self._journal.read(self.cutoff, now_ms)
        if cutoff_ms is None:
            return False
        blocks = await self._journal.read(self._due, cutoff_ms)
        documents = await self._journal.read(_delivered, cutoff_ms)
        entries = []
        marks: list[tuple[str, list[tuple]]] = [(_TALLY, documents), (_FORGET, documents)]
        if blocks:
            first, end = blocks[0].number * BLOCK, (blocks[-1].number + 1) * BLOCK
            last_ms, gone = max(block.last_ms for block in blocks), sum(block.raw for block in blocks)
            marks += _marks(blocks, end, last_ms)
            told = cbor.dumps([PRUNED, GATEWAY, first, end - 1, cutoff_ms, gone])
            entries = self._journal.own(EVENT, [told], (now_ms, mono_ns // 1_000_000))
        elif not documents:
            return False
        await self._journal.commit(entries=entries, marks=marks, now_ms=now_ms, patience_s=PATIENCE_S)
        return True

    # In the reading thread ----------------------------------------------------------------------------------

    def cutoff(self, reader: Reader, now_ms: int) -> int | None:
        """Before this moment is what goes (rule 2); None while no window was ever closed."""
        self._events(reader)
        newest = reader.rows("SELECT MAX(start_ms) FROM window")[0][0]
        if newest is None:
            return None
        at_ms, left_ms = min(newest, now_ms), self._days * DAY_MS + MARGIN_MS
        for from_ms, to_ms in sorted(self._gaps, reverse=True):
            if from_ms >= at_ms:
                continue
            ran_ms = max(0, at_ms - to_ms)  # without a gap, before the present
            if ran_ms >= left_ms:
                break
            at_ms, left_ms = from_ms, left_ms - ran_ms
        return at_ms - left_ms

    def _events(self, reader: Reader) -> None:
        """Take note of the events since it last looked."""
        for entry in reader.entries(self._looked, kinds=(EVENT,)):
            self._looked = entry.idx + 1
            name, details = event(entry.body)
            if name == "gap":
                self._gaps.append((details[0], details[1]))
            elif name == PRUNED:
                self.gone += details[3]
            elif name == "located" and entry.last_ms is not None:
                self._located.append(Located(details[1], details[2], entry.last_ms))

    def _due(self, reader: Reader, cutoff_ms: int) -> list[Block]:
        """The next blocks whose raw entries are all from before. JournalError: rule 4."""
        first = reader.whole().first // BLOCK
        folded = reader.rows("SELECT value FROM meta WHERE name = 'folded'")[0][0]
        end = min(folded, reader.size() - BLOCK) // BLOCK  # the newest entries say where the journal ends
        self._located = [event for event in self._located if event.last >= first * BLOCK]
        found: list[Block] = []
        for number in range(first, min(end, first + BLOCKS)):
            rows = reader.rows(_BLOCK, number * BLOCK, (number + 1) * BLOCK)
            raw = [row for row in rows if row[0] in RECORDS]
            if any(arrived_ms >= cutoff_ms for _, arrived_ms, _, _ in raw) or self._needed(number, cutoff_ms):
                break
            leaves = [row[3] for row in rows]
            if len(rows) != BLOCK or root_of(leaves) != reader.tree().hash_at(TILE_LEVELS, number):
                raise JournalError(
                    f"the hashes of the entries {number * BLOCK} to {(number + 1) * BLOCK - 1} are not those "
                    "of the tree. Restore the journal from a backup."
                )
            latest = [max(arrived_ms + FUTURE_MS, last_ms or arrived_ms) for _, arrived_ms, last_ms, _ in raw]
            found.append(Block(number, b"".join(leaves), len(raw), max(latest, default=-(1 << 62))))
        return found

    def _needed(self, number: int, cutoff_ms: int) -> bool:
        """Whether something in the block was placed at a later time than when it came."""
        first, end = number * BLOCK, (number + 1) * BLOCK
        return any(e.first < end and e.last >= first and e.last_ms >= cutoff_ms for e in self._located)


def _marks(blocks: list[Block], end: int, last_ms: int) -> list[tuple[str, list[tuple]]]:
    """What a transaction does besides the event. Done twice, it is as done once (writer.py, rule 3)."""
    kept = [(block.number, block.leaves) for block in blocks if block.raw]
    return [
        (_KEEP, kept),
        (_GO, [(number * BLOCK, (number + 1) * BLOCK) for number, _ in kept]),
        (_SPANS, [(last_ms // SLOT_MS, end)]),
        (_META, [(end, "pruned"), (last_ms, "pruned_ms")]),
    ]


def _delivered(reader: Reader, cutoff_ms: int) -> list[tuple[int]]:
    """Documents that were delivered before that, of each destination the oldest ones."""
    found: list[tuple[int]] = []
    destination = ""
    while (destination := reader.rows(_NEXT, destination)[0][0]) is not None:
        rows = reader.rows(_DELIVERED, destination, DOCUMENTS)
        found += [(id,) for id, settled_ms in rows if settled_ms is not None and settled_ms < cutoff_ms]
    return found[:DOCUMENTS]
