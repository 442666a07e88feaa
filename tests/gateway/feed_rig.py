"""A journal that signs, with windows of one's choice, alerts as the intake writes them, and its feeds."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.alerts import Alerts, learn
from gateway.config import Config
from gateway.counters import Counters
from gateway.feed import Feed, Source
from gateway.feed_entries import AlertSource, EventSource
from gateway.feed_hours import HourSource
from gateway.journal import database
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, WINDOW
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import reading
from gateway.journal.writer import Entry
from gateway.windows import Window, body
from protocol import cbor
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.journal_rig import SOURCES, frames
from tests.gateway.test_provincial import T0

LENGTH_MS = 300_000
LOCAL = '[[destination]]\nid = "local"\nkind = "directory"\npath = "sent"\n'
POLICE = '[[destination]]\nid = "police"\nkind = "mqtt"\nhost = "127.0.0.1"\n'
PLAIN = "warn_share = 1.0, clear_share = 1.0"  # no warning, and cleared by the first within the limit
CHANNELS = channel("COD", "mg/l", 2, f'limits = {{ max = 75.0, basis = "QCVN 40:2011 A", {PLAIN} }}')
CHANNELS += channel("pH", "", 2, f"limits = {{ min = 6.0, max = 9.0, {PLAIN} }}") + channel("Temp", "oC", 1)


def config_of(folder: Path, *words: str, destinations: str = LOCAL + "SEND" + POLICE + "SEND") -> Config:
    """Two destinations that get `words`."""
    send = "send = [" + ", ".join(f'"{word}"' for word in words) + "]\n"
    return configured(folder, CHANNELS, destinations.replace("SEND", send))


def window(
    symbol: str, start_ms: int, value: float | None, quality: int = q.OK, revision: int = 1,
    length_ms: int = LENGTH_MS, **more: Any,
) -> Window:  # fmt: skip
    good = quality == q.OK
    return Window(
        symbol, "mg/l", start_ms, start_ms + length_ms, revision, value, quality, q.status(quality),
        30 if good else 0, 30, float(good), value if good else None, value if good else None, "", 1.5,
    )._replace(**more)  # fmt: skip


class Written:
    """A gateway's journal, without what measures: `close()` is a transaction of windows."""

    def __init__(self, config: Config, connect: Any = database.connect):
        self.config = config
        self.connect = connect
        self.state_dir = config.gateway.state_dir
        self.now_ms = T0
        self.documents = 0

    async def open(self) -> Written:
        signing = Checkpoints(self.state_dir, "quantrac/LCa/DEMO/NUO001")
        self.journal = Journal(self.state_dir / "journal.db", self.connect, checkpoints=signing)
        self.journal.open(SOURCES)
        with reading(self.journal.path) as reader:
            self.alerts = Alerts(self.config.channel, *learn(reader))
        self.journal.start()
        self.outbox = JournalOutbox(self.journal, lambda: self.now_ms, Counters())
        await self.outbox.load()
        return self

    def feed(self, *sources: type[Any]) -> Feed:
        made: Sequence[Source] = [
            source(self.config, self.journal) for source in sources or (HourSource, EventSource, AlertSource)
        ]
        return Feed(self.config, self.journal, self.outbox, made)

    async def close(
        self, start_ms: int, values: Mapping[str, float | None], revision: int = 1, quality: int = q.OK
    ) -> None:
        """Windows of one start, in the transaction that the intake makes of them; readings come before."""
        rows = [window(symbol, start_ms, value, quality, revision) for symbol, value in values.items()]
        await self.closed(rows)

    async def closed(self, rows: Sequence[Window]) -> None:
        self.now_ms = max(self.now_ms, rows[0].end_ms + 2000)
        boot = self.journal.position("device/st-01")[0] + 1
        await self.journal.commit(entries=frames(self.journal, 1, 2, boot=boot))
        told = [self.event(alert.event()) for alert in self.alerts.closed(rows)]
        through = self.journal.submitted
        windows = [(row, self.entry(WINDOW, body(row, through))) for row in rows]
        await self.journal.commit(entries=told, windows=windows, now_ms=self.now_ms)

    def entry(self, kind: int, data: bytes, source: str = "gateway") -> Entry:
        return Entry(kind, self.journal.source(source), 0, 0, 0, self.now_ms, 5, None, None, data)

    def event(self, data: bytes) -> Entry:
        return self.entry(EVENT, data)

    async def say(self, *body: Any, kind: int = EVENT) -> None:
        """An entry of its own."""
        told = body[0] if len(body) == 1 and isinstance(body[0], dict) else list(body)
        await self.journal.commit(entries=[self.entry(kind, cbor.dumps(told))], now_ms=self.now_ms)

    def queued(self, destination: str = "police", kind: str = "") -> list[tuple[str, str, bytes]]:
        """(key, name, body) of what is in its outbox, in order."""
        with contextlib.closing(sqlite3.connect(self.journal.path)) as connection:
            return connection.execute(
                "SELECT key, name, body FROM outbox WHERE destination = ? AND kind LIKE ? ORDER BY id",
                (destination, kind or "%"),
            ).fetchall()

    def messages(self, destination: str = "police", kind: str = "") -> list[dict[str, Any]]:
        return [json.loads(data) for _, _, data in self.queued(destination, kind)]


async def all_of(feed: Feed) -> None:
    while await feed.look():
        pass


@contextlib.asynccontextmanager
async def written(config: Config) -> AsyncIterator[Written]:
    opened = await Written(config).open()
    try:
        yield opened
    finally:
        await opened.journal.close(timeout_s=2.0)
