"""When a line asks what: due instants on the station clock's grid, at most one waiting for each poll.

Rule 1: a poll is due where (t - phase_ms) % poll_ms == 0 in station time.
Rule 2: late polls are not queued. An instant that still waits when the next one comes is counted as skipped
        and replaced by it, so that an overloaded line gives fresh values at the pace it can hold.
Rule 3: of the polls that wait, the one served longest ago goes first: no instrument starves.
Rule 4: within a line station time does not step back. Where the clock is set back by at most HOLD_MS, the
        line's time stands still until the clock has caught up: no instant is served twice. A larger step
        cannot be sat out (the station would be blind): it is taken over and counted, and the schedule starts
        afresh; so it does after a step forward, whose instants never were and are not counted as skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

HOLD_MS = 10_000
"""Longest step back that is waited out. An NTP client slews what is below 128 ms and steps the rest."""
FORWARD_MS = 5_000
"""Station time that runs ahead of the monotonic clock by more than this, between two looks, is a step."""


class StationClock(Protocol):
    """What a line needs of gateway.clock.Clock."""

    def now_ms(self) -> int: ...

    def mono_ns(self) -> int: ...

    async def sleep_until(self, station_ms: int) -> None: ...


class LineTime:
    """A line's own view of station time: see rule 4. `era` grows with every step that was taken over."""

    def __init__(self, clock: StationClock):
        self._clock = clock
        self._simulated = getattr(clock, "simulated", False)  # may run at any speed: no step forward is seen
        self._last_ms = clock.now_ms()
        self._last_ns = clock.mono_ns()
        self.era = 0
        self.step_ms = 0
        """The newest step that was taken over, in ms, negative when back."""

    def now_ms(self) -> int:
        """Station time, Unix ms, never less than before unless `era` has grown."""
        now, mono = self._clock.now_ms(), self._clock.mono_ns()
        behind = self._last_ms - now
        ahead = -behind - (mono - self._last_ns) // 1_000_000
        self._last_ns = mono
        if 0 < behind <= HOLD_MS:
            return self._last_ms
        if behind > 0 or (ahead > FORWARD_MS and not self._simulated):
            self.era += 1
            self.step_ms = -behind if behind > 0 else ahead
        self._last_ms = now
        return now


class Schedule:
    """Due instants of several polls, given as (poll_ms, phase_ms)."""

    def __init__(self, polls: Sequence[tuple[int, int]], on_skipped: Callable[[int, int], None]):
        """`on_skipped(poll, count)` is called for instants that are given up."""
        self._polls = polls
        self._on_skipped = on_skipped
        self._due = [0] * len(polls)
        self._served = list(range(-len(polls), 0))
        self._turn = 0

    def restart(self, now_ms: int) -> None:
        """Every poll waits for its first instant at or after `now_ms`."""
        for i, (poll_ms, phase_ms) in enumerate(self._polls):
            self._due[i] = now_ms + (phase_ms - now_ms) % poll_ms

    def take(self, now_ms: int) -> tuple[int, int] | None:
        """The poll to serve now, as (poll, its due instant), or None when nothing is due."""
        best = -1
        for i, due in enumerate(self._due):
            if due > now_ms:
                continue
            missed = (now_ms - due) // self._polls[i][0]
            if missed:
                self._due[i] = due + missed * self._polls[i][0]
                self._on_skipped(i, missed)
            if best < 0 or self._served[i] < self._served[best]:
                best = i
        if best < 0:
            return None
        due = self._due[best]
        self._due[best] = due + self._polls[best][0]
        self._served[best] = self._turn
        self._turn += 1
        return best, due

    def next_ms(self) -> int:
        """The earliest instant that waits to be served."""
        return min(self._due)

    def next_of(self, polls: Sequence[int]) -> int | None:
        """The same, of these polls only; None for none."""
        return min([self._due[i] for i in polls], default=None)
