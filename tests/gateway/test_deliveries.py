"""What was delivered stands in the log: one entry with each mark, all or nothing, found again by its key."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.counters import Counters
from gateway.errors import JournalError
from gateway.forward.port import Confirmation
from gateway.journal.bodies import DELIVERED, PARKED, Delivery, Settled, delivery, event
from gateway.journal.kinds import COMMAND, CONFIGURATION, DELIVERY, EVENT, HELLO
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import Reader
from gateway.journal.writer import Entry
from gateway.receipts import receipt_of_delivery
from protocol import cbor
from protocol import receipt as receipts
from tests.gateway.journal_rig import Disk, io_error, with_journal
from tests.gateway.test_outbox_store import NOW, draft, with_outbox
from tests.gateway.witness_rig import Site, site

MONO_NS = 7_000_000_123


def told(path: Path) -> list[Delivery]:
    reader = Reader(path)
    found = [delivery(entry.body or b"") for entry in reader.entries(kinds=(DELIVERY,))]
    reader.close()
    assert None not in found
    return [each for each in found if each is not None]


def pair(number: int, kind: str = "windows", body: bytes = b"x") -> Settled:
    return Settled(f"{kind}/{number}", sha256(body).digest())


# One entry for each call ------------------------------------------------------------------------------------


def test_an_entry_for_each_call_in_the_transaction_of_its_mark(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i, body=b"%d" % i) for i in range(5)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        before = journal.commits
        await outbox.delivered(ids[:3])
        await outbox.failed(ids[3], "no such folder " + "x" * 1000, park=True)
        await outbox.failed(ids[4], "connection reset", park=False)
        assert journal.commits == before + 3, "a delivery costs no more commits than its mark"
        entry = await journal.read(lambda reader: next(reader.entries(kinds=(DELIVERY,))))
        assert (entry.source, entry.arrived_ms, entry.first_ms) == ("gateway", NOW, None)

    with_outbox(path, use)
    delivered, parked = told(path)
    assert delivered == ("province", DELIVERED, NOW, tuple(pair(i, body=b"%d" % i) for i in range(3)), "")
    assert parked[:4] == ("province", PARKED, NOW, (pair(3, body=b"3"),))
    assert parked.reason.startswith("no such folder xx") and len(parked.reason) == 500


def test_the_moment_is_that_of_both_clocks(tmp_path):
    async def use(journal):
        outbox = JournalOutbox(journal, lambda: NOW, Counters(), lambda: MONO_NS)
        await outbox.queue([draft(1)])
        await outbox.delivered([d.id for d in await outbox.pending("province", 0, 9)])
        entry = await journal.read(lambda reader: next(reader.entries(kinds=(DELIVERY,))))
        assert (entry.arrived_ms, entry.mono_ms) == (NOW, 7000)

    with_journal(tmp_path / "journal.db", use)


def test_of_the_raw_feed_nothing_is_told(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i, kind=("readings", "windows")[i % 2]) for i in range(6)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        await outbox.delivered(ids[:1])
        await outbox.failed(ids[2], "too long", park=True)
        assert journal.size == 0
        await outbox.delivered([ids[1], ids[3], ids[4], ids[5]])

    with_outbox(path, use)
    assert [each.documents for each in told(path)] == [(pair(1), pair(3), pair(5))]


def test_an_entry_is_about_one_destination(tmp_path):
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(1), draft(1, "national", body=b"y"), draft(2)])
        ids = [d.id for name in ("province", "national") for d in await outbox.pending(name, 0, 9)]
        await outbox.delivered(ids)
        await outbox.delivered(ids)  # said again: they are settled, nothing is told twice

    with_outbox(path, use)
    assert [(each.destination, each.documents) for each in told(path)] == [
        ("province", (pair(1), pair(2))), ("national", (pair(1, body=b"y"),)),
    ]  # fmt: skip


def test_what_was_delivered_twice_stands_there_twice(tmp_path):
    """A crash between confirmation and mark: both times the destination confirmed it."""
    path = tmp_path / "journal.db"

    async def use(outbox, counters, journal):
        await outbox.queue([draft(1)])
        other = JournalOutbox(journal, lambda: NOW + 5, Counters())  # the one after the restart
        for each in (outbox, other):
            await each.pending("province", 0, 9)
        for each in (outbox, other):
            await each.delivered([1])
        assert await journal.read(Reader.rows, "SELECT state, settled_ms FROM outbox") == [(1, NOW)]

    with_outbox(path, use)
    assert [each.at_ms for each in told(path)] == [NOW, NOW + 5]


def test_what_the_destination_said_stands_with_each_document(tmp_path):
    path = tmp_path / "journal.db"
    said = [Confirmation(f"/in/{i}.txt", 1, f"226 done {i}") for i in range(3)]

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i, kind=("windows", "windows", "readings")[i]) for i in range(3)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        await outbox.delivered(dict(zip(ids, said, strict=True)))

    with_outbox(path, use)
    (entry,) = told(path)
    assert entry.documents == (Settled(*pair(0)[:2], *said[0]), Settled(*pair(1)[:2], *said[1]))


OLD = cbor.dumps(["province", DELIVERED, NOW, [["windows/1", bytes(32)], ["windows/2", bytes(32)]], ""])
"""As it was written before destinations' answers were kept."""


