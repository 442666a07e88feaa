"""What a line counts. Everything here only grows, except where a field says that it is a state.

They balance: requests == answers + timeouts + bad_replies + exceptions + lost, for each unit, whenever no
request is under way; and for each channel, due instants == readings handed over + skipped polls of its poll.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

EWMA_WEIGHT = 0.1
"""Of the newest time in a smoothed one: about the last ten count."""


@dataclass(slots=True)
class UnitCounters:
    """One instrument on a line."""

    polls: int = 0  # due instants served, with or without values
    skipped_polls: int = 0  # due instants given up because the line was busy
    requests: int = 0
    answers: int = 0  # with the data asked for
    timeouts: int = 0
    bad_replies: int = 0  # damaged, or an answer to something else
    exceptions: int = 0  # Modbus exceptions
    lost: int = 0  # the connection went while the request was under way
    probes: int = 0  # requests made only to see whether it is back
    backoff_s: float = 0.0  # state: wait before the next probe; 0 while it answers
    response_ms: float = 0.0  # state: smoothed time from request to answer
    late_ms: float = 0.0  # state: smoothed time from due instant to request, in station time
    last_ok_ms: int = 0  # state: station time of the last answer, 0 = never

    def late(self, ms: int) -> None:
        """A due instant is served `ms` after it came."""
        self.late_ms += EWMA_WEIGHT * (ms - self.late_ms)

    def answered(self, response_ms: float, now_ms: int) -> None:
        self.answers += 1
        weight = EWMA_WEIGHT if self.last_ok_ms else 1.0
        self.response_ms += weight * (response_ms - self.response_ms)
        self.last_ok_ms = now_ms


@dataclass(slots=True)
class LineCounters:
    """One physical line and its instruments."""

    up: bool = False  # state: connected, or port open
    down_reason: str = ""  # state: why not, a sentence
    connects: int = 0
    connect_failures: int = 0
    losses: int = 0  # connections that ended, ended ones of ours included
    clock_steps: int = 0  # steps of station time that the line took over
    rows: int = 0  # readings handed to the sink, all channels
    units: dict[int, UnitCounters] = field(default_factory=dict)
    polled: list[tuple[tuple[int, ...], list[int]]] = field(default_factory=list)
    """(channels, [times handed to the sink]) of each poll: its channels are always handed over together."""

    def unit(self, number: int) -> UnitCounters:
        """The counters of a unit, made at first use."""
        return self.units.setdefault(number, UnitCounters())

    def read(self) -> dict[int, int]:
        """Readings handed to the sink, by index into config.channel."""
        return {channel: times[0] for channels, times in self.polled for channel in channels}

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain types, for the page and the metrics."""
        names = ("up", "down_reason", "connects", "connect_failures", "losses", "clock_steps", "rows")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        found["units"] = {number: asdict(unit) for number, unit in self.units.items()}
        found["read"] = self.read()
        return found
