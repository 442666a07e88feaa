"""The journal: what is committed is there, in order, hashed, once, and cannot be changed."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database, fold
from gateway.journal import journal as journal_module
from gateway.journal.fold import Fold
from gateway.journal.kinds import EVENT, WINDOW
from gateway.journal.reader import Reader, reading
from gateway.journal.writer import Entry
from gateway.windows import Window, body
from protocol import cbor
from tests.gateway.journal_rig import bodies, event, frames, opened, with_journal


def window(
    start_ms: int, symbol: str = "COD", revision: int = 1, value: float = 1.5, last: float | None = 1.5
) -> Window:
    return Window(
        symbol,
        "mg/l",
        start_ms,
        start_ms + 300_000,
        revision,
        value,
        0,
        "00",
        12,
        12,
        1.0,
        1.0,
        2.0,
        "",
        last,
    )


def window_entry(journal, made: Window) -> tuple[Window, Entry]:
    data = body(made, journal.submitted)
    return made, Entry(WINDOW, journal.source("gateway"), 0, 0, 0, 1, 1, None, None, data)


def test_entries_are_numbered_hashed_and_kept(tmp_path):
    path = tmp_path / "journal.db"

    async def use(journal):
        first = await journal.commit(entries=frames(journal, 1, 3))
        second = await journal.commit(entries=[event(journal, "x")])
        assert (first.first, second.first, journal.size, journal.submitted) == (0, 3, 4, 4)
        assert journal.position("device/st-01") == (1, 30) and journal.position("device/st-02") == (0, 0)

    with_journal(path, use)
    assert bodies(path)[0] == b"frame 1/1 of device/st-01" and len(bodies(path)) == 4
    reader = Reader(path)
    for entry in reader.entries():
        said = cbor.dumps([entry.kind, entry.source, entry.arrived_ms, entry.mono_ms, entry.body])
        assert entry.leaf_bytes() == said and entry.leaf == hashlib.sha256(b"\x00" + said).digest()
    assert [e.body for e in reader.entries(kinds=(EVENT,))] == [b"x"]
    assert [e.idx for e in reader.entries(1, 2)] == [1, 2]
    reader.close()


def test_numbers_follow_the_order_of_submit(tmp_path):
    async def use(journal):
        done = []
        expected = []
        for i in range(300):
            expected.append(journal.submitted)
            journal.submit(frames(journal, 1 + i * 30, 3), done=done.append)
        await journal.commit()
        assert [job.first for job in done] == expected
        assert journal.commits < 300  # they shared transactions

    with_journal(tmp_path / "journal.db", use)


def test_nothing_is_done_before_it_is_on_disk(tmp_path):
    path = tmp_path / "journal.db"

    async def use(journal):
        def check(job):
            with sqlite3.connect(path) as other:
                found = other.execute(
                    "SELECT COUNT(*) FROM entry WHERE idx >= ? AND idx < ?", (job.first, job.first + len(job))
                )
                seen.append(found.fetchone()[0] == len(job))

        seen = []
        for i in range(50):
            journal.submit(frames(journal, 1 + 20 * i, 2), done=check)
            await asyncio.sleep(0)
        await journal.commit()
        assert seen == [True] * 50

    with_journal(path, use)


def test_the_connection_is_as_durable_as_it_gets(tmp_path):
    connection = database.connect(tmp_path / "journal.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_position_and_size_survive(tmp_path):
    path = tmp_path / "journal.db"

    async def one(journal):
        await journal.commit(entries=frames(journal, 1, 5) + frames(journal, 1, 2, "device/st-02", boot=4))

    async def two(journal):
        assert journal.position("device/st-01") == (1, 50) and journal.position("device/st-02") == (4, 20)
        assert journal.submitted == 7
        await journal.commit(entries=frames(journal, 1, 1, boot=2))
        assert journal.position("device/st-01") == (2, 10)

    with_journal(path, one)
    with_journal(path, two)


@pytest.mark.parametrize("save_every", [1, 3, 10_000])
def test_the_summary_is_the_same_wherever_it_was_saved(tmp_path, monkeypatch, save_every):
    """Positions and spans of a journal that saved its summary now and then equal those of one that never
    did.
    """
    monkeypatch.setattr("gateway.journal.writer.SAVE_EVERY", save_every)
    monkeypatch.setattr(fold, "SEGMENT_GAP", 4)
    path = tmp_path / "journal.db"

    async def use(journal):
        for i in range(20):
            await journal.commit(entries=frames(journal, 1 + 30 * i, 3) + [event(journal, "e")] * (i % 7))
            await journal.commit(entries=frames(journal, 1 + 10 * i, 1, "device/st-02"))

    with_journal(path, use)
    reader = Reader(path)
    entries = list(reader.entries())
    for slot in range(3):
        held = {
            e.idx
            for e in entries
            if e.first_ms is not None and e.first_ms < (slot + 1) * 300_000 and e.last_ms >= slot * 300_000
        }
        found = {
            e.idx
            for first, last, source in reader.spans(slot * 300_000, (slot + 1) * 300_000)
            for e in reader.entries(first, last)
            if e.source == source
        }
        assert held <= found
        assert {e.source for e in entries if e.idx in held} == {
            s for _, _, s in reader.spans(slot * 300_000, (slot + 1) * 300_000)
        }
    reader.close()
    connection = database.connect(path)
    assert Fold.load(connection).positions == {2: (1, 600), 3: (1, 200)}
    connection.close()


def test_no_record_twice_whoever_asks(tmp_path):
    """The last line of defence: an entry that would repeat a record stops the journal, loudly, and is not
    written.
    """
    path = tmp_path / "journal.db"

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 2))
        with pytest.raises(JournalError, match="again"):
            await journal.commit(entries=frames(journal, 11, 1))
        assert journal.stopped and "again" in journal.status
        with pytest.raises(JournalError):
            await journal.commit(entries=frames(journal, 21, 1))

    with_journal(path, use)
    assert len(bodies(path)) == 2


def test_entries_cannot_be_changed_or_removed(tmp_path):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=frames(journal, 1, 2)))
    connection = sqlite3.connect(path)
    for sql in (
        "DELETE FROM entry WHERE idx = 1",
        "UPDATE entry SET body = x'00' WHERE idx = 1",
        "UPDATE entry SET leaf = x'00', body = NULL WHERE idx = 1",
        "UPDATE entry SET idx = 7, body = NULL WHERE idx = 1",
        "UPDATE entry SET body = NULL WHERE idx = 1",
        "UPDATE entry SET first_ms = 1 WHERE idx = 1",
    ):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            connection.execute(sql)
    connection.close()
    asyncio.run(opened(path).close())


@pytest.mark.parametrize(
    "damage", ["UPDATE entry SET body = x'00' WHERE idx = 4", "DELETE FROM entry WHERE idx = 3"]
)
def test_a_broken_tail_is_refused(tmp_path, damage):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=frames(journal, 1, 5)))
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER entry_stays")
    connection.execute("DROP TRIGGER entry_unchanged")
    connection.execute(damage)
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="backup"):
        opened(path)


def test_a_newer_schema_is_left_alone(tmp_path):
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer"):
        opened(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_something_else_than_a_journal_is_refused(tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database at all, and it is long enough to be read as one" * 100)
    with pytest.raises(JournalError, match="cannot be opened"):
        opened(path)


def test_without_a_write_ahead_log_or_its_names_on_the_disk_nothing_is_opened(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="no write-ahead log, but memory"):
        database.connect(":memory:")
    path = tmp_path / "journal.db"
    Path(f"{path}-wal").mkdir()  # as good as a log that cannot be read
    with pytest.raises(JournalError, match=r"cannot be opened: disk I/O error"):
        opened(path)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        database.sync_folder(tmp_path / "nowhere" / "journal.db")


def test_a_migration_that_fails_leaves_nothing(tmp_path, monkeypatch):
    connection = database.connect(tmp_path / "journal.db")

    class Broken:
        def __truediv__(self, name):
            return self

        def read_text(self, encoding):
            return "CREATE TABLE one (a); CREATE TABLE one (a);"

    monkeypatch.setattr(database.resources, "files", lambda package: Broken())
    with pytest.raises(sqlite3.OperationalError):
        database.migrate(connection)
    assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_windows_lie_beside_their_entries(tmp_path):
    path = tmp_path / "journal.db"

    async def use(journal):
        await journal.commit(
            windows=[window_entry(journal, window(300_000 * i, s)) for i in range(3) for s in ("COD", "pH")]
        )
        await journal.commit(windows=[window_entry(journal, window(300_000, "COD", 2, 9.0, last=4.0))])

    with_journal(path, use)
    reader = Reader(path)
    assert [w.revision for w in reader.windows(0, 900_000, "COD")] == [1, 1, 2, 1]
    assert reader.windows(300_000, 300_001, "COD")[-1].value == 9.0
    assert reader.newest_windows()["COD"].start_ms == 600_000
    assert reader.newest_windows(600_000)["COD"].last == 4.0  # the newest revision of the one before
    assert reader.newest_windows(0) == {}
    reader.close()


def test_the_queue_is_bounded_and_says_when_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "QUEUE_ENTRIES_FULL", 100)
    monkeypatch.setattr(journal_module, "QUEUE_ENTRIES_LIMIT", 300)

    async def use(journal):
        calls = []
        journal.when_room(lambda: calls.append("at once"))
        assert calls == ["at once"]
        done = []
        for i in range(30):
            journal.submit(frames(journal, 1 + i * 100, 10), done=done.append)
        assert journal.full and journal.refusing and journal.pauses == 1
        journal.when_room(lambda: calls.append("room"))
        await journal.commit()
        assert calls == ["at once", "room"] and len(done) == 30
        assert (
            not journal.full
            and not journal.refusing
            and journal.pending_entries == journal.pending_bytes == 0
        )

    with_journal(tmp_path / "journal.db", use)


def test_closing_writes_what_was_submitted(tmp_path):
    path = tmp_path / "journal.db"

    async def use(journal):
        for i in range(20):
            journal.submit(frames(journal, 1 + i * 100, 10))

    with_journal(path, use)
    assert len(bodies(path)) == 200


def test_whoever_reads_hears_of_a_disk_that_says_no(tmp_path):
    def refused(reader):
        raise sqlite3.OperationalError("disk I/O error")

    async def use(journal):
        await journal.commit(entries=frames(journal, 1, 3))
        with pytest.raises(JournalError, match=r"cannot be read \(disk I/O error\): check the disk"):
            await journal.read(refused)
        assert await journal.read(Reader.size) == 3  # the next one is served again

    with_journal(tmp_path / "journal.db", use)


@pytest.mark.parametrize(
    "version, says",
    [
        (0, "is empty, or no journal"),
        (database.VERSION - 1, "start the gateway once, it brings it up to date"),
        (database.VERSION + 1, "install the newer one"),
    ],
)
def test_a_journal_of_another_version_is_not_read(tmp_path, version, says):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=frames(journal, 1, 2)))
    with reading(path) as reader:
        assert reader.size() == 2
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(JournalError, match=says), reading(path):
        pass


def test_a_file_that_is_missing_or_no_database_is_not_read(tmp_path):
    path = tmp_path / "journal.db"
    for _ in range(2):
        with pytest.raises(JournalError, match="cannot be read"), reading(path):
            pass
        path.write_bytes(b"this is no database" * 1000)


def test_a_hash_that_is_not_there_is_not_made_up(tmp_path):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=frames(journal, 1, 300)))
    with reading(path) as reader:
        tree = reader.tree()
        assert len(tree.hash_at(8, 0)) == len(tree.hash_at(5, 8)) == 32  # 256 entries; 256 to 287
        for level, index, first, last in ((8, 1, 256, 511), (5, 9, 288, 319), (0, 300, 300, 300)):
            with pytest.raises(JournalError, match=f"entries {first} to {last} are missing"):
                tree.hash_at(level, index)


def test_a_reader_cannot_write(tmp_path):
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=frames(journal, 1, 1)))
    reader = Reader(path)
    with pytest.raises(sqlite3.OperationalError):
        reader.rows("UPDATE position SET seq = 0")
    reader.close()
