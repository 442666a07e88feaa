"""The disk says no: nothing is reported done that is not on disk, and afterwards nothing is missing or there
twice.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database, writer
from gateway.journal.kinds import EVENT, FRAME, POLL
from gateway.journal.leaf import leaf
from tests.gateway.journal_rig import Disk, all_done, bodies, frames, io_error, with_journal

JOBS = 40
SOME = 3
"""Entries in each job."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", (0.01,))


def run_with(path: Path, disk: Disk) -> tuple[list, list[str]]:
    """Submit JOBS jobs; returns the jobs in the order they were reported done, and the status texts."""

    async def use(journal):
        done, texts = [], []
        journal.hear_of_status = texts.append
        for i in range(JOBS):

            def reported(job):
                assert job.error is None
                with sqlite3.connect(path) as other:  # what a second process sees at this moment
                    count = other.execute("SELECT COUNT(*) FROM entry").fetchone()[0]
                other.close()
                assert count >= job.first + len(job), "reported done, and not on disk"
                done.append(job)

            journal.submit(frames(journal, 1 + i * 10 * SOME, SOME), done=reported)
            if i % 3 == 0:
                await asyncio.sleep(0.002)
        await all_done(JOBS, done)
        assert journal.status == ""
        assert journal.faults == disk.failed if not disk.after else journal.faults >= 1
        return done, texts

    return with_journal(path, use, disk)


def expected_bodies() -> list[bytes]:
    return [b"frame 1/%d of device/st-01" % (1 + 10 * i) for i in range(JOBS * SOME)]


@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN IMMEDIATE", "INSERT INTO entry"])
@pytest.mark.parametrize("nth", [2, 3, 5])
@pytest.mark.parametrize("after", [False, True], ids=["undone", "done-but-said-no"])
def test_the_nth_write_fails_once(tmp_path, statement, nth, after):
    failed = []

    def plan(sql, commits):
        if sql.startswith(statement) and commits >= nth and not failed:
            failed.append(sql)
            return io_error()
        return None

    disk = Disk(plan, after)
    path = tmp_path / "journal.db"
    done, texts = run_with(path, disk)
    assert failed and disk.opened == 2
    assert [job.first for job in done] == [i * SOME for i in range(JOBS)]
    assert bodies(path) == expected_bodies()
    assert any("disk I/O error" in text for text in texts) and texts[-1] == ""


def test_it_fails_for_a_while_and_at_reopening_too(tmp_path):
    touched = []

    def plan(sql, commits):
        if commits < 3 or not (sql == "COMMIT" or sql.startswith("PRAGMA wal_checkpoint")):
            return None
        touched.append(sql)
        return io_error() if len(touched) <= 12 or len(touched) in (15, 16) else None

    path = tmp_path / "journal.db"
    done, _ = run_with(path, Disk(plan))
    assert len(done) == JOBS and bodies(path) == expected_bodies()
    assert any(sql.startswith("PRAGMA") for sql in touched)


def test_the_commit_is_never_tried_again_on_the_same_connection(tmp_path):
    """An fsync that failed once proves nothing when it is repeated: after an error comes a new connection."""
    commits_by_connection: list[list[str]] = []

    class Watched(Disk):
        def __call__(self, path):
            commits_by_connection.append([])
            return super().__call__(path)

    def plan(sql, commits):
        if sql == "COMMIT":
            commits_by_connection[-1].append("no" if commits in (2, 3, 5) else "yes")
            return io_error() if commits in (2, 3, 5) else None
        return None

    path = tmp_path / "journal.db"
    run_with(path, Watched(plan))
    assert len(commits_by_connection) == 4
    assert all("no" not in commits[:-1] for commits in commits_by_connection)


