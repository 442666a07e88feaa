"""Old raw entries go, hashes and proofs stay, nothing goes that must not, and the room is used again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from gateway.counters import Counters
from gateway.errors import JournalError
from gateway.journal import compact as compact_module
from gateway.journal import database
from gateway.journal import retention as retention_module
from gateway.journal.compact import compact
from gateway.journal.outbox import JournalOutbox
from gateway.journal.reader import DAY_MS, Reader
from gateway.journal.retention import BLOCK, MARGIN_MS, Retention
from protocol.merkle import EvidenceError, check_inclusion, inclusion_proof
from tests.gateway.journal_rig import Disk, io_error
from tests.gateway.retention_rig import HOUR_MS, START, Log, checked
from tests.power.journal_cuts import MEMORY
from tests.power.rig import LONG


@pytest.fixture
def tmp_path(tmp_path):
    """In memory: these are days of commits."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="retention-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(retention_module, "PATIENCE_S", 0.0)


def oldest(log: Log) -> int:
    """Of this moment and later nothing may be gone."""
    return log.now_ms - log.days * DAY_MS


@pytest.mark.parametrize("seed", range(60 if LONG else 6))
def test_whatever_is_pruned_when_all_proofs_stay_valid(tmp_path, seed):
    rng = Random(seed)
    log = Log(tmp_path, rng.choice((60, 75, 90)), seed)
    gone = 0
    for _ in range(5):

        async def chapter(journal, retention):
            for _ in range(rng.randrange(1, 4)):
                await log.days_pass(journal, rng.randrange(5, 25), rng.choice((6, 24, 60)))
                if rng.random() < 0.7:
                    await retention.prune()
            await journal.commit(entries=[log.event(journal, "whatever", "gateway", 7)])

        log.use(chapter)
        now = checked(log, oldest(log))
        assert now >= gone
        gone = now
    assert gone > 0 or seed % 3
    log.use(lambda journal, retention: retention.prune())
    log.now_ms += 100 * DAY_MS  # a gateway that was off: time alone makes nothing old

    async def off(journal, retention):
        return await retention.prune()

    assert log.use(off) == 0 and checked(log) >= gone


