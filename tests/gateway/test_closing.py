"""Nobody waits for ever: neither for a journal that is closed, nor for one that was closed while the disk
refused or did not answer; and the status says so for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from gateway.errors import JournalError
from gateway.journal import writer
from gateway.journal.reader import Reader
from gateway.journal.writer import Writer
from tests.gateway.journal_rig import Disk, bodies, frames, io_error, opened, with_journal


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(writer, "RETRY_S", (0.01,))


async def closed(path):
    journal = opened(path)
    journal.start()
    await journal.commit(entries=frames(journal, 1, 1))
    await journal.close()
    return journal


def test_a_closed_journal_says_so_at_once(tmp_path):
    async def main():
        journal = await closed(tmp_path / "journal.db")
        assert journal.refusing and not journal.stopped
        with pytest.raises(JournalError, match="not open"):
            await journal.commit(entries=frames(journal, 11, 1))
        with pytest.raises(JournalError, match="not open"):
            await journal.read(Reader.size)
        done = []
        journal.submit(frames(journal, 11, 1), done=done.append)
        await asyncio.sleep(0)
        assert len(done) == 1 and isinstance(done[0].error, JournalError)
        assert journal.pending_entries == 0 and journal.submitted == 1
        await journal.close()

    asyncio.run(main())
    assert len(bodies(tmp_path / "journal.db")) == 1


def test_so_does_one_that_was_never_started(tmp_path):
    async def main():
        journal = opened(tmp_path / "journal.db")
        with pytest.raises(JournalError, match="not open"):
            await journal.commit()
        await journal.close()
        with pytest.raises(JournalError, match="not open"):
            await journal.commit()

    asyncio.run(main())


def test_jobs_while_it_is_being_closed_are_written_or_told(tmp_path):
    """Whatever the moment: one of both, once."""
    path = tmp_path / "journal.db"

    async def main():
        journal = opened(path)
        journal.start()
        done = []
        closing = asyncio.create_task(journal.close())
        for number in range(300):
            journal.submit(frames(journal, 1 + 10 * number, 1), done=done.append)
            await asyncio.sleep(0)
        await closing
        await asyncio.sleep(0)
        assert len(done) == 300 and len(set(map(id, done))) == 300 and journal.pending_entries == 0
        return [job for job in done if job.error is None]

    written = asyncio.run(main())
    assert len(bodies(path)) == len(written) > 0


def test_control_a_writer_that_takes_jobs_after_its_end_leaves_them_waiting(tmp_path, monkeypatch):
    def put(self, job):
        self._queue.put(job)
        return True

    async def main():
        journal = opened(tmp_path / "journal.db")
        journal.start()
        await asyncio.to_thread(journal._writer.stop)
        waiting = asyncio.create_task(journal.commit())
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
        waiting.cancel()
        await journal.close()

    monkeypatch.setattr(Writer, "put", put)
    asyncio.run(main())


def test_all_that_wait_are_told_when_it_is_closed_while_the_disk_refuses(tmp_path):
    path = tmp_path / "journal.db"
    broken = []

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 1))
        broken.append(True)
        waiting = [
            asyncio.create_task(journal.commit(entries=frames(journal, 11 + 10 * n, 1))) for n in range(20)
        ]
        while not journal.status:
            await asyncio.sleep(0.01)
        await journal.close(timeout_s=5.0)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, JournalError) for each in results)
        assert journal.pending_entries == 0 and journal.pending_bytes == 0

    with_journal(path, use, Disk(lambda sql, commits: io_error() if broken and sql == "COMMIT" else None))
    assert len(bodies(path)) == 1


def test_all_that_wait_are_told_when_the_disk_does_not_answer_and_only_once(tmp_path):
    """A COMMIT that hangs, and comes back when everybody was told: nobody hears of it again."""
    path = tmp_path / "journal.db"
    hangs, answers = threading.Event(), threading.Event()

    def plan(sql, commits):
        if sql == "COMMIT" and hangs.is_set():
            answers.wait()
        return None

    async def main():
        journal = opened(path, Disk(plan))
        journal.start()
        await journal.commit(entries=frames(journal, 1, 1))
        hangs.set()
        done = []
        for number in range(5):
            journal.submit(frames(journal, 11 + 10 * number, 1), done=done.append)
        await journal.close(timeout_s=0.2)
        assert len(done) == 5 and all(isinstance(job.error, JournalError) for job in done)
        answers.set()
        await asyncio.to_thread(journal._writer.stop)
        await asyncio.sleep(0.05)
        assert len(done) == 5

    asyncio.run(main())
    assert len(bodies(path)) == 6, "it was not known, and in the end it was written"


# The status -------------------------------------------------------------------------------------------------


def statuses(path, refusals: int) -> list[str]:
    """The disk lets itself be opened, and refuses so many COMMITs of the same jobs."""
    broken = []

    def plan(sql, commits):
        if sql == "COMMIT" and broken and len(broken) <= refusals:
            broken.append(sql)
            return io_error()
        return None

    async def use(journal):
        texts = []
        journal.hear_of_status = texts.append
        await journal.commit(entries=frames(journal, 1, 1))
        broken.append("from now on")
        await journal.commit(entries=frames(journal, 11, 1))
        assert journal.status == ""
        return texts

    texts = with_journal(path, use, Disk(plan))
    assert len(bodies(path)) == 2
    return texts


def blinks(texts: list[str]) -> bool:
    return "" in texts[:-1]


def test_the_status_lasts_until_something_was_committed(tmp_path):
    texts = statuses(tmp_path / "journal.db", 6)
    assert len(texts) == 7 and texts[-1] == "" and not blinks(texts)


def test_control_a_status_that_is_taken_back_when_the_database_was_opened_blinks(tmp_path, monkeypatch):
    reopen = Writer._reopen

    def blinking(self, error: sqlite3.Error, attempt: int) -> bool:
        reopened = reopen(self, error, attempt)
        self._alarm("")
        return reopened

    monkeypatch.setattr(Writer, "_reopen", blinking)
    assert blinks(statuses(tmp_path / "journal.db", 6))
