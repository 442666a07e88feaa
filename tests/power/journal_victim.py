"""A process that keeps a real journal, and says what it promises: to be killed, cut off, or given a bad disk.

    python -m tests.power.journal_victim JOURNAL SAID SEED JOBS [OPTION...]

Its jobs look like a station's: frames and polled readings, windows with the documents they give, marks of
deliveries, several jobs at once or one after the other. Everything it promises goes to the file SAID, one
JSON object a line, at the moment when it is promised:

    {"held": n, "unsigned": why} the journal was opened; whoever asks is told that n entries are held, and why
                                 nothing is signed ("" when all is well)
    {"submit": i, "bodies": [...], "documents": [...], "delivered": [...]}
    {"done": i}                  acknowledged: job i
    {"status": text}             what the status page shows
    {"failed": i, "why": text}   told that job i never will be on disk
    {"closing": true}            it ends now
    {"cannot": text}             the journal could not be opened

--sessions N   closed and opened again N - 1 times on the way
--first N      goes on with a journal: its jobs are counted from N
--gate         waits, once open, until the file SAID.gate is there
--sign         every window signs a checkpoint, remembered beside the journal as the gateway does
--normal       control: PRAGMA synchronous = NORMAL
--delete       control: PRAGMA journal_mode = DELETE, what SQLite falls back to when it cannot make its log
--early        control: acknowledges when it submits
--apart        control: the entry that tells of a delivery is not in the transaction of its mark
--believe      control: opens SQLite's log as it is found, without writing it once more
--sqlite       control: SQLite moves its log by itself, in a COMMIT
--carelessly   control: syncs no folder that it made
--ahead        control: remembers each checkpoint when it is signed, before the COMMIT
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from gateway.counters import Counters
from gateway.errors import JournalError
from gateway.journal import database, durable, wal, writer
from gateway.journal.bodies import DELIVERED
from gateway.journal.checkpoints import Checkpoints, origin
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, FRAME, POLL, WINDOW
from gateway.journal.outbox import JournalOutbox
from gateway.journal.writer import Entry
from gateway.windows import Window

TAG = b"Q-"
"""What the bodies of this victim's entries begin with: the journal's own entries do not."""
SOURCES = ("gateway", "device/st-01", "device/st-02", "bus/tank", "device/after")
DESTINATIONS = ("province", "national")
LOG_BYTES = 8 * 1024
"""Of SQLite's log before it is moved into the database; the real gateway's is 8 MiB."""
LOG = origin("LCa", "DEMO", "NUO001")
NOW_MS = 1_774_400_000_000
FAULTS = 12
"""Errors of the disk after which it gives up and ends."""
RETRY_S = 0.002
"""Pause after an error of the disk; the real gateway's grows to 10 s."""


class Apart(JournalOutbox):
    """Tells first, and marks then."""

    async def delivered(self, ids) -> None:
        ids = list(ids)
        await self._journal.commit(entries=JournalOutbox._told(self, ids, DELIVERED, NOW_MS))
        await super().delivered(ids)

    def _told(self, *arguments) -> list[Entry]:
        return []


class Ahead(Checkpoints):
    """Remembers what may never be in the journal."""

    def sign(self, size: int, root: bytes) -> bytes | None:
        note = super().sign(size, root)
        if note is not None:
            self.remember(note)
        return note


class How(NamedTuple):
    """A victim's ways: its options."""

    connect: Callable[[str], sqlite3.Connection] = database.connect
    sessions: int = 1
    first: int = 0
    gate: bool = False
    sign: type[Checkpoints] | None = None
    early: bool = False
    outbox: type[JournalOutbox] = JournalOutbox


def connect_normal(path: str) -> sqlite3.Connection:
    connection = database.connect(path)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def connect_delete(path: str) -> sqlite3.Connection:
    connection = database.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    return connection


def connect_believing(path: str) -> sqlite3.Connection:
    database.write_log_again = lambda path: None
    return database.connect(path)


def connect_and_let_sqlite(path: str) -> sqlite3.Connection:
    wal.Wal.grown = lambda self: False
    connection = database.connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 6")
    return connection