def test_patience_is_shared_and_ends(tmp_path):
    """Patient jobs wait for one commit; an impatient one, a crowd and the end take them along."""

    async def use(journal):
        done = []

        def submit(first, patience_s, source="device/st-01"):
            entries = frames(journal, first, 1, source)
            journal.submit(entries, done=done.append, patience_s=patience_s)

        submit(1, 600)
        submit(11, 600)
        await asyncio.sleep(0.3)
        assert done == [] and journal.commits == 0
        await journal.commit(entries=frames(journal, 1, 1, "device/st-02"))
        assert len(done) == 2 and journal.commits == 1
        for i in range(writer.CROWD - 1):
            submit(21 + 10 * i, 600)
        submit(11, 600, "device/st-02")
        await asyncio.sleep(0.3)
        assert len(done) == 2
        submit(101, 600)
        async with asyncio.timeout(20):
            while len(done) < 2 + writer.CROWD + 1:
                await asyncio.sleep(0.01)
        submit(111, 0.2)
        submit(121, 600)
        async with asyncio.timeout(20):
            while len(done) < 4 + writer.CROWD + 1:
                await asyncio.sleep(0.01)
        submit(131, 600)

    path = tmp_path / "journal.db"
    with_journal(path, use)
    assert len(bodies(path)) == 2 + 1 + writer.CROWD + 1 + 2 + 1, "closing takes the last along"


@pytest.mark.parametrize(
    ("kind", "entries", "rows", "at_once"),
    [
        (FRAME, 2, writer.CROWD_RECORDS // 2, True),  # many records in few frames
        (FRAME, 2, writer.CROWD_RECORDS // 2 - 1, False),
        (POLL, 50, 64, False),  # nobody stands still for the gateway's own instruments
        (POLL, 1, writer.CROWD_BYTES, True),
    ],
)
def test_what_is_much_is_written_at_once(tmp_path, kind, entries, rows, at_once):
    async def use(journal):
        for i in range(entries):
            body = bytes(rows) if rows == writer.CROWD_BYTES else b"x"
            first = 1 + i * rows
            entry = (kind, 2, 1, first, first + rows - 1, 1000, 5, None, None, body)
            journal.submit([entry], patience_s=600)
        if not at_once:
            await asyncio.sleep(0.3)
            assert journal.commits == 0
            return
        async with asyncio.timeout(20):
            while not journal.commits:
                await asyncio.sleep(0.01)

    with_journal(tmp_path / "journal.db", use)


def test_it_fails_for_ever(tmp_path):
    path = tmp_path / "journal.db"

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 1))
        broken.append(True)
        done = []
        journal.submit(frames(journal, 11, 5), done=done.append)
        async with asyncio.timeout(20):
            while journal.faults <= 2:
                await asyncio.sleep(0.01)
        assert done == [] and "disk I/O error" in journal.status and not journal.stopped
        assert journal.pending_entries == 5
        await journal.close(timeout_s=2.0)
        await asyncio.sleep(0)
        assert len(done) == 1 and isinstance(done[0].error, JournalError)  # told, not left waiting

    broken: list[bool] = []
    with_journal(path, use, Disk(lambda sql, commits: io_error() if broken and sql == "COMMIT" else None))
    assert len(bodies(path)) == 1


def test_a_full_disk_and_then_room(tmp_path):
    """SQLITE_FULL from the database itself, by its page limit."""
    path = tmp_path / "journal.db"
    pages = [40]

    def connect(name):
        connection = database.connect(name)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    async def use(journal):
        done = []
        big = [entry._replace(body=entry.body + bytes(3000)) for entry in frames(journal, 1, 60)]
        for start in range(0, 60, 2):
            journal.submit(big[start : start + 2], done=done.append)
            await asyncio.sleep(0.001)
        while not journal.status:
            await asyncio.sleep(0.01)
        assert "full" in journal.status
        count = len(done)
        assert count < 30 and journal.size == 2 * count
        pages[0] = 10_000
        await all_done(30, done)
        assert journal.status == "" and journal.size == 60

    with_journal(path, use, connect)
    assert len(bodies(path)) == 60


_LIMITED = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from gateway.journal import writer
from tests.gateway.journal_rig import frames, with_journal
writer.RETRY_S = (0.02,)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def use(journal):
    done = []
    journal.submit(frames(journal, 1, 1), done=done.append)
    await journal.commit()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    for i in range(300):
        big = [e._replace(body=os.urandom(2000)) for e in frames(journal, 11 + 10 * i, 1)]
        journal.submit(big, done=done.append)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.3)
    assert journal.status, "no alarm"
    stuck = len(done)
    assert stuck < 301
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await journal.commit()
    print(stuck, len(done), journal.size, repr(journal.status))

