"""Hours for `send = ["hours"]` (gateway/hours.py). Position: the number of a WINDOW entry.

Rule 1: an hour goes out when an entry makes it whole or revises it, as it is with all entries up to there:
        whoever looks again at the same entries makes the same hour, under the same key.
Rule 2: windows of one transaction are never looked at apart.
"""

from __future__ import annotations

from gateway.documents import Draft, hour_drafts
from gateway.feed import Source
from gateway.hours import HOUR_MS, hour_of, of
from gateway.journal.kinds import WINDOW
from gateway.journal.reader import WINDOW_COLUMNS, Reader
from gateway.windows import Window, parse_body

AT_ONCE = 20_000
"""Entries looked at in one go: some 50 ms of the reading thread."""

_TOUCHED = f"SELECT body FROM entry WHERE idx > ? AND idx <= ? AND kind = {WINDOW} ORDER BY idx"
_OTHER = f"SELECT MIN(idx) FROM entry WHERE idx > ? AND kind <> {WINDOW}"
_BEFORE = "SELECT MAX(start_ms) FROM window WHERE start_ms < ?"
_ROWS = f"SELECT idx, {WINDOW_COLUMNS} FROM window WHERE start_ms >= ? AND start_ms < ? AND idx <= ?"
_NEXT = "SELECT MIN(start_ms) FROM window WHERE start_ms >= ?"
_FIRST = "SELECT MAX(idx) FROM window WHERE start_ms = ? AND revision = 1"
_LENGTH = (
    "SELECT end_ms - start_ms FROM window WHERE start_ms >= ? AND start_ms < ? ORDER BY start_ms DESC LIMIT 1"
)
_NEWEST = "SELECT MAX(start_ms) FROM window"


class HourSource(Source):
    send = "hours"

    def before_newest(self, reader: Reader, end: int) -> int:
        newest_ms = reader.rows(_NEWEST)[0][0]
        while newest_ms is not None:
            start_ms = hour_of(newest_ms)
            if made := _made(reader, start_ms, end):
                return made[0] - 1
            newest_ms = reader.rows(_BEFORE, start_ms)[0][0]
        return -1

    def drafts(self, reader: Reader, after: int, end: int, checkpoint: bytes) -> tuple[list[Draft], int]:
        stop = _stop(reader, min(end, after + AT_ONCE), end)
        starts = {parse_body(body)[0].start_ms for (body,) in reader.rows(_TOUCHED, after, stop)}
        before = {reader.rows(_BEFORE, start_ms)[0][0] for start_ms in starts} - {None}
        # A window makes the hour of the one before it whole, too, where those in between were skipped.
        hours = {hour_of(start_ms) for start_ms in starts | before}
        drafts: list[Draft] = []
        for start_ms in sorted(hours):
            made = _made(reader, start_ms, stop)
            if made and made[-1] > after:
                rows = _newest(reader, start_ms, stop)
                share = self._config.gateway.valid_share_min
                drafts += hour_drafts(self._config, of(rows, len(made), share), checkpoint)
        return drafts, stop


def _stop(reader: Reader, stop: int, end: int) -> int:
    """Where windows that were written together end (rule 2)."""
    if stop < end:
        ((other,),) = reader.rows(_OTHER, stop)
        return end if other is None else min(end, other - 1)
    return end


def _last_start(reader: Reader, start_ms: int) -> int:
    """From when on a window makes this hour whole: the start of its last one."""
    rows = reader.rows(_LENGTH, start_ms, start_ms + HOUR_MS)
    return start_ms + HOUR_MS - rows[0][0]


def _made(reader: Reader, start_ms: int, stop: int) -> list[int]:
    """The last entry of what made each revision of an hour, with the entries up to `stop`; [] while the hour
    is not whole.
    """
    rows = reader.rows(_ROWS, start_ms, start_ms + HOUR_MS, stop)
    if not rows:
        return []
    ((whole_ms,),) = reader.rows(_NEXT, _last_start(reader, start_ms))
    if whole_ms is None:
        return []
    ((whole,),) = reader.rows(_FIRST, whole_ms)
    if whole is None or whole > stop:
        return []
    later: dict[tuple[int, int], int] = {}
    for idx, *columns in rows:
        window = Window._make(columns)
        if window.revision > 1 and idx > whole:
            place = (window.start_ms, window.revision)
            later[place] = max(later.get(place, 0), idx)
    return [whole, *sorted(later.values())]


def _newest(reader: Reader, start_ms: int, stop: int) -> list[Window]:
    """The newest revision of each window of an hour, with the entries up to `stop`."""
    found: dict[tuple[int, str], Window] = {}
    for _, *columns in reader.rows(_ROWS, start_ms, start_ms + HOUR_MS, stop):
        window = Window._make(columns)
        place = (window.start_ms, window.symbol)
        if place not in found or window.revision > found[place].revision:
            found[place] = window
    return list(found.values())
