"""Moments as people write them on the command line."""

from __future__ import annotations

from gateway.zone import moment_ms
from tools.people import UsageError


def time_ms(text: str, option: str) -> int:
    """Unix ms of 2026-03-25, 2026-03-25T10:00, 20260325100000 (GMT+7), or with an offset. UsageError."""
    try:
        return moment_ms(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no time: write it as 2026-03-25T10:00:00.") from None