with_journal(Path(sys.argv[1]), use)
"""


def test_the_file_size_limit_of_the_system(tmp_path):
    """A real write error from the kernel, in a process of its own."""
    path = tmp_path / "journal.db"
    result = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    stuck, done, size, status = result.stdout.split()
    assert (done, size, status) == ("301", "301", "''") and int(stuck) < 301
    assert len(bodies(path)) == 301
    assert resource.RLIMIT_FSIZE and signal.SIGXFSZ  # what this test rests on


def test_rows_that_do_not_fit_stop_it_and_are_not_tried_again(tmp_path):
    """That is no disk's fault: to write them once more would end the same way, for ever."""
    tried: list[str] = []

    def plan(sql, commits):
        if armed and sql.startswith("INSERT INTO entry"):
            tried.append(sql)
            return sqlite3.IntegrityError("UNIQUE constraint failed: entry.idx")
        return None

    armed: list[bool] = []
    path = tmp_path / "journal.db"

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 2))
        armed.append(True)
        with pytest.raises(JournalError, match=r"refused rows that must fit \(UNIQUE constraint"):
            await journal.commit(entries=frames(journal, 21, 5))
        assert journal.stopped and journal.refusing and "stopped" in journal.status
        with pytest.raises(JournalError):
            await journal.commit(entries=frames(journal, 71, 1))

    with_journal(path, use, Disk(plan))
    assert len(tried) == 1 and len(bodies(path)) == 2


def test_after_an_error_it_is_not_opened_while_somebody_reads_an_old_state(tmp_path, monkeypatch):
    """What lies in the log could be undone by the disk: it has to be moved first, and a reader keeps it."""
    monkeypatch.setattr("gateway.journal.database.BUSY_MS", 20)
    path = tmp_path / "journal.db"
    armed: list[bool] = []
    disk = Disk(lambda sql, commits: io_error() if armed and sql == "COMMIT" and armed.pop() else None)

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 2))
        other = sqlite3.connect(path)
        other.execute("BEGIN")
        assert other.execute("SELECT COUNT(*) FROM entry").fetchone() == (2,)
        await journal.commit(entries=frames(journal, 21, 2))  # behind what it reads
        armed.append(True)
        texts, done = [], []
        journal.hear_of_status = texts.append
        journal.submit(frames(journal, 41, 5), done=done.append)
        async with asyncio.timeout(60):
            while not any("while it is read" in text for text in texts):
                await asyncio.sleep(0.01)
            assert done == []
            other.close()
            while not done:
                await asyncio.sleep(0.01)
        assert done[0].error is None and journal.status == ""

    with_journal(path, use, disk)
    assert len(bodies(path)) == 9 and disk.failed == 1


def test_a_tail_that_nobody_can_explain_stops_it(tmp_path):
    """Somebody else wrote to the journal meanwhile: never guess, stop."""
    path = tmp_path / "journal.db"

    def meddle():
        with sqlite3.connect(path) as other:
            stranger = leaf(EVENT, "gateway", 1, 1, b"stranger")
            other.execute(
                "INSERT INTO entry SELECT MAX(idx) + 1, 4, 1, 0, 0, 0, 1, 1, NULL, NULL, ?, ? FROM entry",
                (stranger, b"stranger"),
            )
        other.close()

    def plan(sql, commits):
        return io_error() if armed and sql == "COMMIT" and armed.pop() else None

    class Meddled(Disk):
        def __call__(self, name):
            if self.opened:
                meddle()
            return super().__call__(name)

    armed: list[bool] = []

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 2))
        armed.append(True)
        with pytest.raises(JournalError, match="neither 2 nor 7"):
            await journal.commit(entries=frames(journal, 21, 5))
        assert journal.stopped and "stopped" in journal.status

    with_journal(path, use, Meddled(plan))
    assert len(bodies(path)) == 3
