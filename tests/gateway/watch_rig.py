"""A Watch over a journal with windows of one's choice; time, conditions and contacts are set by hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.alert_people import listed, sync
from gateway.alert_states import Alert, Book, parse
from gateway.alerts import learn
from gateway.conditions import Condition
from gateway.config import Config
from gateway.interruptions import Interruption
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.requests import ACKNOWLEDGE, Answer, Order
from gateway.watch import Watch
from protocol import quality as q
from tests.gateway.feed_rig import Written, written


class Watched:
    """One start of a gateway. `found`, `open`, `values` are what the other parts would say."""

    def __init__(self, at: Written):
        self.at = at
        self.mono_s = 1000.0
        self.found: list[Condition] = []
        self.open: list[Interruption] | None = []
        self.values: dict[str, tuple[float | None, int]] = {}
        self.watch = Watch(
            at.config, at.journal, at.alerts, lambda: (at.now_ms, int(self.mono_s * 1000)),
            lambda: self.found, lambda: self.open, lambda symbol: self.values.get(symbol, (None, q.NO_DATA)),
        )  # fmt: skip

    async def later(self, seconds: float) -> None:
        """Look now, and once more then."""
        await self.watch.look()
        self.mono_s += seconds
        self.at.now_ms += int(seconds * 1000)
        await self.watch.look()

    async def acknowledge(self, alert: str, by: str = "Lan", note: str = "") -> Answer:
        return await self.watch.acknowledge(Order(ACKNOWLEDGE, (), "", by, note, alert))

    def standing(self) -> list[tuple[str, str, str]]:
        """(rule, about, state)"""
        return [(row["rule"], row["about"], row["state"]) for row in self.watch.listed()]


@contextlib.asynccontextmanager
async def watched(config: Config) -> AsyncIterator[Watched]:
    async with written(config) as at:
        yield Watched(at)


def said(config: Config) -> list[Alert]:
    """Every alert entry of the journal, in order."""
    with reading(config.gateway.state_dir / "journal.db") as reader:
        return [found for entry in reader.entries(kinds=(EVENT,)) if (found := parse(entry.body or b""))]


def by_the_journal(path: Path, lasting: list[Interruption]) -> list[dict]:
    """What stands, learned as a start does."""
    with reading(path) as reader:
        book = Book(learn(reader)[0])
    sync(book, lasting)
    return listed(book)