def test_an_entry_of_an_older_version_and_one_of_a_later(tmp_path):
    found = delivery(OLD)
    assert found is not None and found.names() == ["windows/1", "windows/2"]
    assert found.documents[1] == Settled("windows/2", bytes(32), "", None, "")
    assert found.encode() == OLD, "and without answers it is written as ever"
    document = ["windows/1", bytes(32), "/in/1.txt", 7, "226 done", "more", 1]
    later = delivery(cbor.dumps(["province", DELIVERED, NOW, [document], "", {"more": 1}, 2]))
    assert later is not None and later.documents == (
        Settled("windows/1", bytes(32), "/in/1.txt", 7, "226 done"),
    )


def test_a_body_is_what_it_says_or_nothing():
    some = Delivery("province", DELIVERED, NOW, (pair(1), pair(2)), "")
    assert delivery(some.encode()) == some
    for body in (b"", b"x", b"\x80", cbor.dumps({"a": 1}), cbor.dumps(["p", "delivered", 1, [1], ""])):
        assert delivery(body) is None
    for document in ([1, b""], ["k", "x"], ["k"], ["k", b"", 1, 1, ""], ["k", b"", "", "1", ""], "kb", {}):
        assert delivery(cbor.dumps(["p", "delivered", 1, [document], ""])) is None, document
    assert event(cbor.dumps(["placed", "st-01", 1, 2])) == ("placed", [1, 2])
    for said in ([], ["x"], {}, {"what": "key"}, 7, None, [7, "st-01"], "placed"):
        assert event(cbor.dumps(said)) == ("", [])


# All or nothing ---------------------------------------------------------------------------------------------


def agree(path: Path) -> bool:
    """Entries tell of exactly those deliveries that are marked."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        marked = connection.execute("SELECT destination, key, state FROM outbox WHERE state > 0").fetchall()
    states = {DELIVERED: 1, PARKED: 2}
    return set(marked) == {
        (each.destination, key, states[each.state]) for each in told(path) for key in each.names()
    }


def settle_with_a_failing_disk(path: Path, nth: int, after: bool, once: bool) -> bool:
    """Settle some documents while the n-th statement of the disk fails; whether it was reached."""
    seen = [0]
    armed = [False]

    def plan(sql, commits):
        if not armed[0]:
            return None
        seen[0] += 1
        failing = seen[0] == nth if once else seen[0] >= nth
        return io_error() if failing else None

    async def use(outbox, counters, journal):
        await outbox.queue([draft(i) for i in range(4)])
        ids = [d.id for d in await outbox.pending("province", 0, 9)]
        armed[0] = True
        with contextlib.suppress(JournalError, TimeoutError):
            async with asyncio.timeout(0.2):
                await outbox.delivered(ids[:2])
                await outbox.failed(ids[2], "no", park=True)
        armed[0] = once

    with_outbox(path, use, Disk(plan, after))
    return seen[0] >= nth


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("after", [False, True])
def test_a_mark_and_its_entry_whatever_statement_fails(tmp_path, monkeypatch, after, once):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.001,))
    for nth in range(1, 50):
        path = tmp_path / f"{nth}.db"
        reached = settle_with_a_failing_disk(path, nth, after, once)
        assert agree(path), nth
        found = told(path)
        assert not once or [len(each.documents) for each in found] == [2, 1], "once each"
        if not reached:
            return
    raise AssertionError("the statements never end")


def test_control_told_apart_from_the_mark_it_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.001,))
    commit = JournalOutbox.delivered

    async def apart(self, ids):
        await self._journal.commit(entries=self._told(list(ids), DELIVERED, NOW))
        monkeypatch.setattr(self, "_told", lambda *arguments: [])
        await commit(self, ids)

    monkeypatch.setattr(JournalOutbox, "delivered", apart)
    found = []
    for nth in range(1, 8):
        settle_with_a_failing_disk(tmp_path / f"{nth}.db", nth, False, False)
        found.append(agree(tmp_path / f"{nth}.db"))
        if not found[-1]:
            return
    raise AssertionError("nothing was found")


# Receipts ---------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW

    def __call__(self) -> int:
        return self.now_ms


async def settled(at: Site, clock: Clock, first: int, count: int, kind: str = "windows") -> None:
    """So many documents, each delivered by itself, a minute apart."""
    outbox = JournalOutbox(at.journal, clock, Counters())
    await outbox.queue([draft(i, kind=kind, body=b"%d" % i) for i in range(first, first + count)])
    for document in await outbox.pending("province", 0, count):
        clock.now_ms += 60_000
        await outbox.delivered([document.id])


def test_a_receipt_of_a_delivery(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            clock = Clock()
            await settled(at, clock, 1, 12)
            reader = Reader(at.journal.path)
            with pytest.raises(JournalError, match="No checkpoint covers"):
                receipt_of_delivery(reader, "province", "windows/1")
            await at.window()
            for number in (1, 2, 12):
                found = receipts.parse(receipt_of_delivery(reader, "province", f"windows/{number}").encode())
                assert found.extra is not None
                receipts.check(found, found.extra, at.log)
                kind, source, arrived_ms, _, body = cbor.loads(found.extra)
                said = delivery(body)
                assert said is not None and (kind, source) == (DELIVERY, "gateway")
                assert said == ("province", DELIVERED, arrived_ms, (pair(number, body=b"%d" % number),), "")
            reader.close()

    asyncio.run(story())


def test_what_is_not_delivered_has_no_receipt(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            outbox = JournalOutbox(at.journal, Clock(), Counters())
            await outbox.queue([draft(i) for i in range(1, 4)])
            first, second, _ = await outbox.pending("province", 0, 9)
            await outbox.failed(first.id, "no such folder", park=True)
            await outbox.delivered([second.id])
            await at.window()
            reader = Reader(at.journal.path)
            for destination, key, says in (
                ("province", "windows/1", "was not taken by province: no such folder"),
                ("province", "windows/3", "waits to be delivered to province"),
                ("national", "windows/2", "No entry tells that windows/2 was delivered to national"),
                ("province", "windows", "No entry tells that windows was"),
                ("province", "windows/20", "No entry tells"),
            ):
                with pytest.raises(JournalError, match=says):
                    receipt_of_delivery(reader, destination, key)
            reader.close()

    asyncio.run(story())


def steps(path: Path, do) -> int:
    """Hundreds of steps of SQLite's machine that reading takes: how much is read, without a clock."""
    reader, counted = Reader(path), [0]

    def step() -> int:
        counted[0] += 1
        return 0

    reader._connection.set_progress_handler(step, 100)
    do(reader)
    reader.close()
    return counted[0]


