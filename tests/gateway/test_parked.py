"""Parked and released by hand: mark and EVENT together, the numbers balance, whatever the disk does."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import parked
from gateway.journal.bodies import event
from gateway.journal.kinds import EVENT
from gateway.journal.outbox import JournalOutbox
from gateway.journal.parked import PARK, RELEASE
from gateway.journal.reader import Reader, reading
from gateway.parked import Desk, overtaken
from gateway.requests import Answer, Order
from tests.gateway.journal_rig import Disk, io_error
from tests.gateway.test_outbox_store import NOW, draft, with_outbox


def told(path: Path) -> list[tuple[str, list]]:
    with reading(path) as reader:
        return [event(entry.body) for entry in reader.entries(kinds=(EVENT,))]


async def three_parked(outbox: JournalOutbox) -> None:
    """Documents 1 to 6; the even ones are parked by the server."""
    await outbox.queue([draft(i) for i in range(1, 7)])
    for one in await outbox.pending("province", 0, 9):
        if one.id % 2 == 0:
            await outbox.failed(one.id, f"no such folder {one.id}", park=True)


def test_they_are_listed_with_since_when_and_why(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await three_parked(outbox)
        await outbox.queue([draft(1, "national")])
        (one,) = await outbox.pending("national", 0, 9)
        await outbox.failed(one.id, "too long", park=True)

    with_outbox(path, use)
    with reading(path) as reader:
        found = parked.listed(reader)
        assert [(row.id, row.destination) for row in found] == [
            (7, "national"), (2, "province"), (4, "province"), (6, "province"),
        ]  # fmt: skip
        first = parked.listed(reader, "province")[0]
        assert first == (
            2, "province", "windows/2", "windows", "2.txt", "2026/03/25", NOW + 600_000, NOW, 1,
            "no such folder 2",
        )  # fmt: skip
        assert parked.listed(reader, "nobody") == []


def test_released_they_are_pending_again_the_oldest_first_and_the_log_says_who_and_why(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await three_parked(outbox)
        counted = counters.destination("province")
        assert (counted.queued, counted.parked, counted.waiting) == (6, 3, 3)
        outbox.event("province").clear()
        changed, others = await outbox.by_hand(RELEASE, [4, 2, 3, 99], "anna", "they made the folder")
        assert [row.id for row in changed] == [2, 4] and [(row.id, row.state) for row in others] == [(3, 0)]
        assert (counted.parked, counted.waiting) == (1, 5) and outbox.event("province").is_set()
        waiting = await outbox.pending("province", 0, 9)
        assert [(one.id, one.attempts) for one in waiting] == [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0)]
        assert waiting[1].body == b"x"
        await outbox.delivered([one.id for one in waiting])
        assert (counted.delivered, counted.parked, counted.waiting) == (5, 1, 0)

    with_outbox(path, use)
    assert told(path) == [("released", ["anna", "they made the folder", ["windows/2", "windows/4"]])]


def test_parked_by_hand_it_is_not_handed_out_and_the_log_says_who_and_why(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await three_parked(outbox)
        await outbox.delivered([1])
        changed, others = await outbox.by_hand(PARK, [1, 2, 3], "anna", "made during a test")
        assert [row.id for row in changed] == [3]
        assert [(row.id, row.state) for row in others] == [(1, 1), (2, 2)]
        counted = counters.destination("province")
        assert (counted.queued, counted.delivered, counted.parked, counted.waiting) == (6, 1, 4, 1)
        assert [one.id for one in await outbox.pending("province", 0, 9)] == [5]
        rows = await journal.read(parked.listed)
        assert [(row.id, row.reason) for row in rows if row.id == 3] == [
            (3, "parked by anna: made during a test")
        ]

    with_outbox(path, use)
    assert told(path) == [("parked", ["anna", "made during a test", ["windows/3"]])]


def test_thousands_are_released_in_one_transaction(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(3000)])
        await outbox.by_hand(PARK, range(1, 3001), "anna", "a test")
        before = journal.commits
        changed, _ = await outbox.by_hand(RELEASE, range(1, 3001), "anna", "")
        assert len(changed) == 3000 and journal.commits == before + 1
        assert counters.destination("province").parked == 0

    with_outbox(path, use)
    released = [details for name, details in told(path) if name == "released"]
    assert [len(details[2]) for details in released] == [500] * 6
    assert [key for details in released for key in details[2]] == [f"windows/{i}" for i in range(3000)]


# All or nothing ---------------------------------------------------------------------------------------------


def agrees(path: Path) -> bool:
    """The EVENTs, one after the other, give the states that the rows have."""
    states = {f"windows/{i}": 0 for i in range(4)}
    for name, (_, _, keys) in told(path):
        states |= dict.fromkeys(keys, 2 if name == "parked" else 0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT key, state FROM outbox")) == states


def by_hand_with_a_failing_disk(path: Path, nth: int, after: bool, once: bool) -> bool:
    seen, armed = [0], [False]

    def plan(sql, commits):
        if not armed[0]:
            return None
        seen[0] += 1
        return io_error() if (seen[0] == nth if once else seen[0] >= nth) else None

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(4)])
        armed[0] = True
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(0.2):
                await outbox.by_hand(PARK, [1, 2, 3], "anna", "a test")
                await outbox.by_hand(RELEASE, [1], "anna", "no test")
        armed[0] = once

    with_outbox(path, use, Disk(plan, after))
    return seen[0] >= nth


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("after", [False, True])
def test_a_mark_and_its_event_whatever_statement_fails(tmp_path, monkeypatch, after, once):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.001,))
    for nth in range(1, 60):
        path = tmp_path / f"{nth}.db"
        reached = by_hand_with_a_failing_disk(path, nth, after, once)
        assert agrees(path), nth
        if not reached:
            assert len(told(path)) == 2
            return
    raise AssertionError("the statements never end")


def test_control_a_mark_without_its_event_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(parked, "bodies", lambda *arguments: iter(()))
    by_hand_with_a_failing_disk(tmp_path / "1.db", 1000, False, True)
    assert not agrees(tmp_path / "1.db")


# The desk ---------------------------------------------------------------------------------------------------


def test_the_desk_says_what_came_of_each(tmp_path):
    async def use(outbox, counters, journal):
        desk = Desk(outbox, {}, journal.read)
        order = partial(Order, who="anna", reason="")
        await three_parked(outbox)
        await outbox.delivered([1])
        assert await desk.do(order("release", (1, 2, 3, 99), "")) == Answer(
            "1 document waits to be sent again.",
            [2],
            [(1, "it is delivered"), (3, "it is not parked, it waits to be sent"),
             (99, "there is no such document")],
            False,
        )  # fmt: skip
        assert await desk.do(order("release", (), "province")) == Answer(
            "2 documents wait to be sent again.", [4, 6], []
        )
        assert (await desk.do(order("release", (), "province"))).said == "No document for province is parked."
        found = await desk.do(order("park", (3, 4), ""))
        assert (found.said, found.changed, found.ok) == ("2 documents are parked.", [3, 4], True)
        assert (await desk.do(order("park", (4,), ""))).left == [(4, "it is parked already")]

    with_outbox(tmp_path / "journal.db", use)


def test_a_file_that_is_not_above_the_newest_delivered_is_told_of(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(1, 7)] + [draft(1, "national")])
        await outbox.by_hand(PARK, [2, 6, 7], "anna", "a test")
        await outbox.delivered([one.id for one in await outbox.pending("province", 0, 3)])  # 1, 3, 4

    with_outbox(path, use)
    reader = Reader(path)
    assert [row.id for row in overtaken(reader, ["province"], [2, 6, 7])] == [2]
    assert overtaken(reader, [], [2]) == [], "of messages nothing is said"
    assert overtaken(reader, ["national"], [7]) == [], "nothing was delivered there"
    reader.close()
