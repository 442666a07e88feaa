"""Whether the gateway truly works: systemd is told only while it does, and starts it afresh else.

Rule 1: the loop turns: whoever asks here runs in it.
Rule 2: the journal is written. One that says nothing and moves nothing (a disk that hangs, a mistake of ours)
        may take SILENT_S. One that says why it cannot store is tried again by itself and told at /healthz:
        only after REFUSED_S a new process is worth a try, since it loses what waits in memory.
Rule 3: sources are served: windows are looked at, and each bus gives rows at its instants, if only "silent".
        Whatever is away (a device, a server) is no reason: a new process would not find it either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

SILENT_S = 120.0
REFUSED_S = 900.0
SERVED_S = 900.0
"""Also what a bus may take beyond twice its slowest poll."""


class _Counter:
    """Since when a counter that should move stands still."""

    def __init__(self) -> None:
        self._value = -1
        self._since_s = 0.0

    def still_s(self, value: int, due: bool, now_s: float) -> float:
        """0 while it moves, and while it need not."""
        if value != self._value or not due:
            self._value, self._since_s = value, now_s
        return now_s - self._since_s


class Heartbeat:
    """Over a running gateway's journal, intake and lines; `now_s()` is a clock that never steps."""

    def __init__(self, journal: Any, intake: Any, lines: Mapping[str, Any], now_s: Callable[[], float]):
        self._journal, self._intake, self._lines, self._now_s = journal, intake, lines, now_s
        self._silent, self._refused, self._turns = _Counter(), _Counter(), _Counter()
        self._rows = {id: _Counter() for id in lines}

    def reason(self) -> str:
        """Why it does not work, a sentence; "" while it does. To be asked every few seconds."""
        now_s, journal = self._now_s(), self._journal
        waits = bool(journal.pending_entries)
        silent_s = self._silent.still_s(journal.commits, waits and not journal.status, now_s)
        refused_s = self._refused.still_s(journal.commits, waits or bool(journal.status), now_s)
        turned_s = self._turns.still_s(self._intake.turns, True, now_s)
        if silent_s > SILENT_S:
            return f"The journal has written nothing for {silent_s:.0f} s, and does not say why."
        if refused_s > REFUSED_S:
            return f"The journal has stored nothing for {refused_s:.0f} s: {journal.status}"
        if turned_s > SERVED_S:
            return f"No window was looked at for {turned_s:.0f} s."
        for id, line in self._lines.items():
            still_s = self._rows[id].still_s(line.counters.rows, not journal.full, now_s)
            if still_s > SERVED_S + 2 * max(poll.poll_ms for poll in line.polls) / 1000:
                return f"The bus {id} has given no row for {still_s:.0f} s."
        return ""


def reloading() -> str:
    """To systemd: the same process goes on, and will be ready again."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=restarting"
