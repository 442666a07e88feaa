"""Hours, 8-hour means and days on their way to alerts: which are whole, or revised, by new entries.

Rule 1: a mean is whole once a window was closed that ends with it or later; from then on each revision of
        one of its windows gives it anew (hours.py). Whoever looks again at the same entries finds the same.
Rule 2: windows of one transaction are never looked at apart.
On the journal's reading thread.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from gateway import hours
from gateway.journal.kinds import WINDOW
from gateway.journal.reader import WINDOW_COLUMNS, Reader
from gateway.limits.choose import DAY, HOUR, HOURS_8
from gateway.windows import Window, parse_body
from gateway.zone import DAY_MS, HOUR_MS, start_of

AT_ONCE = 20_000
"""Entries looked at in one go: some 50 ms of the reading thread."""


class Span(NamedTuple):
    """How long a mean is, and how far one is from the next."""

    length_ms: int
    step_ms: int


SPANS = {
    HOUR: Span(HOUR_MS, HOUR_MS),
    HOURS_8: Span(hours.MOVING_HOURS * HOUR_MS, HOUR_MS),
    DAY: Span(DAY_MS, DAY_MS),
}
_TOUCHED = f"SELECT body FROM entry WHERE idx > ? AND idx <= ? AND kind = {WINDOW} ORDER BY idx"
_OTHER = f"SELECT MIN(idx) FROM entry WHERE idx > ? AND kind <> {WINDOW}"
_BEFORE = "SELECT MAX(start_ms) FROM window WHERE start_ms < ?"
_ROWS = f"SELECT idx, {WINDOW_COLUMNS} FROM window WHERE start_ms >= ? AND start_ms < ? AND idx <= ?"
_WHOLE = "SELECT MIN(idx) FROM window WHERE start_ms = (SELECT MIN(start_ms) FROM window WHERE start_ms >= ?)"
_LENGTH = (
    "SELECT end_ms - start_ms FROM window WHERE start_ms >= ? AND start_ms < ? ORDER BY start_ms DESC LIMIT 1"
)
_NEWEST = "SELECT end_ms FROM window WHERE idx <= ? ORDER BY start_ms DESC LIMIT 1"


def stop_of(reader: Reader, after: int, end: int) -> int:
    """Up to where it is looked now: at most AT_ONCE entries, whole transactions (rule 2)."""
    stop = min(end, after + AT_ONCE)
    if stop < end:
        ((other,),) = reader.rows(_OTHER, stop)
        return end if other is None else min(end, other - 1)
    return end


def made(
    reader: Reader, name: str, symbols: Collection[str], after: int, stop: int, valid_share_min: float
) -> list[Window]:
    """Means of one kind that entries after < idx <= stop make whole or revise, in their order of time."""
    span = SPANS[name]
    touched = {parse_body(body)[0].start_ms for (body,) in reader.rows(_TOUCHED, after, stop)}
    # A window makes what the one before it lies in whole, too, where those in between were skipped.
    touched |= {reader.rows(_BEFORE, start_ms)[0][0] for start_ms in touched} - {None}
    starts: set[int] = set()
    for time_ms in touched:
        last = start_of(time_ms, span.step_ms)
        starts |= set(range(last, time_ms - span.length_ms, -span.step_ms))
    found: list[Window] = []
    for start_ms in sorted(starts):
        found += _mean(reader, name, symbols, start_ms, after, stop, valid_share_min)
    return found


def newest(reader: Reader, name: str, through: int) -> int | None:
    """The start of the newest mean that the entries up to `through` make whole; None without any window."""
    rows = reader.rows(_NEWEST, through)
    span = SPANS[name]
    return start_of(rows[0][0] - span.length_ms, span.step_ms) if rows else None


def _mean(
    reader: Reader, name: str, symbols: Collection[str], start_ms: int, after: int, stop: int, share: float
) -> list[Window]:
    end_ms = start_ms + SPANS[name].length_ms
    rows = reader.rows(_ROWS, start_ms, end_ms, stop)
    if not rows:
        return []
    ((length_ms,),) = reader.rows(_LENGTH, start_ms, end_ms)
    ((whole,),) = reader.rows(_WHOLE, end_ms - length_ms)
    if whole is None or whole > stop:
        return []
    later = {(w.start_ms, w.revision) for idx, w in map(_row, rows) if w.revision > 1 and idx > whole}
    if whole <= after and not any(idx > after for idx, *_ in rows):
        return []  # nothing of it is new
    fresh: dict[tuple[int, str], Window] = {}
    for _, window in map(_row, rows):
        place = (window.start_ms, window.symbol)
        if window.symbol in symbols and (place not in fresh or window.revision > fresh[place].revision):
            fresh[place] = window
    return _of(name, list(fresh.values()), start_ms, 1 + len(later), share)


def _of(name: str, windows: list[Window], start_ms: int, revision: int, share: float) -> list[Window]:
    if name == DAY:
        return hours.days(windows, revision, share)
    if name == HOUR:
        return hours.of(windows, revision, share)
    by_hour: dict[int, list[Window]] = {}
    for window in windows:
        by_hour.setdefault(hours.hour_of(window.start_ms), []).append(window)
    each = [hour for found in by_hour.values() for hour in hours.of(found, revision, share)]
    return [mean for mean in hours.moving(each, revision, share) if mean.start_ms == start_ms]


def _row(row: tuple) -> tuple[int, Window]:
    idx, *columns = row
    return idx, Window._make(columns)
