"""Reading the journal, from any process, without being able to change it.

For the gateway's own recovery, its page, `quantrac export` and the tests. A Reader belongs to one thread at a
time. What SQLite says of a bad disk or file are sqlite3.Errors; reading() and Journal.read() turn them into a
JournalError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from typing import NamedTuple

from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.fold import SLOT_MS
from gateway.journal.kinds import EVENT, FRAME
from gateway.journal.leaf import leaf_bytes
from gateway.journal.packed import stored_body
from gateway.journal.tree import Tree
from gateway.windows import Window

DAY_MS = 86_400_000
WINDOW_COLUMNS = (
    "symbol, unit, start_ms, end_ms, revision, value, quality, status, valid, expected, valid_share, "
    "minimum, maximum, reason, last, deviation, flags, average, last_ms, meter, steady_ms"
)
_COLUMNS = (
    "SELECT idx, kind, name, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, leaf, body"
)
_ENTRY = f"{_COLUMNS} FROM entry JOIN source ON source.id = source"
_RARE = (
    f"{_COLUMNS} FROM entry INDEXED BY entry_rare JOIN source ON source.id = source "
    f"WHERE kind >= {EVENT} AND kind = ? AND idx >= ? AND idx <= ?"
)

_SAYING = (  # without those that cannot be one, of which a journal has very many
    "SELECT body, arrived_ms FROM entry INDEXED BY entry_rare "
    f"WHERE kind >= {EVENT} AND kind = {EVENT} AND instr(body, ?) ORDER BY idx"
)


class Stored(NamedTuple):
    """An entry as it lies in the journal."""

    idx: int
    kind: int
    source: str
    boot: int
    first_seq: int
    last_seq: int
    arrived_ms: int
    mono_ms: int
    first_ms: int | None
    last_ms: int | None
    leaf: bytes
    body: bytes

    def leaf_bytes(self) -> bytes:
        """What its leaf is the hash of."""
        return leaf_bytes(self.kind, self.source, self.arrived_ms, self.mono_ms, self.body)


def _stored(row: tuple) -> Stored:
    *columns, body = row
    return Stored._make((*columns, stored_body(row[1], body)))


class Whole(NamedTuple):
    """What retention has left alone: entries from number `first` on, readings of `from_ms` and later."""

    first: int
    from_ms: int


class Reader:
    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._connection = database.connect_to_read(path)

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, *parameters) -> list[tuple]:
        return self._connection.execute(sql, parameters).fetchall()

    def events_with(self, text: str) -> list[tuple[bytes, int]]:
        """(body, when it arrived) of all EVENT entries that hold this text, such as an event's name."""
        return self.rows(_SAYING, text)

    def size(self) -> int:
        """Entries on disk."""
        return self.rows("SELECT COALESCE(MAX(idx) + 1, 0) FROM entry")[0][0]

    def newest_ms(self) -> int:
        """When the newest entry arrived, station time; 0 in an empty journal."""
        return self.rows(
            "SELECT COALESCE(MAX(arrived_ms), 0) FROM "
            "(SELECT arrived_ms FROM entry ORDER BY idx DESC LIMIT 64)"
        )[0][0]

    def whole(self) -> Whole:
        """From where on nothing was pruned."""
        said = dict(self.rows("SELECT name, value FROM meta WHERE name IN ('pruned', 'pruned_ms')"))
        return Whole(said["pruned"], said["pruned_ms"] + 1)

    # Entries ------------------------------------------------------------------------------------------------

    def of_source(self, first: int, last: int, source: str) -> Iterator[Stored]:
        """Entries first..last of one source, in order. Of others, which lie between them, no body is read."""
        cursor = self._connection.execute(
            f"{_ENTRY} WHERE idx >= ? AND idx <= ? AND +source = (SELECT id FROM source WHERE name = ?) "
            "ORDER BY idx",
            (first, last, source),
        )
        return map(_stored, cursor)

    def entries(self, first: int = 0, last: int | None = None, kinds: Sequence[int] = ()) -> Iterator[Stored]:
        """Entries first..last, both included, in order, but for those that were pruned; only those `kinds`,
        which have an index, if any are named. Name those you want: there are 100,000s of deliveries a year.
        """
        span = (first, (1 << 62) if last is None else last)
        if not kinds:
            cursor = self._connection.execute(f"{_ENTRY} WHERE idx >= ? AND idx <= ? ORDER BY idx", span)
            return map(_stored, cursor)
        parts = [self._connection.execute(f"{_RARE} ORDER BY idx", (kind, *span)) for kind in kinds]
        return map(_stored, merge(*parts))

    def newest_first(self, kind: int) -> Iterator[Stored]:
        """All entries of a kind that has an index, backwards."""
        cursor = self._connection.execute(f"{_RARE} ORDER BY idx DESC", (kind, 0, 1 << 62))
        return map(_stored, cursor)

    def without_time(self, source: str, boot: int, first: int, last: int, most: int = -1) -> Iterator[Stored]:
        """Frames of a boot among entries first..last whose readings could not be placed when they came."""
        cursor = self._connection.execute(
            f"{_ENTRY} WHERE idx >= ? AND idx <= ? AND name = ? AND boot = ? AND kind = {FRAME} "
            "AND first_ms IS NULL ORDER BY idx LIMIT ?",
            (first, last, source, boot, most),
        )
        return map(_stored, cursor)

    def spans(self, start_ms: int, end_ms: int | None = None) -> list[tuple[int, int, str]]:
        """(first, last, source) ranges of entries that hold all readings of start_ms <= time < end_ms."""
        end_slot = (1 << 62) if end_ms is None else -(-end_ms // SLOT_MS)
        saved = self.rows("SELECT value FROM meta WHERE name = 'folded'")[0][0]
        ranges = self.rows(
            "SELECT first, last, name FROM span JOIN source ON source.id = source "
            "WHERE slot >= ? AND slot < ?",
            start_ms // SLOT_MS,
            end_slot,
        )
        ranges += self.rows(
            "SELECT MIN(idx), MAX(idx), name FROM entry JOIN source ON source.id = source "
            "WHERE idx >= ? AND last_ms >= ? AND first_ms < ? GROUP BY source",
            saved,
            start_ms,
            end_slot * SLOT_MS if end_ms is not None else 1 << 62,
        )
        return _merged(ranges)

    def late(self, before_ms: int, within_ms: int) -> list[int]:
        """Starts of windows before `before_ms` that got readings after their newest row was made."""
        oldest = (before_ms - within_ms) // SLOT_MS
        newest = dict(
            self.rows(
                "SELECT start_ms, MAX(idx) FROM window WHERE start_ms >= ? GROUP BY start_ms",
                before_ms - within_ms,
            )
        )
        made = sorted(newest)
        if not made:
            return []
        length = self.rows("SELECT end_ms - start_ms FROM window WHERE start_ms = ? LIMIT 1", made[-1])[0][0]
        found = set()
        for last, first_ms, last_ms in self._touched(oldest, before_ms):
            for start in range(first_ms - first_ms % length, last_ms + 1, length):
                if last > newest.get(start, -1):
                    found.add(start)
        return sorted(found)

    def _touched(self, oldest_slot: int, before_ms: int) -> list[tuple[int, int, int]]:
        """(newest entry, first and last ms) of spans, saved and not, that begin before `before_ms`."""
        saved = self.rows("SELECT value FROM meta WHERE name = 'folded'")[0][0]
        spans = self.rows(
            "SELECT last, slot FROM span WHERE slot >= ? AND slot < ?", oldest_slot, -(-before_ms // SLOT_MS)
        )
        found = [(last, slot * SLOT_MS, min(before_ms, (slot + 1) * SLOT_MS) - 1) for last, slot in spans]
        return found + self.rows(
            "SELECT idx, first_ms, MIN(last_ms, ?) FROM entry "
            "WHERE idx >= ? AND first_ms >= ? AND first_ms < ?",
            before_ms - 1,
            saved,
            oldest_slot * SLOT_MS,
            before_ms,
        )

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(block, its 256 leaves joined) of what was pruned, in order."""
        return self._connection.execute("SELECT block, leaves FROM pruned ORDER BY block")

    # The log ------------------------------------------------------------------------------------------------

    def tree(self) -> Tree:
        """The Merkle tree of the entries."""
        return Tree(self._connection)

    def checkpoint(self, at_least: int = 0) -> bytes | None:
        """The newest checkpoint, a signed note; None when there is none that covers so many entries."""
        rows = self.rows("SELECT note FROM checkpoint WHERE size >= ? ORDER BY size DESC LIMIT 1", at_least)
        return rows[0][0] if rows else None

    # Windows ------------------------------------------------------------------------------------------------

    def windows(self, start_ms: int, end_ms: int, symbol: str | None = None) -> list[Window]:
        """All revisions of windows with start_ms <= start < end_ms, by start, symbol and revision."""
        query = f"SELECT {WINDOW_COLUMNS} FROM window WHERE start_ms >= ? AND start_ms < ?"
        parameters: list = [start_ms, end_ms]
        if symbol is not None:
            query += " AND symbol = ?"
            parameters.append(symbol)
        return [
            Window._make(row)
            for row in self.rows(query + " ORDER BY start_ms, symbol, revision", *parameters)
        ]

    def newest_windows(self, before_ms: int = 1 << 62) -> dict[str, Window]:
        """The newest revision of each symbol's newest window that starts before `before_ms`."""
        found = {}
        for (symbol,) in self.rows(
            "SELECT DISTINCT symbol FROM window "
            "WHERE start_ms = (SELECT MAX(start_ms) FROM window WHERE start_ms < ?)",
            before_ms,
        ):
            found[symbol] = self._connection.execute(
                f"SELECT {WINDOW_COLUMNS} FROM window WHERE start_ms < ? AND symbol = ? "
                "ORDER BY start_ms DESC, revision DESC LIMIT 1",
                (before_ms, symbol),
            ).fetchone()
        return {symbol: Window._make(row) for symbol, row in found.items() if row}

    # Outbox -------------------------------------------------------------------------------------------------

    def outbox(self) -> dict[str, dict[str, int]]:
        """Per destination: documents ever queued, delivered and parked, and pending now."""
        found: dict[str, dict[str, int]] = {}
        for destination, state, count in self.rows(
            "SELECT destination, state, COUNT(*) FROM outbox GROUP BY destination, state"
        ):
            found.setdefault(destination, dict.fromkeys(("pending", "delivered", "parked"), 0))
            found[destination][("pending", "delivered", "parked")[state]] = count
        for destination, count in self.rows("SELECT destination, delivered FROM tally"):
            found.setdefault(destination, dict.fromkeys(("pending", "delivered", "parked"), 0))[
                "delivered"
            ] += count
        for counts in found.values():
            counts["queued"] = sum(counts.values())
        return found


@contextmanager
def reading(path: Path | str) -> Iterator[Reader]:
    """A Reader for a while. JournalError when it cannot be read: missing, no journal, damaged, the disk."""
    try:
        reader = Reader(path)
        try:
            version = reader.rows("PRAGMA user_version")[0][0]
            if version != database.VERSION:
                raise JournalError(_other_version(path, version))
            yield reader
        finally:
            reader.close()
    except sqlite3.Error as error:
        raise JournalError(
            f"The journal {path} cannot be read ({error}). Check that it is this gateway's, that you may "
            "open it, and the disk; if it is damaged, restore it from a backup."
        ) from error


def _other_version(path: Path | str, version: int) -> str:
    if version == 0:
        return (
            f"{path} is empty, or no journal: check that it is this gateway's, or restore it from a backup."
        )
    if version > database.VERSION:
        known = database.VERSION
        return f"The journal {path} has schema {version}, this program knows {known}: install the newer one."
    return (
        f"The journal {path} has the older schema {version}: start the gateway once, it brings it up to date."
    )


def _merged(ranges: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Ranges of each source without overlaps, so that no entry is read twice; in order of their first
    entry.
    """
    merged: list[list] = []
    for first, last, source in sorted(ranges, key=lambda found: (found[2], found[0])):
        if merged and merged[-1][2] == source and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last, source])
    return sorted(map(tuple, merged))
