"""The outbox in the journal: in with their windows, oldest first, marked durably, once."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from gateway.counters import Counters
from gateway.journal import outbox as outbox_module
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader
from tests.gateway.journal_rig import Disk, io_error, with_journal

NOW = 1_774_397_400_000


def draft(number: int, destination: str = "province", kind: str = "windows", body: bytes = b"x") -> tuple:
    return (
        destination,
        f"{kind}/{number}",
        kind,
        f"{number}.txt",
        "2026/03/25",
        NOW + number * 300_000,
        body,
    )


def with_outbox(path, use, connect=None):
    async def inner(journal):
        counters = Counters()
        outbox = JournalOutbox(journal, lambda: NOW, counters)
        await outbox.load()
        return await use(outbox, counters, journal)

    return with_journal(path, inner, *([connect] if connect else []))


def test_oldest_first_and_only_what_is_pending(tmp_path):
    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(10)] + [draft(3, "national", body=b"y")])
        first = await outbox.pending("province", 0, 4)
        assert [document.name for document in first] == ["0.txt", "1.txt", "2.txt", "3.txt"]
        assert first[0][1:] == ("province", "windows/0", "windows", "0.txt", "2026/03/25", NOW, b"x", 0)
        assert [d.name for d in await outbox.pending("province", first[-1].id, 3)] == [
            "4.txt",
            "5.txt",
            "6.txt",
        ]
        assert [d.body for d in await outbox.pending("national", 0, 9)] == [b"y"]
        await outbox.delivered([first[0].id, first[2].id])
        await outbox.failed(first[1].id, "no such folder", park=True)
        await outbox.failed(first[3].id, "connection reset", park=False)
        [next_one, *_] = await outbox.pending("province", 0, 9)
        assert (next_one.name, next_one.attempts) == ("3.txt", 1)
        found = counters.destination("province")
        assert (found.queued, found.delivered, found.parked, found.waiting) == (10, 2, 1, 7)

    with_outbox(tmp_path / "journal.db", use)


def test_a_key_is_queued_once_for_ever(tmp_path):
    path = tmp_path / "journal.db"

    async def one(outbox, counters, journal):
        await outbox.queue([draft(1, body=b"first")])
        await outbox.queue([draft(1, body=b"second"), draft(2)])
        documents = await outbox.pending("province", 0, 9)
        assert [d.body for d in documents] == [b"first", b"x"]
        await outbox.delivered([documents[0].id])
        assert counters.destination("province").queued == 2

    async def two(outbox, counters, journal):
        await outbox.queue([draft(1, body=b"third")])
        assert [d.name for d in await outbox.pending("province", 0, 9)] == ["2.txt"]
        assert counters.destination("province").snapshot() == {
            "queued": 2,
            "delivered": 1,
            "parked": 0,
        }

    with_outbox(path, one)
    with_outbox(path, two)


def test_marks_are_on_disk_when_they_return(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(3)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        await outbox.delivered(ids[:1])
        await outbox.failed(ids[1], "x" * 2000, park=True)
        with sqlite3.connect(path) as other:
            rows = other.execute(
                "SELECT state, LENGTH(last_error), settled_ms FROM outbox ORDER BY id"
            ).fetchall()
        other.close()
        assert rows == [(1, 0, NOW), (2, outbox_module.ERROR_LENGTH_MAX, NOW), (0, 0, None)]

    with_outbox(path, use)


def test_passing_documents_leave_no_row_but_are_counted(tmp_path):
    path = tmp_path / "journal.db"

    async def one(outbox, counters, journal):
        await outbox.queue([draft(i, kind="readings") for i in range(5)])
        ids = [d.id for d in await outbox.pending("province", 0, 3)]
        await outbox.delivered(ids)
        await outbox.delivered(ids)  # said again: nothing changes
        assert await journal.read(Reader.rows, "SELECT COUNT(*) FROM outbox") == [(2,)]
        await outbox.queue([draft(9, kind="readings")])
        newest = (await outbox.pending("province", 0, 9))[-1]
        assert newest.id > max(ids) and newest.name == "9.txt"

    async def two(outbox, counters, journal):
        found = counters.destination("province")
        assert (found.queued, found.delivered, found.waiting) == (6, 3, 3)

    with_outbox(path, one)
    with_outbox(path, two)


def test_a_number_is_never_given_twice_while_a_worker_may_remember_it(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "PASSING_PATIENCE_S", 0.0)

    async def use(outbox, counters, journal):
        seen = 0
        for i in range(50):
            await outbox.queue([draft(i, kind="readings")])
            [document] = await outbox.pending("province", seen, 9)
            assert document.id > seen
            seen = document.id
            await outbox.delivered([seen])

    with_outbox(tmp_path / "journal.db", use)


def test_workers_are_woken_when_there_is_something_to_fetch(tmp_path):
    async def use(outbox, counters, journal):
        event = outbox.event("province")
        woken = []

        async def worker():
            await event.wait()
            woken.append(len(await outbox.pending("province", 0, 9)))

        task = asyncio.create_task(worker())
        await outbox.queue([draft(1, "national")])
        await asyncio.sleep(0.05)
        assert woken == []
        await outbox.queue([draft(1)])
        await task
        assert woken == [1]

    with_outbox(tmp_path / "journal.db", use)


@pytest.mark.parametrize("after", [False, True])
def test_a_disk_error_while_marking(tmp_path, after, monkeypatch):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.01,))
    armed: list[bool] = []

    def plan(sql, commits):
        return io_error() if sql == "COMMIT" and armed and armed.pop() else None

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i, kind="readings") for i in range(4)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        armed.append(True)
        await outbox.delivered(ids[:3])
        armed.append(True)
        await outbox.queue([draft(7)])
        assert [d.name for d in await outbox.pending("province", 0, 9)] == ["3.txt", "7.txt"]
        found = (await journal.read(Reader.outbox))["province"]
        assert (found["queued"], found["delivered"], found["pending"]) == (5, 3, 2)
        counted = counters.destination("province")
        assert (counted.queued, counted.delivered) == (5, 3)

    with_outbox(tmp_path / "journal.db", use, Disk(plan, after))


@pytest.mark.parametrize(
    ("kind", "others", "waits"),
    [("readings", 0, True), ("status", 0, True), ("readings", 1, False), ("windows", 0, False)],
)
def test_the_mark_of_what_passes_rides_with_the_next_commit(tmp_path, monkeypatch, kind, others, waits):
    """... where nothing else of its destination is to be sent; any other mark is a commit at once."""
    monkeypatch.setattr(outbox_module, "PASSING_PATIENCE_S", 3600.0)

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i, kind=kind) for i in range(1 + others)])
        [first, *_] = await outbox.pending("province", 0, 9)
        before = journal.commits
        marking = asyncio.create_task(outbox.delivered([first.id]))
        if waits:
            await asyncio.sleep(0.2)
            assert not marking.done() and journal.commits == before
            await outbox.queue([draft(50)])
        async with asyncio.timeout(60):
            await marking
        assert journal.commits == before + 1
        assert counters.destination("province").delivered == 1

    with_outbox(tmp_path / "journal.db", use)


def test_closed_with_a_mark_that_waits_it_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "PASSING_PATIENCE_S", 3600.0)

    async def use(outbox, counters, journal):
        await outbox.queue([draft(1, kind="readings")])
        [one] = await outbox.pending("province", 0, 9)
        marking = asyncio.create_task(outbox.delivered([one.id]))
        await asyncio.sleep(0)
        await journal.close()
        await marking

    with_outbox(tmp_path / "journal.db", use)
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM outbox").fetchone() == (0,)
    connection.close()
