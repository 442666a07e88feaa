"""What people say of a channel's instrument: that it is calibrated or maintained, from when to when. Pure.

    ["mark", symbol, quality, from_ms, to_ms, who, reason]     an EVENT; quality OK: it is over at from_ms

Rule 1: a window that a mark touches is that, whatever its readings say: gateway.derive.by_hand().
Rule 2: a mark is of a limited time, and ends by itself. It begins at the earliest when it is said, and with
        the oldest open window (a device's clock may be ahead of ours), so that no window that was closed
        becomes another one by it.
Rule 3: what was said is an entry of the journal before the first window that it touches: whoever computes the
        windows again finds it there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from protocol import cbor
from protocol import quality as q

EVENT_NAME = "mark"
LENGTH_MS_MAX = 7 * 86_400_000
"""Longer work on an instrument is said again."""
MARKS_MAX = 1024
"""Marks of a channel that are remembered: more than two years with one a day."""


class Mark(NamedTuple):
    """What somebody said, as it is journaled."""

    symbol: str
    quality: int  # CALIBRATING, MAINTENANCE; OK: what was said of the channel is over
    from_ms: int
    to_ms: int
    who: str
    reason: str

    def event(self) -> bytes:
        """Body of the EVENT entry."""
        return cbor.dumps([EVENT_NAME, *self])


def parse(body: bytes) -> Mark:
    """The inverse of Mark.event(). ValueError, or CodecError, for what is none."""
    found: Any = cbor.loads(body)
    name, symbol, quality, from_ms, to_ms, who, reason, *_ = found
    known = name == EVENT_NAME and quality in (q.OK, q.CALIBRATING, q.MAINTENANCE)
    if not known or not all(type(time_ms) is int for time_ms in (from_ms, to_ms)):
        raise ValueError("this is no mark of a channel")
    return Mark(str(symbol), quality, from_ms, to_ms, str(who), str(reason))


class Marks:
    """All marks, in the order in which they were said."""

    def __init__(self) -> None:
        self._spans: dict[str, list[tuple[int, int, int]]] = {}  # by symbol: quality, from, to

    def take(self, mark: Mark) -> None:
        """Somebody said this."""
        ended = []
        for quality, from_ms, to_ms in self._spans.get(mark.symbol, ()):
            if to_ms > mark.from_ms:  # the newest word counts
                to_ms = max(from_ms, mark.from_ms)
            ended.append((quality, from_ms, to_ms))
        if mark.quality != q.OK:
            ended.append((mark.quality, mark.from_ms, mark.to_ms))
        self._spans[mark.symbol] = ended[-MARKS_MAX:]

    def of_window(self, symbol: str, start_ms: int, end_ms: int) -> int | None:
        """What a window is by what was said; None where nothing was said of it. Calibrating goes first."""
        found = [
            quality
            for quality, from_ms, to_ms in self._spans.get(symbol, ())
            if from_ms < end_ms and to_ms > start_ms and to_ms > from_ms
        ]
        return min(found, default=None)

    def now(self, symbol: str, time_ms: int) -> tuple[int, int] | None:
        """(quality, until when) of a channel at this moment; None where nothing is said."""
        for quality, from_ms, to_ms in reversed(self._spans.get(symbol, ())):
            if from_ms <= time_ms < to_ms:
                return quality, to_ms
        return None

    def copy(self) -> Marks:
        """The same, to be gone on with by itself."""
        other = Marks()
        other._spans = dict(self._spans)
        return other
