"""What the journal's entries add up to: the newest record of each source, and where a time's readings are.

Rule 1: a function of `entry` alone, taken in order.
Rule 2: saved now and then, in the transaction of some entries; at opening only the entries after that are
        read.
Rule 3: (source, boot, sequence) of records only rises: an entry that breaks this is refused, whoever made it.
"""

from __future__ import annotations

import sqlite3

from gateway.errors import JournalError
from gateway.journal.kinds import RECORDS

SLOT_MS = 300_000
"""Length of a span's slot. Fixed for all journals, whatever the length of windows."""
SEGMENT_GAP = 1024
"""A span goes on while its next entry follows within so many entries; then a new one begins."""
SAVE_EVERY = 65_536
"""Entries after which the summary is saved in any case; bounds the reading at opening to some 0.2 s."""

SAVE_POSITION = (
    "INSERT INTO position VALUES (?, ?, ?) "
    "ON CONFLICT (source) DO UPDATE SET boot = excluded.boot, seq = excluded.seq"
)
SAVE_SPAN = (
    "INSERT INTO span VALUES (?, ?, ?, ?) "
    "ON CONFLICT (slot, source, first) DO UPDATE SET last = excluded.last"
)
SAVE_FOLDED = "UPDATE meta SET value = ? WHERE name = 'folded'"


class Fold:
    """Positions and spans. `positions[source]` is (boot, sequence) of the newest record taken."""

    def __init__(self) -> None:
        self.positions: dict[int, tuple[int, int]] = {}
        self.folded = 0
        self._segments: dict[
            tuple[int, int], list[int]
        ] = {}  # (slot, source) -> [first, last], not yet saved
        self._closed: list[tuple[int, int, int, int]] = []
        self._moved: set[int] = set()

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Fold:
        """The summary of everything in the journal."""
        fold = cls()
        fold.positions = {
            source: (boot, seq)
            for source, boot, seq in connection.execute("SELECT source, boot, seq FROM position")
        }
        fold.folded = connection.execute("SELECT value FROM meta WHERE name = 'folded'").fetchone()[0]
        rows = connection.execute(
            "SELECT idx, kind, source, boot, first_seq, last_seq, first_ms, last_ms FROM entry "
            "WHERE idx >= ? ORDER BY idx",
            (fold.folded,),
        )
        for row in rows:
            fold.take(*row)
        return fold

    def take(
        self,
        idx: int,
        kind: int,
        source: int,
        boot: int,
        first_seq: int,
        last_seq: int,
        first_ms: int | None,
        last_ms: int | None,
    ) -> None:
        """Account for one entry. JournalError if its records are not newer than those held."""
        if kind in RECORDS:
            held = self.positions.get(source, (0, 0))
            if (boot, first_seq) <= held:
                raise JournalError(
                    f"Source {source}: record {boot}/{first_seq} again, {held[0]}/{held[1]} is held."
                )
            self.positions[source] = (boot, last_seq)
            self._moved.add(source)
        if first_ms is None or last_ms is None:
            return
        slot = first_ms // SLOT_MS
        while True:
            segment = self._segments.get((slot, source))
            if segment is not None and idx - segment[1] <= SEGMENT_GAP:
                segment[1] = idx
            else:
                if segment is not None:
                    self._closed.append((slot, source, segment[0], segment[1]))
                self._segments[slot, source] = [idx, idx]
            slot += 1
            if slot * SLOT_MS > last_ms:
                return

    def save(self, connection: sqlite3.Connection, size: int) -> None:
        """Write the summary of the first `size` entries, inside the caller's transaction."""
        connection.executemany(SAVE_POSITION, [(source, *self.positions[source]) for source in self._moved])
        connection.executemany(SAVE_SPAN, self._closed)
        connection.executemany(
            SAVE_SPAN,
            [(slot, source, first, last) for (slot, source), (first, last) in self._segments.items()],
        )
        connection.execute(SAVE_FOLDED, (size,))

    def saved(self, size: int) -> None:
        """The transaction with save() was committed."""
        self.folded = size
        self._segments.clear()
        self._closed.clear()
        self._moved.clear()
