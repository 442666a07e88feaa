"""Watching for interruptions while the gateway runs: their entries, and the notice after twelve hours.

Rule 1: whatever goes wrong here holds up neither readings nor documents.
Rule 2: what the first windows of a start show, and what a version before left unsaid, is said a moment later:
        the newest windows are looked at once more.
Rule 3: a notice is a draft for a person, in state_dir/notices/, and stays a problem in the status while the
        interruption lasts. Its entry has the file's hash; it is drafted once for each interruption.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.config_model import Config
from gateway.errors import JournalError
from gateway.forward.worker import Worker
from gateway.interruptions import (
    CHANNEL,
    DESTINATION,
    EVENT_NAME,
    Interruption,
    Interruptions,
    latest,
    parse,
)
from gateway.journal import durable
from gateway.journal.bodies import event
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.reports import interruption as texts
from gateway.reports.interruption import Listed
from gateway.reports.layout import stamp
from gateway.windows import Window
from protocol import cbor

log = get_logger("interruptions")

LOOK_S = 5.0
"""How often it is looked, in real seconds."""
RECENT_MS = 12 * 3_600_000
"""Windows that are looked at again at a start: more than a crash can have left unsaid."""
NOTICE_NAME = "notice"
FOLDER = "notices"
_WINDOWS = (  # of a channel: all, and those whose newest revision has a good value
    "SELECT COUNT(*), SUM(status <> '02') FROM (SELECT status, MAX(revision) FROM window "
    "WHERE symbol = ? AND start_ms >= ? AND start_ms < ? GROUP BY start_ms)"
)
_DOCUMENTS = "SELECT COUNT(*), SUM(state = 1) FROM outbox WHERE destination = ? AND at_ms >= ? AND at_ms < ?"
_NEWEST = "SELECT COALESCE(MAX(start_ms), 0) FROM window"

_Key = tuple[tuple[str, str], int]


def said(reader: Reader, name: str) -> list[bytes]:
    """Bodies of the events called `name`, in the journal's order."""
    return [entry.body for entry in reader.entries(kinds=(EVENT,)) if event(entry.body)[0] == name]


def listed(reader: Reader) -> list[Interruption]:
    """All interruptions that a journal tells of."""
    return latest(filter(None, map(parse, said(reader, EVENT_NAME))))


class Notices:
    """`moment()` is (station time, monotonic) in ms. closed() hears of windows; run() does the rest."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        moment: Callable[[], tuple[int, int]],
        workers: Mapping[str, Worker],
    ):
        self._config = config
        self._journal = journal
        self._moment = moment
        self._workers = workers
        self._there = {(CHANNEL, channel.symbol) for channel in config.channel}
        self._there |= {(DESTINATION, id) for id in workers}
        self._heard: list[Window] = []
        self._drafted: set[_Key] = set()
        self._watch: Interruptions | None = None  # until the journal was read
        self._unsaid: list[Interruption] = []  # begun or ended, not in the journal yet

    @property
    def known(self) -> bool:
        """Whether the journal was read: before, nobody knows what is open."""
        return self._watch is not None

    @property
    def open(self) -> list[Interruption]:
        """What is interrupted at the moment, the oldest first."""
        lasting = () if self._watch is None else self._watch.open.values()
        return sorted(lasting, key=lambda one: (one.from_ms, one.what))

    def closed(self, windows: Sequence[Window]) -> list[bytes]:
        """These windows are about to be closed, or revised: EVENT entries for their transaction. Until the
        journal was read there are none: look() says then what they show.
        """
        if self._watch is None:
            self._heard += windows
            return []
        said = self._watch.closed(windows)
        _log(said)
        return [one.event() for one in said]

    def problems(self) -> Iterator[str]:
        """Sentences for the status."""
        now_ms, _ = self._moment()
        for one in self.open:
            if (one.what, one.from_ms) in self._drafted:
                yield (
                    f"The {' '.join(one.what)} has been interrupted for {one.lasts_ms(now_ms) / 3.6e6:.0f} "
                    f"hours ({one.cause}): complete the notice in {self._folder}, and send it."
                )

    @property
    def _folder(self):
        return self._config.gateway.state_dir / FOLDER

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (JournalError, OSError) as error:
                log.warning("interruptions wait", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Say what has begun and ended since the last time, and draft what is due."""
        if self._watch is None:
            await self._recall()
            assert self._watch is not None
        heard, self._heard = self._heard, []
        self._unsaid += self._watch.closed(heard)
        now_ms, _ = self._moment()
        for id, worker in self._workers.items():
            counters = worker.counters
            oldest_ms = counters.oldest_unsent_ms
            due_ms = None if oldest_ms is None else oldest_ms + counters.delay_ms
            change = self._watch.behind(id, due_ms, now_ms, counters.last_error)
            if change is not None:
                self._unsaid.append(change)
        self._unsaid += self._watch.forget(self._there, now_ms)
        if self._unsaid:
            await self._commit([one.event() for one in self._unsaid])
            _log(self._unsaid)
            self._unsaid = []
        due = [one for one in self._watch.notices_due(now_ms) if (one.what, one.from_ms) not in self._drafted]
        if due:
            await self._draft(due, now_ms)

    async def _recall(self) -> None:
        known, recent, drafted = await self._journal.read(_recalled)
        watch = Interruptions(known)
        told = {(one.what, one.from_ms, one.to_ms) for one in known}
        self._unsaid = [one for one in watch.closed(recent) if (one.what, one.from_ms, one.to_ms) not in told]
        self._watch, self._drafted = watch, drafted

    async def _draft(self, due: list[Interruption], now_ms: int) -> None:
        data = texts.notice(self._config.station, due, now_ms).encode()
        path = self._folder / f"notice-{stamp(now_ms)}.txt"
        await asyncio.to_thread(_write, path, data)
        about = [[*one.what, one.from_ms] for one in due]
        digest = hashlib.sha256(data).digest()
        await self._commit([cbor.dumps([NOTICE_NAME, "gateway", about, path.name, digest])])
        self._drafted |= {(one.what, one.from_ms) for one in due}
        log.warning("a notice of an interruption is drafted", file=str(path))

    async def _commit(self, bodies: list[bytes]) -> None:
        await self._journal.tell(EVENT, bodies, self._moment())


def _log(said: Iterable[Interruption]) -> None:
    for one in said:
        log.info("interruption", what=" ".join(one.what), ended=one.to_ms is not None, cause=one.cause)


def listed_of_month(reader: Reader, from_ms: int, to_ms: int, now_ms: int) -> list[Listed]:
    """Interruptions that touch from_ms <= time < to_ms, the oldest first, with what was made up for since."""
    found = []
    for one in listed(reader):
        end_ms = now_ms if one.to_ms is None else one.to_ms
        if one.from_ms < to_ms and end_ms >= from_ms:
            kind, name = one.what
            sql = _WINDOWS if kind == CHANNEL else _DOCUMENTS
            ((count, made_up),) = reader.rows(sql, name, one.from_ms, end_ms)
            found.append(Listed(one, count, made_up or 0))
    return found


def _recalled(reader: Reader) -> tuple[list[Interruption], list[Window], set[_Key]]:
    """On the journal's reading thread."""
    newest_ms = reader.rows(_NEWEST)[0][0]
    recent = reader.windows(newest_ms - RECENT_MS, newest_ms + 1)
    drafted: set[_Key] = set()
    for body in said(reader, NOTICE_NAME):
        found: Any = cbor.loads(body)
        drafted |= {((kind, name), from_ms) for kind, name, from_ms in found[2]}
    return listed(reader), recent, drafted


def _write(path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    durable.replace(path, data)