def opened(path: Path, how: How) -> Journal:
    journal = Journal(path, how.connect, how.sign(path.parent, LOG) if how.sign else None)
    journal.open(SOURCES)
    return journal


def window(i: int, symbol: str) -> Window:
    start_ms = NOW_MS + 300_000 * i
    return Window(
        symbol, "mg/L", start_ms, start_ms + 300_000, 1, i + 0.5, 0, "00", 12, 12, 1.0, 0.0, 9.0, ""
    )


class Victim:
    """The jobs of one seed, and what was promised about them."""

    def __init__(self, journal: Journal, fd: int, seed: int, how: How):
        self.journal = journal
        self.fd = fd
        self.rng = Random(seed)
        self.early = how.early
        self.make_outbox = how.outbox
        self.number = how.first  # of the next job
        self.sequences = {source: journal.position(source)[1] for source in SOURCES}
        self.undelivered: list[tuple[str, str]] = []
        self.use(journal)

    def use(self, journal: Journal) -> None:
        """Go on with this one, opened a moment ago."""
        self.journal = journal
        self.ending = False
        self.outbox = self.make_outbox(journal, lambda: NOW_MS, Counters())
        journal.hear_of_status = lambda text: self.say(status=text)
        self.say(held=journal.size, unsigned=journal.unsigned)

    def say(self, **what) -> None:
        os.write(self.fd, json.dumps(what).encode() + b"\n")

    def entry(self, i: int, number: int) -> Entry:
        kind, source = self.rng.choice(
            ((FRAME, "device/st-01"), (FRAME, "device/st-02"), (POLL, "bus/tank"), (EVENT, "gateway"))
        )
        size = self.rng.choice((20, 60, 150, 400, 400, 5000 if self.rng.random() < 0.2 else 700))
        body = TAG + b"%d/%d " % (i, number) + self.rng.randbytes(size)
        first = last = self.sequences[source] + 1
        if kind == EVENT:
            first = last = 0
        else:
            self.sequences[source] = last = first + self.rng.randrange(12)
        at_ms = NOW_MS + 1000 * i
        boot = 0 if kind == EVENT else 1
        return Entry(kind, self.journal.source(source), boot, first, last, at_ms, i, at_ms, at_ms + 999, body)

    def work(self) -> dict:
        """The next job: arguments of Journal.submit(). Says what it is."""
        i, rng = self.number, self.rng
        self.number += 1
        work: dict = {
            "entries": [self.entry(i, n) for n in range(rng.choice((1, 1, 2, 3, 6)))],
            "now_ms": NOW_MS,
        }
        if rng.random() < 0.3:
            source = self.journal.source("gateway")
            work["windows"] = [
                (
                    w,
                    Entry(
                        WINDOW, source, 0, 0, 0, w.end_ms, i, None, None, TAG + b"%d/" % i + w.symbol.encode()
                    ),
                )
                for w in (window(i, "COD"), window(i, "pH"))
            ]
            work["drafts"] = [
                (
                    where,
                    f"window/{i}/1",
                    kind,
                    f"{i}.txt",
                    "",
                    NOW_MS,
                    rng.randbytes(rng.choice((80, 900, 3000))),
                )
                for where, kind in zip(DESTINATIONS, ("windows", "readings"), strict=True)
            ]
            self.undelivered += [(where, f"window/{i}/1") for where in DESTINATIONS]
        bodies = [e.body for e in work["entries"]] + [e.body for _, e in work.get("windows", ())]
        documents = [(d[0], d[1], d[2], d[6].hex()) for d in work.get("drafts", ())]
        self.say(submit=i, bodies=[body.hex() for body in bodies], documents=documents, delivered=[])
        return work

    async def run(self, jobs: int) -> None:
        """So many jobs, in the ways the gateway has: waited for, several at once, deliveries between them."""
        waiting: list[asyncio.Task] = []
        end = self.number + jobs
        while self.number < end and not self.ending:
            chance = self.rng.random()
            if chance < 0.25 and self.undelivered:
                await asyncio.gather(*waiting)
                if not self.ending:
                    await self.deliver()
            else:
                waiting.append(asyncio.create_task(self.commit(self.number, self.work())))
            if chance > 0.5:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)

    async def commit(self, i: int, work: dict) -> None:
        if self.ending:
            return
        if self.early:
            self.say(done=i)
        try:
            await self.journal.commit(**work)
        except JournalError as error:
            self.say(failed=i, why=str(error))
            return
        if not self.early:
            self.say(done=i)

    async def deliver(self) -> None:
        """Mark the oldest documents as delivered."""
        count = self.rng.randint(1, len(self.undelivered))
        now, self.undelivered = self.undelivered[:count], self.undelivered[count:]
        found = {}
        try:
            for destination in DESTINATIONS:
                for document in await self.outbox.pending(destination, 0, 1000):
                    found[destination, document.key] = document.id
        except (JournalError, RuntimeError):  # the disk says no, or it was closed meanwhile
            return
        if self.ending:
            return
        i = self.number
        self.number += 1
        self.say(submit=i, bodies=[], documents=[], delivered=now)
        if self.early:
            self.say(done=i)
        try:
            await self.outbox.delivered([found[each] for each in now if each in found])
        except JournalError as error:
            self.say(failed=i, why=str(error))
            return
        if not self.early:
            self.say(done=i)


