"""Moving SQLite's log into the database: as rarely as SQLite would, never in silence. It grows without end
only while somebody reads an old state without end.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database, wal, writer
from gateway.journal.wal import Wal
from tests.gateway.journal_rig import Connection, Disk, bodies, frames, io_error, with_journal

BYTES = 40 * 1024


@pytest.fixture(autouse=True)
def small_log(monkeypatch):
    monkeypatch.setattr(database, "WAL_BYTES", BYTES)
    monkeypatch.setattr(writer, "RETRY_S", (0.01,))


async def commit(journal, number: int, size: int = 3000) -> None:
    (entry,) = frames(journal, 1 + 10 * number, 1)
    await journal.commit(entries=[entry._replace(body=entry.body + os.urandom(size))])


def restarts(path: Path, connect=database.connect) -> list[int]:
    """After which of 200 commits the log began anew."""
    found, salt = [], b""

    async def use(journal):
        nonlocal salt
        for number in range(200):
            await commit(journal, number, 100 * (number % 50))
            with open(f"{path}-wal", "rb") as log:
                head = log.read(24)[16:]
            if salt not in (b"", head):
                found.append(number)
            salt = head

    with_journal(path, use, connect)
    assert len(bodies(path)) == 200
    return found


def by_sqlite(path: str) -> sqlite3.Connection:
    connection = database.connect(path)
    frame_bytes = 24 + connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA wal_autocheckpoint = {-(-BYTES // frame_bytes)}")
    return connection


def test_it_is_moved_exactly_when_sqlite_would_do_it(tmp_path, monkeypatch):
    ours = restarts(tmp_path / "ours.db")
    monkeypatch.setattr(Wal, "grown", lambda self: False)
    assert len(ours) > 5 and ours == restarts(tmp_path / "sqlite.db", by_sqlite)
    assert restarts(tmp_path / "never.db") == []


# Errors -----------------------------------------------------------------------------------------------------


def texts_of(path: Path, disk) -> list[str]:
    """Commits until the log was to be moved, and on; all must arrive. What the status said meanwhile."""

    async def use(journal):
        texts = []
        journal.hear_of_status = texts.append
        for number in range(60):
            await commit(journal, number)
        assert not journal.stopped
        return texts

    texts = with_journal(path, use, disk)
    assert len(bodies(path)) == 60
    return texts


def moving_fails(times: int):
    failed = []

    def plan(sql, commits):
        if commits > 5 and sql.startswith("PRAGMA wal_checkpoint") and len(failed) < times:
            failed.append(sql)
            return io_error()
        return None

    return plan


@pytest.mark.parametrize("times", [1, 4])
def test_an_error_of_moving_it_is_seen_and_the_database_opened_afresh(tmp_path, times):
    disk = Disk(moving_fails(times))
    texts = texts_of(tmp_path / "journal.db", disk)
    assert disk.failed == times and disk.opened == 1 + times, "tried again on the same connection"
    assert "disk I/O error" in texts[0] and texts[-1] == "" and texts.count("") == 1


@pytest.mark.parametrize("then", ["closed", "changed"])
def test_a_log_that_could_not_be_moved_and_the_journal_is_not_as_it_was(tmp_path, monkeypatch, then):
    """It is closed before the disk can be written again; or it comes back with another end: it stops."""
    path = tmp_path / "journal.db"

    class Cut(Disk):
        def __call__(self, name):
            if self.opened == 1 and then == "changed":
                connection = sqlite3.connect(path)
                connection.execute("DROP TRIGGER entry_stays")
                connection.execute("DELETE FROM entry WHERE idx = (SELECT MAX(idx) FROM entry)")
                connection.commit()
                connection.close()
            return super().__call__(name)

    fails = moving_fails(1 if then == "changed" else 1 << 30)
    texts: list[str] = []

    async def use(journal) -> int:
        """How many commits were acknowledged."""
        journal.hear_of_status = texts.append
        tasks = []
        while not texts:
            tasks.append(asyncio.create_task(commit(journal, len(tasks))))
            while not tasks[-1].done() and not texts:
                await asyncio.sleep(0.001)
        while then == "changed" and not journal.stopped:
            await asyncio.sleep(0.001)
        await journal.close(5.0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(error is None or isinstance(error, JournalError) for error in done)
        return done.count(None)

    acknowledged = with_journal(path, use, Cut(fails))
    if then == "changed":
        assert any("after a disk error it has" in text for text in texts), texts
        assert len(bodies(path)) == acknowledged - 1
    else:
        assert len(bodies(path)) == acknowledged >= 10


def test_a_log_that_cannot_be_looked_at_is_an_error_of_the_disk(tmp_path):
    connection = database.connect(tmp_path / "journal.db")
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        Wal(connection, str(tmp_path / "nowhere" / "journal.db"))
    log = Wal(connection, str(tmp_path / "journal.db"))
    assert not log.grown()
    log.close()
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        log.grown()
    connection.close()


def test_control_an_error_that_is_kept_to_itself_is_not_seen(tmp_path, monkeypatch):
    def move(self):
        try:
            moves(self)
        except sqlite3.Error:
            pass

    moves = Wal.move
    monkeypatch.setattr(Wal, "move", move)
    disk = Disk(moving_fails(1))
    assert texts_of(tmp_path / "journal.db", disk) == [] and disk.failed == 1


def test_what_was_committed_is_acknowledged_although_the_log_cannot_be_moved(tmp_path):
    """It is in the log, and the log is on disk. What comes later waits until the disk says yes."""

    async def use(journal):
        done, number = [], 0
        while not journal.status:
            journal.submit(frames(journal, 1 + 10 * number, 1), done=done.append)
            number += 1
            while len(done) < number and not journal.status:
                await asyncio.sleep(0.001)
        journal.submit(frames(journal, 100_001, 1), done=done.append)
        while journal.faults < 5:
            await asyncio.sleep(0.01)
        assert journal.size == len(done) > 5 and journal.status
        return len(done)

    path = tmp_path / "journal.db"
    number = with_journal(path, use, Disk(moving_fails(10_000)))
    assert len(bodies(path)) == number


# Readers ----------------------------------------------------------------------------------------------------


class Readers:
    """Somebody always reads; each for a while only."""

    def __init__(self, path: Path):
        self._path = path
        self._now: sqlite3.Connection | None = None

    def next(self) -> None:
        before, self._now = self._now, database.connect_to_read(self._path)
        self._now.execute("BEGIN")
        self._now.execute("SELECT COUNT(*) FROM entry").fetchone()
        if before is not None:
            before.close()

    def close(self) -> None:
        if self._now is not None:
            self._now.close()


def longest(path: Path, commits: int) -> int:
    """Bytes that the log grows to while readers come and go between all BEGINs and COMMITs."""
    readers, sizes = Readers(path), [0]

    class Read(Connection):
        def execute(self, sql, *parameters):
            if "RESTART" in sql:
                return self._while_they_come_and_go(sql)
            result = super().execute(sql, *parameters)
            if sql.startswith("BEGIN"):
                readers.next()
            elif sql == "COMMIT":
                sizes.append(Path(f"{path}-wal").stat().st_size)
            return result

        def _while_they_come_and_go(self, sql):
            moved = threading.Event()
            thread = threading.Thread(
                target=lambda: [readers.next() for _ in iter(lambda: moved.wait(0.005), True)]
            )
            thread.start()
            try:
                return super().execute(sql)
            finally:
                moved.set()
                thread.join()

    async def use(journal):
        for number in range(commits):
            await commit(journal, number)

    with_journal(path, use, lambda name: Read(database.connect(name), Disk(lambda sql, commits: None)))
    readers.close()
    assert len(bodies(path)) == commits
    return max(sizes)


def test_with_readers_who_come_and_go_it_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(wal, "RESTART_MS", 20_000)
    assert longest(tmp_path / "journal.db", 150) < 4 * BYTES


def test_control_without_holding_readers_up_it_grows_for_ever(tmp_path, monkeypatch):
    def move(self):
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._moved = self._frames

    monkeypatch.setattr(Wal, "move", move)
    assert longest(tmp_path / "journal.db", 150) > 6 * BYTES


def test_one_who_reads_an_old_state_keeps_it_and_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(wal, "RESTART_MS", 1)
    path = tmp_path / "journal.db"

    async def use(journal):
        await commit(journal, 0)
        reader = database.connect_to_read(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM entry").fetchone() == (1,)
        for number in range(1, 100):
            await commit(journal, number)
        assert reader.execute("SELECT COUNT(*) FROM entry").fetchone() == (1,)
        grown = Path(f"{path}-wal").stat().st_size
        reader.close()
        for number in range(100, 250):
            await commit(journal, number)
        assert journal.status == "" and journal.faults == 0
        return grown, Path(f"{path}-wal").stat().st_size

    grown, after = with_journal(path, use)
    assert grown > 3 * BYTES and after < grown + 2 * BYTES
    assert len(bodies(path)) == 250
