"""Vietnam's time: GMT+7 all the year, as the regulation names it. Pure; never the machine's own time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

GMT7_S = 7 * 3600
GMT7_MS = GMT7_S * 1000
GMT7 = timezone(timedelta(seconds=GMT7_S))
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = 253_402_214_400_000
"""A day before the year 10000, which RFC 3339 cannot write."""
TEXT_MAX = 40


def start_of(time_ms: int, length_ms: int) -> int:
    """The start of the span of this length, on the grid of GMT+7, that holds a moment (Unix ms)."""
    return time_ms - (time_ms + GMT7_MS) % length_ms


def day_of(time_ms: int) -> int:
    """The start of the day that holds a moment (Unix ms)."""
    return start_of(time_ms, DAY_MS)


def date_of(time_ms: int) -> date:
    """The day that it is at a moment (Unix ms)."""
    return datetime.fromtimestamp(time_ms / 1000, GMT7).date()


def moment_ms(text: str) -> int:
    """Unix ms of 2026-03-25, 2026-03-25T10:00, 20260325100000 (GMT+7), or with an offset.

    ValueError for anything else, and for what was before 1970 there.
    """
    if len(text) == 14 and text.isascii() and text.isdigit():
        time = datetime.strptime(text, "%Y%m%d%H%M%S")
    elif len(text) <= TEXT_MAX:
        time = datetime.fromisoformat(text)
    else:
        raise ValueError("too long for a time")
    if time.tzinfo is None:
        time = time.replace(tzinfo=GMT7)
    found = (time - EPOCH) // timedelta(milliseconds=1)
    if not -GMT7_MS <= found < LATEST_MS:
        raise ValueError(f"{text!r} is too far away")
    return found
