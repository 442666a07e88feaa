"""Lengths and moments as a scenario writes them. Pure; ValueError says what to write instead.

length("1d 2h 30min") -> ms            "90s", "3d", "-2h"
moment("2d 06:30", begins) -> ms       local time of the third day; "06:30" is the first day's
begin("2026-03-25T00:00") -> Unix ms   local time, GMT+7
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from simulator.signals import DAY_MS, LOCAL_OFFSET_MS

_UNITS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": DAY_MS}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)"
_LENGTH = re.compile(rf"([+-]?)\s*((?:{_PART}\s*)+)")
_MOMENT = re.compile(r"(?:(\d+)d)?\s*(?:([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?)?")


def length(text: str) -> int:
    """Milliseconds."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{text}" is no length of time: write one such as "90s", "4h" or "1d 12h"')
    ms = sum(round(float(number) * _UNITS[unit]) for number, unit in re.findall(_PART, found[2]))
    return -ms if found[1] == "-" else ms


def moment(text: str, begins_ms: int) -> int:
    """Milliseconds since the beginning; before it they are negative."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None or not text.strip():
        raise ValueError(f'"{text}" is no moment: write day and local time, such as "1d 06:30" or "14:00"')
    day, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    midnight = begins_ms - (begins_ms + LOCAL_OFFSET_MS) % DAY_MS
    at = midnight + day * DAY_MS + hours * 3_600_000 + minutes * 60_000 + seconds * 1000
    if found[2] is None:  # "2d": two days after it began
        at = begins_ms + day * DAY_MS
    return at - begins_ms


def begin(text: str) -> int:
    """Unix ms of a local date and time."""
    try:
        local = datetime.fromisoformat(text)
        if local.tzinfo is not None:
            raise ValueError
    except ValueError:
        raise ValueError(f'"{text}" is no date and time: write it such as "2026-03-25T00:00"') from None
    return round(local.replace(tzinfo=UTC).timestamp() * 1000) - LOCAL_OFFSET_MS


def said(begins_ms: int, at_ms: int) -> str:
    """A moment as a scenario writes it."""
    local = begins_ms + LOCAL_OFFSET_MS
    day, rest = divmod(local + at_ms - (local - local % DAY_MS), DAY_MS)
    return f"{day}d {rest // 3_600_000:02}:{rest // 60_000 % 60:02}"