def test_what_is_left_after_years_are_the_last_days(tmp_path):
    log = Log(tmp_path)

    async def years(journal, retention):
        for _ in range(10):
            await log.days_pass(journal, 30)
            await retention.prune()

    log.use(years)
    gone = checked(log, oldest(log))
    kept = (log.days + MARGIN_MS // DAY_MS) * 24
    assert 300 * 24 - gone - kept in range(-24, 2 * BLOCK), "and no more than a block or two beyond them"


# Only what may go -------------------------------------------------------------------------------------------


def filled(log: Log, days: int = 120, each: int = 24) -> None:
    log.use(lambda journal, retention: log.days_pass(journal, days, each))


def statements(log: Log, *sql: str) -> None:
    with sqlite3.connect(log.path) as connection:
        for statement in sql:
            connection.execute(statement)
    connection.close()


def refused(log: Log, *sql: str) -> bool:
    try:
        statements(log, *sql)
    except sqlite3.IntegrityError:
        return True
    return False


def hashes(log: Log, block: int = 0) -> str:
    return b"".join(log.leaves[block * BLOCK : (block + 1) * BLOCK]).hex()


def test_the_database_itself_keeps_the_hashes(tmp_path):
    log = Log(tmp_path)
    filled(log)
    raw = next(i for i, (kind, _) in log.told.items() if kind == 1)
    window = next(i for i, (kind, _) in log.told.items() if kind == 3)
    good = hashes(log)
    wrong = good[:-2] + f"{int(good[-2:], 16) ^ 1:02x}"
    assert refused(log, f"DELETE FROM entry WHERE idx = {raw}"), "without its hash"
    assert refused(log, f"INSERT INTO pruned VALUES (0, x'{wrong}')"), "control: a wrong leaf"
    assert refused(log, f"INSERT INTO pruned VALUES (1, x'{good}')"), "those of another block"
    assert refused(log, f"INSERT INTO pruned VALUES (0, x'{good[:-64]}')"), "one too few"
    assert refused(log, f"INSERT INTO pruned VALUES (9999, x'{good}')"), "of entries that are not there"
    statements(log, f"INSERT INTO pruned VALUES (0, x'{good}')")
    assert refused(log, f"DELETE FROM entry WHERE idx = {window}"), "a window stays for ever"
    assert refused(log, "UPDATE pruned SET block = 7"), refused(log, "DELETE FROM pruned")
    assert refused(log, f"DELETE FROM entry WHERE idx = {BLOCK + raw % 7}"), "of another block"
    assert refused(log, "UPDATE entry SET body = x'00' WHERE idx = 3")
    statements(log, f"DELETE FROM entry WHERE idx = {raw}")
    assert refused(log, f"INSERT OR REPLACE INTO pruned VALUES (0, x'{good}')"), "its entries are gone"


def test_control_without_the_trigger_a_wrong_hash_is_found(tmp_path):
    """The check of the property above, and rebuild's: a hash that was kept wrongly does not pass."""
    log = Log(tmp_path)
    filled(log)
    good = hashes(log)
    wrong = f"{int(good[:2], 16) ^ 1:02x}" + good[2:]
    statements(
        log,
        "DROP TRIGGER pruned_true",
        "DROP TRIGGER entry_stays",
        f"INSERT INTO pruned VALUES (0, x'{wrong}')",
        f"DELETE FROM entry WHERE idx < {BLOCK} AND kind < 3",
        f"UPDATE meta SET value = {BLOCK} WHERE name = 'pruned'",
    )
    with pytest.raises((AssertionError, EvidenceError)):
        checked(log)


def test_hashes_that_a_disk_has_changed_are_not_kept(tmp_path):
    log = Log(tmp_path)
    filled(log)
    statements(log, "DROP TRIGGER entry_unchanged", "UPDATE entry SET leaf = zeroblob(32) WHERE idx = 300")

    async def chapter(journal, retention):
        with pytest.raises(JournalError, match="hashes of the entries 256 to 511 are not those of the tree"):
            await retention.prune()
        assert not journal.stopped

    log.use(chapter)
    reader = Reader(log.path)
    assert reader.whole().first in (0, 256) and len(list(reader.entries(256, 511))) == 256
    reader.close()


def test_nothing_goes_while_the_clock_is_not_trusted_or_no_window_closes(tmp_path):
    log = Log(tmp_path)
    filled(log)
    log.trusted = False
    assert log.use(lambda journal, retention: retention.prune()) == 0
    other = Log(tmp_path / "other")
    (tmp_path / "other").mkdir()

    async def without_windows(journal, retention):
        for _ in range(120):
            await journal.commit(entries=other.raw(journal, 24, HOUR_MS))
        return await retention.prune()

    assert other.use(without_windows) == 0
    log.trusted = True
    assert log.use(lambda journal, retention: retention.prune()) > 0


@pytest.mark.parametrize("told", [True, False])
def test_a_clock_that_jumps_ahead_makes_nothing_old(tmp_path, told):
    """As the intake does it: a gap, and the windows of seven days before the new present. Control: without
    the event of the gap everything is gone.
    """
    log = Log(tmp_path)
    filled(log, days=100, each=12)
    before = len(log.leaves)

    async def chapter(journal, retention):
        from_ms = log.now_ms // 300_000 * 300_000
        log.now_ms += 500 * DAY_MS
        if told:
            await journal.commit(
                entries=[log.event(journal, "gap", "gateway", from_ms, log.now_ms - 7 * DAY_MS)]
            )
        for back in range(7, -1, -1):
            await journal.commit(windows=[log.window(journal, log.now_ms - back * DAY_MS)])
        return await retention.prune()

    log.use(chapter)
    jumped_at_ms = START + 100 * DAY_MS
    gone = checked(log, jumped_at_ms - 60 * DAY_MS if told else None)
    assert gone > 0 if told else gone > 0.7 * before


def test_what_was_placed_in_time_later_is_as_young_as_its_times(tmp_path):
    log = Log(tmp_path)

    async def chapter(journal, retention):
        await log.days_pass(journal, 40)
        recent = log.event(journal, "located", "st-01", 1, 300, 310)
        at_ms = log.now_ms + 50 * DAY_MS  # its boot's clock ran ahead, or the gateway's was behind
        await journal.commit(entries=[recent._replace(first_ms=at_ms, last_ms=at_ms)])
        await log.days_pass(journal, 80)
        await retention.prune()

    log.use(chapter)
    checked(log, oldest(log))
    reader = Reader(log.path)
    assert reader.whole().first == BLOCK, "the second block has what was placed"
    reader.close()


# Documents --------------------------------------------------------------------------------------------------


def test_delivered_documents_go_and_their_count_stays(tmp_path):
    log = Log(tmp_path)

    def counts(counters) -> tuple:
        found = counters.destination("province")
        return found.queued, found.delivered, found.parked, found.waiting

    async def chapter(journal, retention):
        counters = Counters()
        outbox = JournalOutbox(journal, lambda: log.now_ms, counters)
        await outbox.load()
        drafts = [
            ("province", f"window/{n}/1", "windows", f"{n}.txt", "", log.now_ms, b"x" * 400)
            for n in range(700)
        ]
        await outbox.queue(drafts)
        ids = [document.id for document in await outbox.pending("province", 0, 1000)]
        await outbox.failed(ids[3], "no such folder", park=True)
        await outbox.delivered([*ids[:3], *ids[5:]])
        await log.days_pass(journal, 100)
        before = counts(counters)
        assert before == (700, 698, 1, 1)
        await retention.prune()
        again = Counters()
        await JournalOutbox(journal, lambda: log.now_ms, again).load()
        assert counts(again) == counts(counters) == before
        return await journal.read(Reader.rows, "SELECT id, state FROM outbox ORDER BY id"), ids

    rows, ids = log.use(chapter)
    assert rows == [(ids[3], 2), (ids[4], 0)], "parked and pending ones stay"


# Disks that say no, and room --------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_disk_that_fails_at_one_of_its_commits_changes_nothing(tmp_path, nth, after):
    """Whether the transaction is on disk or not when its COMMIT fails: all is as without the fault."""
    log = Log(tmp_path)

    async def fill(journal, retention):
        await log.days_pass(journal, 120)
        drafts = [("province", f"window/{n}/1", "windows", f"{n}.txt", "", START, b"x") for n in range(20)]
        outbox = JournalOutbox(journal, lambda: START, Counters())
        await outbox.queue(drafts)
        await outbox.delivered([document.id for document in await outbox.pending("province", 0, 1000)])

    log.use(fill)
    disk = Disk(lambda sql, commit: io_error() if sql == "COMMIT" and commit == nth + 1 else None, after)

    async def chapter(journal, retention):
        await retention.prune()
        for _ in range(6):
            await journal.commit(entries=log.raw(journal, 1))
        return journal.faults

    assert log.use(chapter, connect=disk) == 1 and disk.failed == 1
    assert checked(log, oldest(log)) > 0
    reader = Reader(log.path)
    assert reader.outbox()["province"] == {"pending": 0, "delivered": 20, "parked": 0, "queued": 20}
    reader.close()


def test_the_file_stops_growing(tmp_path):
    """Control: the same load without retention."""

    def grown(folder, keeps: bool) -> float:
        folder.mkdir()
        log = Log(folder)
        sizes = []

        async def chapter(journal, retention):
            for _ in range(12):
                await log.days_pass(journal, 20, 48)
                if keeps:
                    await retention.prune()
                sizes.append((await journal.read(Reader.rows, "PRAGMA page_count"))[0][0])

        log.use(chapter)
        checked(log, oldest(log))
        return sizes[11] / sizes[4]

    assert grown(tmp_path / "kept", True) < 1.4
    assert grown(tmp_path / "control", False) > 2.2


def test_ingest_goes_on_meanwhile(tmp_path):
    """What a device sends is on disk between two transactions of retention, not behind all of them."""
    log = Log(tmp_path)
    filled(log, 160, 60)

    async def chapter(journal, retention):
        pruning = asyncio.create_task(retention.prune())
        done = []
        while not pruning.done():
            await journal.commit(entries=log.raw(journal, 1))
            done.append(journal.size)
        return await pruning, len(done)

    transactions, commits = log.use(chapter)
    assert transactions >= 3 and commits >= transactions - 1
    checked(log)


def test_a_pruned_entry_has_a_receipt_for_whoever_has_its_bytes(tmp_path):
    log = Log(tmp_path)
    filled(log)
    reader = Reader(log.path)
    before = {entry.idx: entry for entry in reader.entries(0, 40)}
    log.use(lambda journal, retention: retention.prune())
    entry = next(e for e in before.values() if e.kind == 1)
    assert next(reader.entries(entry.idx, entry.idx), None) is None
    size = reader.rows("SELECT MAX(size) FROM checkpoint")[0][0]
    root = reader.tree().frontier(size).root()
    proof = inclusion_proof(entry.idx, size, reader.tree().hash_at)
    check_inclusion(entry.leaf, entry.idx, size, proof, root)
    reader.close()


def test_pruning_waits_while_the_queue_is_half_full(tmp_path, monkeypatch):
    log = Log(tmp_path)
    filled(log)
    asked: list[int] = []

    def half_full(journal) -> bool:
        asked.append(journal.submitted)
        return len(asked) <= 5

    monkeypatch.setattr("gateway.journal.journal.Journal.half_full", property(half_full))
    assert log.use(lambda journal, retention: retention.prune()) > 0
    assert len(asked) > 6 and len(set(asked[:6])) == 1, "it pruned while others had to wait"
    assert checked(log, oldest(log)) > 0


def test_the_task_tells_what_keeps_it_from_working(tmp_path, monkeypatch):
    log = Log(tmp_path)
    filled(log)
    monkeypatch.setattr(retention_module, "START_S", 0.0)
    monkeypatch.setattr(retention_module, "LOOK_S", 0.0)

    async def chapter(journal, retention: Retention):
        real, fails = journal.read, [True]

        async def read(function, *arguments):
            if fails[0]:
                raise JournalError("the disk says no")
            return await real(function, *arguments)

        journal.read = read
        task = asyncio.create_task(retention.run())
        async with asyncio.timeout(20):
            while not retention.problems():
                await asyncio.sleep(0)
            assert retention.problems() == ["Nothing old can be pruned: the disk says no"]
            fails[0] = False
            while retention.problems() or not retention.gone:
                await asyncio.sleep(0)
        task.cancel()
        assert retention.room is not None

    log.use(chapter)
    assert checked(log, oldest(log)) > 0


# The file made smaller --------------------------------------------------------------------------------------


def test_the_file_is_made_smaller_and_is_the_same_journal(tmp_path):
    log = Log(tmp_path)
    filled(log, 200, 60)
    log.use(lambda journal, retention: retention.prune())
    gone, content = checked(log), dump(log)
    before, after = compact(log.path)
    assert after < 0.75 * before and log.path.stat().st_size == after
    assert dump(log) == content and not list(tmp_path.glob("*.compact*"))
    log.use(lambda journal, retention: log.days_pass(journal, 2))
    assert checked(log) == gone


def dump(log: Log) -> list[str]:
    connection = sqlite3.connect(log.path)
    found = sorted(connection.iterdump())
    connection.close()
    return found


def test_a_smaller_file_that_is_not_the_journal_takes_nobodys_name(tmp_path, monkeypatch):
    """Control: an entry that is left out of it is seen; so is a reader, and a disk without room."""
    log = Log(tmp_path)
    filled(log)
    content = dump(log)
    with monkeypatch.context() as patch:
        real = compact_module._content
        patch.setattr(compact_module, "_content", lambda c: real(c)[1:] if is_fresh(c) else real(c))
        with pytest.raises(JournalError, match="is not the journal"):
            compact(log.path)
    reader = Reader(log.path)
    reader.rows("BEGIN")
    reader.size()
    with pytest.raises(JournalError, match="Somebody reads"):
        compact(log.path)
    reader.close()
    monkeypatch.setattr(compact_module, "SPARE_BYTES", 1 << 60)
    with pytest.raises(JournalError, match="make room"):
        compact(log.path)
    assert dump(log) == content and not list(tmp_path.glob("*.compact*"))


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_it_needs_the_room_of_what_is_in_use_and_some_to_spare(tmp_path, monkeypatch, spare, fits):
    log = Log(tmp_path)
    filled(log)
    with sqlite3.connect(log.path) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    connection.close()
    room = (pages - free) * size + compact_module.SPARE_BYTES + spare
    monkeypatch.setattr(compact_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=room))
    if fits:
        compact(log.path)
    else:
        with pytest.raises(JournalError, match="make room"):
            compact(log.path)


def test_a_journal_of_another_version_or_no_journal_is_not_made_smaller(tmp_path):
    log = Log(tmp_path)
    filled(log, 2, 3)
    with sqlite3.connect(log.path) as connection:
        connection.execute(f"PRAGMA user_version = {database.VERSION - 1}")
    connection.close()
    content = dump(log)
    with pytest.raises(JournalError, match="of another version: let this version's gateway open it first"):
        compact(log.path)
    assert dump(log) == content
    log.path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(JournalError, match="cannot be made smaller"):
        compact(log.path)
    assert not list(tmp_path.glob("*.compact*"))


def is_fresh(connection: sqlite3.Connection) -> bool:
    return any(row[2].endswith(".compact") for row in connection.execute("PRAGMA database_list"))