def fork_on_demand() -> None:
    """A victim for each line on standard input, JOURNAL SAID SEED FIRST OPTION..., that works until it is
    killed.

    Its process id is printed. A fork, because starting Python takes longer than such a victim lives.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    database.WAL_BYTES = LOG_BYTES
    for line in sys.stdin:
        path, said, seed, first, *options = line.split()
        child = os.fork()
        if child == 0:
            sign = Checkpoints if "--sign" in options else None
            how = How(first=int(first), sign=sign, early="--early" in options)
            asyncio.run(main(Path(path), Path(said), int(seed), 10_000, how))
            os._exit(0)
        print(child, flush=True)


async def main(path: Path, said: Path, seed: int, jobs: int, how: How) -> None:
    fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    victim = None
    for session in range(how.sessions):
        try:
            journal = opened(path, how)
        except JournalError as error:
            os.write(fd, json.dumps({"cannot": str(error)}).encode() + b"\n")
            return
        journal.start()
        if how.gate:
            victim = Victim(journal, fd, seed, how)
            while not said.with_suffix(".gate").exists():
                await asyncio.sleep(0.001)
        if victim is None:
            victim = Victim(journal, fd, seed, how)
        else:
            victim.use(journal)
        running = asyncio.create_task(
            victim.run(jobs * (session + 1) // how.sessions - jobs * session // how.sessions)
        )
        while not (running.done() and (journal.status == "" or journal.stopped)) and journal.faults < FAULTS:
            await asyncio.sleep(0.005)
        victim.ending = True
        victim.say(closing=True)
        await journal.close(timeout_s=2.0)
        await running


def start(options: list[str]) -> None:
    writer.RETRY_S = (RETRY_S,)
    database.WAL_BYTES = LOG_BYTES
    if "--carelessly" in options:
        durable.make_folder = lambda folder, mode=0o777: folder.mkdir(mode, parents=True, exist_ok=True)
    number = {
        name: int(options[options.index(name) + 1]) for name in ("--sessions", "--first") if name in options
    }
    makes = {
        "--normal": connect_normal,
        "--delete": connect_delete,
        "--believe": connect_believing,
        "--sqlite": connect_and_let_sqlite,
    }
    how = How(
        next((make for option, make in makes.items() if option in options), database.connect),
        number.get("--sessions", 1),
        number.get("--first", 0),
        "--gate" in options,
        Ahead if "--ahead" in options else Checkpoints if "--sign" in options else None,
        "--early" in options,
        Apart if "--apart" in options else JournalOutbox,
    )
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), how))


if __name__ == "__main__":
    if sys.argv[1] == "--forks":
        fork_on_demand()
    else:
        start(sys.argv[5:])
