"""Shared by the tests of the journal: entries to append, and disks that say no."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from pathlib import Path

from gateway.journal import database
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT, FRAME
from gateway.journal.writer import Entry, Job

SOURCES = ("gateway", "device/st-01", "device/st-02")


def frames(
    journal: Journal, first: int, count: int, source: str = "device/st-01", boot: int = 1, rows: int = 10
) -> list[Entry]:
    """`count` entries of `rows` records each; the first record has sequence `first`."""
    number = journal.source(source)
    return [
        Entry(
            FRAME,
            number,
            boot,
            first + i * rows,
            first + (i + 1) * rows - 1,
            1000 + i,
            5,
            300_000 * i,
            300_000 * i + 9,
            b"frame %d/%d of %s" % (boot, first + i * rows, source.encode()),
        )
        for i in range(count)
    ]


def event(journal: Journal, text: str) -> Entry:
    return Entry(EVENT, journal.source("gateway"), 0, 0, 0, 1000, 5, None, None, text.encode())


def opened(path: Path, connect=database.connect) -> Journal:
    journal = Journal(path, connect)
    journal.open(SOURCES)
    return journal


def with_journal(path: Path, use, connect=database.connect):
    """Run the coroutine function `use(journal)` with a started journal, and close it."""

    async def main():
        journal = opened(path, connect)
        journal.start()
        try:
            return await use(journal)
        finally:
            await journal.close(timeout_s=2.0)

    return asyncio.run(main())


class Disk:
    """Makes connections whose statements fail as `plan(sql, number)` says: it returns an exception, or None.

    `number` counts the COMMITs, from 1, over all connections. With `after` the statement is carried out
    first: the disk has it, and says that it has not.
    """

    def __init__(self, plan, after: bool = False):
        self.plan = plan
        self.after = after
        self.commits = 0
        self.failed = 0
        self.opened = 0

    def __call__(self, path: str) -> Connection:
        self.opened += 1
        return Connection(database.connect(path), self)


class Connection:
    def __init__(self, real: sqlite3.Connection, disk: Disk):
        self._real = real
        self._disk = disk

    def execute(self, sql, *parameters):
        disk = self._disk
        if sql == "COMMIT":
            disk.commits += 1
        error = disk.plan(sql, disk.commits)
        if error is not None:
            disk.failed += 1
            if disk.after:
                self._real.execute(sql, *parameters)
            raise error
        return self._real.execute(sql, *parameters)

    def __getattr__(self, name):
        return getattr(self._real, name)


def io_error() -> sqlite3.OperationalError:
    return sqlite3.OperationalError("disk I/O error")


async def all_done(jobs_wanted: int, done: list[Job], seconds: float = 30.0) -> None:
    """Wait until that many jobs are done."""
    async with asyncio.timeout(seconds):
        while len(done) < jobs_wanted:
            await asyncio.sleep(0.01)


def bodies(path: Path) -> list[bytes]:
    """All entry bodies, in order, read with nothing of ours."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT idx, body FROM entry ORDER BY idx").fetchall()
    finally:
        connection.close()
    assert [idx for idx, _ in rows] == list(range(len(rows)))
    return [unpacked(body) for _, body in rows]


def unpacked(stored: bytes) -> bytes:
    """A body as it was given; of what the tests write, only what the journal packed begins with 0."""
    return zlib.decompress(stored[1:], wbits=-15) if stored[:1] == b"\0" else stored
