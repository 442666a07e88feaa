"""How a test says how much it did: `counted("cuts", 9560)`, once it knows that all of them held.

Rule 1: the words are those of wanted.py. Rule 2: without the recorder (make test) it costs an addition.
"""

from __future__ import annotations

from collections import Counter

_now: Counter[str] = Counter()


def counted(what: str, number: int) -> None:
    """`number` more of `what` were tried in the test that runs now."""
    _now[what] += number


def taken() -> dict[str, int]:
    """What was counted since the last call."""
    found = dict(_now)
    _now.clear()
    return found
