"""How much of something is done for somebody who sends without end. Pure."""

from __future__ import annotations


class Bucket:
    """`most` at once, and one more every `every_s` seconds."""

    def __init__(self, most: int, every_s: float):
        self._most = most
        self._every_s = every_s
        self._left = float(most)
        self._at_s: float | None = None
        self._missed = 0

    def take(self, now_s: float) -> int | None:
        """None: not now. Else how many were passed over before this one. `now_s` never steps."""
        if self._at_s is not None:
            self._left = min(self._most, self._left + (now_s - self._at_s) / self._every_s)
        self._at_s = now_s
        if self._left < 1:
            self._missed += 1
            return None
        self._left -= 1
        missed, self._missed = self._missed, 0
        return missed
