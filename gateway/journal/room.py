"""How long the disk will do at the present rate: said long before it is full.

Rule 1: the rate is that of the last day, in entries; one takes what all that are held take on average, with
        their windows, documents and hashes. Nothing is said before RATE_FROM_MS of data.
Rule 2: room is what the file system has, but for FREE_BYTES_MIN, and what the journal's file has: pages of
        entries that were pruned.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gateway.journal.reader import DAY_MS, Reader

FREE_BYTES_MIN = 512 << 20
"""Free space below which the disk is a problem: some days of a small station."""
RATE_FROM_MS = 3_600_000
"""Less than an hour of data says nothing about a day."""
DAYS_MIN = 60
"""Days of readings that a logger must keep, by regulation."""
SOON_DAYS = 30
"""A disk that will be full within so many days is a problem although it holds DAYS_MIN."""
KEPT_BYTES = 35
"""What a pruned entry still takes: its hash, and its part of the pages."""

_ARRIVED = "SELECT arrived_ms FROM entry WHERE idx = ?"


class Room(NamedTuple):
    """As of one moment; None where there is too little to tell."""

    free_bytes: int  # in the file system
    journal_bytes: int  # of the journal's file,
    unused_bytes: int  # and of these what it may use again
    held_days: float  # since the oldest entry of which nothing was pruned
    entries_per_day: float | None
    bytes_per_entry: float | None
    left_days: float | None  # until nothing is left, if nothing is pruned

    @property
    def fits_days(self) -> float | None:
        """Days of readings that fit."""
        return None if self.left_days is None else self.held_days + self.left_days

    def problem(self, retention_days: int) -> str:
        """A sentence, "" while all is well."""
        fits, left = self.fits_days, self.left_days
        if fits is None or left is None or fits >= retention_days:
            return ""
        if fits < DAYS_MIN:
            return (
                f"The disk will hold {fits:.0f} days of readings at the present rate, and {DAYS_MIN} must be "
                f"kept: give it more room, or the journal cannot store in {left:.0f} days."
            )
        if left < SOON_DAYS:
            return (
                f"The disk will be full in {left:.0f} days, with {fits:.0f} days of readings: give it more "
                f"room, or set retention_days to {max(DAYS_MIN, int(0.9 * fits))} (it is {retention_days})."
            )
        return ""

    def numbers(self) -> dict[str, Any]:
        """For the pages."""
        return {**self._asdict(), "fits_days": self.fits_days}


def look(reader: Reader, now_ms: int, gone: int, disk: Callable[[Path], Any] = shutil.disk_usage) -> Room:
    """`gone` raw entries were pruned of this journal."""
    page, pages, unused = (
        reader.rows(f"PRAGMA {name}")[0][0] for name in ("page_size", "page_count", "freelist_count")
    )
    free = disk(reader.path.parent).free
    size, first = reader.size(), reader.whole().first
    oldest_ms = _arrived(reader, first) if first < size else now_ms
    held_ms = max(0, now_ms - oldest_ms)
    found = Room(free, page * pages, page * unused, held_ms / DAY_MS, None, None, None)
    since_ms = max(oldest_ms, now_ms - DAY_MS)
    if now_ms - since_ms < RATE_FROM_MS:
        return found
    count = (size - _first_since(reader, first, size, since_ms)) * DAY_MS / (now_ms - since_ms)
    each = max(1.0, (page * (pages - unused) - KEPT_BYTES * gone) / max(1, size - gone))
    if not count:
        return found
    room = page * unused + max(0, free - FREE_BYTES_MIN)
    return found._replace(entries_per_day=count, bytes_per_entry=each, left_days=room / (count * each))


def _first_since(reader: Reader, low: int, high: int, since_ms: int) -> int:
    """The first entry from `low` on that arrived at that time or later, where arrival times rise."""
    while low < high:
        middle = (low + high) // 2
        if _arrived(reader, middle) >= since_ms:
            high = middle
        else:
            low = middle + 1
    return low


def _arrived(reader: Reader, index: int) -> int:
    return reader.rows(_ARRIVED, index)[0][0]