def test_it_is_found_without_reading_all_of_them(tmp_path):
    async def story():
        async with site(tmp_path) as at:
            clock = Clock()
            await settled(at, clock, 1, 800)
            await at.window()
            path = at.journal.path
            index = {}

            def find(reader, since_ms=0):
                index[since_ms] = receipt_of_delivery(reader, "province", "windows/780", since_ms).index

            with_row = steps(path, find)
            await at.journal.commit(marks=[("DELETE FROM outbox WHERE state = ?", [(1,)])])  # retention
            told_when = steps(path, lambda reader: find(reader, NOW + 770 * 60_000))
            told_nothing = steps(path, find)
            too_late = steps(path, lambda reader: find(reader, NOW + 795 * 60_000))  # a clock that was set
            assert set(index.values()) == {779}
            assert 10 * with_row < told_nothing and 10 * told_when < told_nothing < 2 * too_late

    asyncio.run(story())


# Starting ---------------------------------------------------------------------------------------------------


def with_deliveries(path: Path, count: int) -> None:
    """A journal with a greeting's worth of other entries, and so many deliveries."""

    async def use(journal):
        source = journal.source("gateway")

        def entry(kind: int, said) -> Entry:
            return Entry(kind, source, 0, 0, 0, NOW, 5, None, None, cbor.dumps(said))

        await journal.commit(entries=[entry(EVENT, ["gap", "gateway", 1, 2])])
        body = Delivery("province", DELIVERED, NOW, (pair(1),))
        for _ in range(0, count, 500):
            await journal.commit(entries=[entry(DELIVERY, list(body))._replace(body=body.encode())] * 500)
        await journal.commit(entries=[entry(EVENT, ["gap", "gateway", 3, 4])])

    with_journal(path, use)


WANTED = (EVENT, CONFIGURATION, HELLO)


@pytest.mark.parametrize("kinds", [WANTED, (*WANTED, DELIVERY)])
def test_a_start_does_not_read_the_deliveries(tmp_path, kinds):
    """With its control: whoever asks for all rare kinds reads them."""
    found = []
    for count in (500, 10_000):
        with_deliveries(tmp_path / f"{count}.db", count)
        found.append(steps(tmp_path / f"{count}.db", lambda reader: list(reader.entries(kinds=kinds))))
    assert (found[1] > 10 * max(found[0], 1)) == (DELIVERY in kinds), found


def test_entries_of_some_kinds_come_in_their_order(tmp_path):
    path = tmp_path / "journal.db"
    with_deliveries(path, 500)
    reader = Reader(path)
    assert [e.idx for e in reader.entries(kinds=(HELLO, EVENT))] == [0, 501]
    assert [e.idx for e in reader.entries(kinds=(DELIVERY, EVENT))] == list(range(502))
    assert [e.idx for e in reader.entries(400, 501, (EVENT, DELIVERY))] == list(range(400, 502))
    assert [e.idx for e in reader.newest_first(EVENT)] == [501, 0]
    assert list(reader.entries(kinds=(COMMAND,))) == []
    reader.close()
