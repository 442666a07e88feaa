"""Journals of many days in no time, and what must hold of one after retention was at work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from random import Random

from gateway.journal.checkpoints import Checkpoints
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, FRAME, POLL, RECORDS, WINDOW
from gateway.journal.reader import DAY_MS, Reader
from gateway.journal.retention import Retention
from gateway.journal.writer import Entry
from gateway.windows import Window, body
from protocol import cbor, checkpoint, note
from protocol.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)

START = 1_774_397_100_000
HOUR_MS = 3_600_000
NAME = "quantrac/LCa/DEMO/NUO001"
SOURCES = ("gateway", "device/st-01", "bus/tank/0")


class Log:
    """A journal that is written by hand; `now_ms` is station time, `days` how long raw entries are kept."""

    def __init__(self, folder: Path, days: int = 60, seed: int = 1):
        self.folder, self.path, self.days = folder, folder / "journal.db", days
        self.now_ms, self.rng = START, Random(seed)
        self.leaves: list[bytes] = []  # of all entries ever seen
        self.told: dict[int, tuple[int, int]] = {}  # entry -> (kind, when it arrived)
        self.trusted = True

    def now(self) -> tuple[int, int, bool]:
        return self.now_ms, 5_000_000, self.trusted

    def open(self, **how) -> Journal:
        journal = Journal(self.path, checkpoints=Checkpoints(self.folder, NAME), **how)
        journal.open(SOURCES)
        assert not journal.unsigned, journal.unsigned
        return journal

    def use(self, chapter: Callable[[Journal, Retention], Awaitable], **how):
        """One start of the journal with its retention, and its end."""

        async def main():
            journal = self.open(**how)
            journal.start()
            retention = Retention(journal, self.days, self.now)
            try:
                return await chapter(journal, retention)
            finally:
                await journal.close(5.0)
                self.see()

        return asyncio.run(main())

    def see(self) -> None:
        """Remember what was written since."""
        reader = Reader(self.path)
        for entry in reader.entries(len(self.leaves)):
            assert entry.idx == len(self.leaves)
            self.leaves.append(entry.leaf)
            self.told[entry.idx] = entry.kind, entry.arrived_ms
        reader.close()

    def raw(self, journal: Journal, count: int, step_ms: int = 0) -> list[Entry]:
        """Frames and polled readings, one every `step_ms`."""
        found = []
        seqs = {name: journal.position(name)[1] for name in SOURCES}
        for _ in range(count):
            kind, name = self.rng.choice(((FRAME, "device/st-01"), (POLL, "bus/tank/0")))
            seqs[name] += 1
            data = self.rng.randbytes(self.rng.choice((40, 170, 300)))
            self.now_ms += step_ms
            at_ms = None if self.rng.random() < 0.05 else self.now_ms - 500
            found.append(
                Entry(
                    kind,
                    journal.source(name),
                    1,
                    seqs[name],
                    seqs[name],
                    self.now_ms,
                    5,
                    at_ms,
                    at_ms,
                    data,
                )
            )
        return found

    def window(self, journal: Journal, start_ms: int | None = None) -> tuple[Window, Entry]:
        start_ms = self.now_ms // 300_000 * 300_000 if start_ms is None else start_ms
        made = Window(
            "COD", "mg/l", start_ms, start_ms + 300_000, 1, 1.5, 0, "00", 12, 12, 1.0, 1.0, 2.0, "", 1.5
        )
        data = body(made, journal.submitted)
        return made, Entry(WINDOW, journal.source("gateway"), 0, 0, 0, self.now_ms, 5, None, None, data)

    def event(self, journal: Journal, *said) -> Entry:
        data = cbor.dumps(list(said))
        return Entry(EVENT, journal.source("gateway"), 0, 0, 0, self.now_ms, 5, None, None, data)

    async def days_pass(self, journal: Journal, days: int, each: int = 24) -> None:
        """`each` raw entries a day, one after the other, and a window at its end."""
        for _ in range(days):
            entries = self.raw(journal, each, DAY_MS // each)
            await journal.commit(entries=entries, windows=[self.window(journal)], now_ms=self.now_ms)
        self.see()


def checked(log: Log, oldest_ms: int | None = None) -> int:
    """All that must hold, as whoever has only the journal sees it; how many raw entries are gone.

    Nothing of `oldest_ms` and later may be.
    """
    reader = Reader(log.path)
    try:
        held = {entry.idx: entry for entry in reader.entries()}
        size = reader.size()
        gone = set(range(size)) - held.keys()
        hash_at = lru_cache(None)(reader.tree().hash_at)
        for idx in gone:
            kind, arrived_ms = log.told[idx]
            assert kind in RECORDS and idx < reader.whole().first
            assert oldest_ms is None or arrived_ms < oldest_ms, idx
        notes, frontier = [(0, root_of([]))], Frontier()
        for at, data in reader.rows("SELECT size, note FROM checkpoint ORDER BY size"):
            signed = checkpoint.parse(note.parse(data).text)
            frontier.extend(log.leaves[frontier.size : at])
            assert signed.size == at and signed.root == frontier.root()
            notes.append((at, signed.root))
        newest, root = notes[-1]
        for idx, entry in held.items():
            assert entry.leaf == leaf_hash(entry.leaf_bytes()) == log.leaves[idx]
            if idx < newest:
                proof = inclusion_proof(idx, newest, hash_at)
                check_inclusion(entry.leaf, idx, newest, proof, root)
        for (old, old_root), (new, new_root) in pairwise(notes):
            check_consistency(old, new, old_root, new_root, consistency_proof(old, new, hash_at))
            if new < newest:
                check_consistency(new, newest, new_root, root, consistency_proof(new, newest, hash_at))
        assert [hash_at(0, idx) for idx in range(size)] == log.leaves[:size]
        told = [cbor.loads(e.body) for e in held.values() if e.kind == EVENT]
        told = [said for said in told if said[0] == "pruned"]
        assert sum(said[5] for said in told) == len(gone)
        ends = [0, *(said[3] + 1 for said in told)]
        assert [said[2] for said in told] == ends[:-1] and ends[-1] == reader.whole().first
        spans = reader.rows("SELECT COUNT(*) FROM span WHERE last < ?", reader.whole().first)
        assert spans == [(0,)] or not gone
        return len(gone)
    finally:
        reader.close()
