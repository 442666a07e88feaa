"""Journals of earlier versions are read on: tests/gateway/journals holds one of each."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.reader import Reader
from protocol import checkpoint, note
from protocol.merkle import leaf_hash, root_of
from tests.gateway.journal_rig import event, opened, unpacked, with_journal

JOURNALS = Path(__file__).with_name("journals")
VERSIONS = sorted(path.name for path in JOURNALS.glob("*.db.gz"))


def laid(folder: Path, name: str) -> Path:
    path = folder / "journal.db"
    path.write_bytes(gzip.decompress((JOURNALS / name).read_bytes()))
    return path


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path) -> Path:
    return laid(tmp_path, request.param)


def columns(path: Path) -> list[tuple]:
    """Of every entry what no version may change."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT idx, kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, "
            "body FROM entry ORDER BY idx"
        ).fetchall()
    connection.close()
    return [(*others, unpacked(body)) for *others, body in rows]


def test_there_is_one_of_each_version():
    assert [f"v{n}.db.gz" for n in range(1, database.VERSION)] == VERSIONS


def test_it_is_migrated_whole_and_goes_on(old):
    before = columns(old)
    with_journal(old, lambda journal: journal.commit(entries=[event(journal, "after")]))
    assert columns(old)[:-1] == before and len(before) in (302, 303, 304)
    reader = Reader(old)
    entries = list(reader.entries())
    assert all(leaf_hash(entry.leaf_bytes()) == entry.leaf for entry in entries)
    root = reader.tree().frontier(len(entries)).root()
    assert root == root_of([entry.leaf for entry in entries])
    assert reader.rows("SELECT level, idx FROM node") == [(8, 0)]
    assert [window.value for window in reader.windows(0, 1)] == [7.25]
    assert reader.outbox()["province"]["pending"] == 1
    assert reader.rows("PRAGMA user_version") == [(database.VERSION,)]
    assert reader.whole() == (0, 1 - (1 << 62))
    for size, data in reader.rows("SELECT size, note FROM checkpoint"):
        assert checkpoint.parse(note.parse(data).text).root == reader.tree().frontier(size).root()
    reader.close()


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    old = laid(tmp_path, "v1.db.gz")
    before = old.read_bytes()

    def fails(*_):
        raise ValueError("no memory")

    monkeypatch.setattr(database, "leaf", fails)
    with pytest.raises((JournalError, sqlite3.Error)):
        opened(old)
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'node'").fetchall()
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    monkeypatch.undo()
    assert len(old.read_bytes()) == len(before)
    asyncio.run(opened(old).close())


@pytest.mark.parametrize("name", VERSIONS[:2])
def test_a_step_that_fails_leaves_the_journal_of_the_step_before(tmp_path, name):
    old = laid(tmp_path, name)
    connection = sqlite3.connect(old)
    connection.execute("CREATE TABLE pruned (mine)")  # in the way of version 3
    connection.close()
    before = columns(old)
    with pytest.raises(JournalError, match="pruned"):
        opened(old)
    connection = sqlite3.connect(old)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.execute("DROP TABLE pruned")
    connection.close()
    asyncio.run(opened(old).close())
    assert columns(old) == before


def test_a_leaf_covers_every_field_of_the_entry(tmp_path):
    """Control of the migration's triggers: none of them can be changed quietly."""
    path = tmp_path / "journal.db"
    with_journal(path, lambda journal: journal.commit(entries=[event(journal, "x")]))
    connection = sqlite3.connect(path)
    for change in ("kind = 5", "source = 2", "arrived_ms = 1", "mono_ms = 1", "leaf = x'00'"):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            connection.execute(f"UPDATE entry SET {change}, body = NULL")
    with pytest.raises(sqlite3.DatabaseError, match="append-only"):
        connection.execute("UPDATE source SET name = 'device/other'")
    connection.close()
    database_entries = columns(path)
    for trigger in ("entry_unchanged", "source_unchanged"):
        with sqlite3.connect(path) as connection:
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.close()
    for change, back in (
        ("entry SET kind = 5", f"entry SET kind = {database_entries[0][1]}"),
        ("entry SET arrived_ms = 999", f"entry SET arrived_ms = {database_entries[0][6]}"),
        ("entry SET mono_ms = 6", f"entry SET mono_ms = {database_entries[0][7]}"),
        (
            "source SET name = 'device/other' WHERE name = 'gateway'",
            "source SET name = 'gateway' WHERE name = 'device/other'",
        ),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE {change}")
        connection.close()
        with pytest.raises(JournalError, match="does not match its hash"):
            opened(path)
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE {back}")
        connection.close()
    asyncio.run(opened(path).close())
