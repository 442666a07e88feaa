"""Moments as people write them on the command line."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tools.people import UsageError

GMT7 = timezone(timedelta(hours=7))


def time_ms(text: str, option: str) -> int:
    """Unix ms of 2026-03-25, 2026-03-25T10:00, 20260325100000 (GMT+7), or with an offset. UsageError."""
    try:
        if len(text) == 14 and text.isdigit():
            time = datetime.strptime(text, "%Y%m%d%H%M%S")
        else:
            time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=GMT7)
        return round(time.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text!r} is no time: write it as 2026-03-25T10:00:00.") from None
