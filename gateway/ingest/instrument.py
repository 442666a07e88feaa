"""What a line knows of one instrument: its requests, which of them are left alone for now, and why."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from gateway.ingest.backoff import Backoff
from gateway.ingest.counters import UnitCounters
from gateway.ingest.planner import Block
from protocol import quality

OTHER_REQUESTS_MAX = 3
"""Probes with other requests before a silent instrument's connection is doubted."""


class Instrument:
    """A Modbus unit on a line. `backoff` is the instrument's own, `blocks` holds each request's."""

    def __init__(self, number: int, counters: UnitCounters, rng: Random):
        self.number = number
        self.counters = counters
        self.backoff = Backoff(rng)
        self.blocks: dict[Block, Backoff] = {}
        self.polls: list[int] = []  # places in the line's list of polls
        self.reason = quality.TIMEOUT  # of the newest request that was not answered
        self.doubt: tuple[Block | None, int] = (None, 0)
        """On RS-485, the question that may be answered late, and until when (monotonic ns)."""
        self._rng = rng
        self._turn = 0

    def add(self, poll: int, blocks: Iterable[Block]) -> None:
        """One of its polls, by its place in the line's list, with its requests."""
        self.polls.append(poll)
        self.blocks.update((block, Backoff(self._rng)) for block in blocks)

    @property
    def silent(self) -> bool:
        """Whether it is left alone, but for probes."""
        return self.backoff.failures > 0

    @property
    def away(self) -> bool:
        """Silent on more than the one request that began it, unless it has no other."""
        return self.backoff.failures > min(len(self.blocks), OTHER_REQUESTS_MAX)

    @property
    def all_silent(self) -> bool:
        """Whether each of its requests is left alone by itself."""
        return all(alone.failures for alone in self.blocks.values())

    def troubled(self, block: Block) -> bool:
        """Whether this request was not answered the last time."""
        return self.blocks[block].failures > 0

    def next_probe(self) -> Block:
        """Each request in turn: one of them may be one that it never answers."""
        self._turn += 1
        return list(self.blocks)[self._turn % len(self.blocks)]

    def leave_alone(self, now_ns: int) -> None:
        """It did not answer, again or for the first time."""
        self.counters.backoff_s = round(self.backoff.fail(now_ns), 3)

    def is_back(self, block: Block) -> None:
        """It answered a probe; its other requests are tried at once, yet once only."""
        self.backoff.reset()
        self.counters.backoff_s = 0.0
        self.blocks[block].reset()
        for alone in self.blocks.values():
            alone.hurry()
