"""Windows for tests of what is computed from them: a channel's figures by their place on the grid."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.windows import Window
from protocol import quality as q

STEP_MS = 300_000
START_MS = 1_767_200_400_000  # 2026-01-01 00:00 at GMT+7


def made(
    symbol: str,
    i: int,
    value: float | None,
    quality: int = q.OK,
    unit: str = "mg/l",
    revision: int = 1,
    step_ms: int = STEP_MS,
) -> Window:
    """The window number `i` since START_MS."""
    start_ms = START_MS + i * step_ms
    valid = 10 if quality == q.OK else 0
    return Window(
        symbol, unit, start_ms, start_ms + step_ms, revision, value, quality, q.status(quality), valid, 10,
        valid / 10, value, value, "",
    )  # fmt: skip


def channel(symbol: str, values: Sequence[float | None], unit: str = "mg/l") -> dict[int, Window]:
    """A channel's windows by their start; None is NO_DATA."""
    rows = [
        made(symbol, i, value, q.NO_DATA if value is None else q.OK, unit) for i, value in enumerate(values)
    ]
    return {row.start_ms: row for row in rows}
