"""gateway/journal/fold.py: the newest record of each source, and in which entries a time's readings are."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database
from gateway.journal.fold import SEGMENT_GAP, SLOT_MS, Fold
from gateway.journal.kinds import EVENT, FRAME

T = 5_914_000 * SLOT_MS


@contextlib.contextmanager
def empty() -> Iterator[sqlite3.Connection]:
    """A journal without entries."""
    with tempfile.TemporaryDirectory() as folder:
        connection = database.connect(Path(folder) / "journal.db")
        database.migrate(connection)
        yield connection
        connection.close()


def saved(fold: Fold, size: int) -> tuple[list[tuple], list[tuple]]:
    """(positions, spans) as they lie in a journal."""
    with empty() as journal:
        fold.save(journal, size)
        fold.saved(size)
        positions = journal.execute("SELECT source, boot, seq FROM position ORDER BY source").fetchall()
        spans = journal.execute("SELECT slot, source, first, last FROM span ORDER BY slot, first").fetchall()
        assert journal.execute("SELECT value FROM meta WHERE name = 'folded'").fetchone() == (size,)
        return positions, spans


def frame(fold: Fold, idx: int, seq: int, first_ms: int | None, last_ms: int | None, source: int = 1) -> None:
    fold.take(idx, FRAME, source, 1, seq, seq + 4, first_ms, last_ms)


def test_a_time_within_a_slot_is_in_that_slot_alone():
    fold = Fold()
    frame(fold, 7, 1, T + 1, T + SLOT_MS - 1)
    assert saved(fold, 8) == ([(1, 1, 5)], [(T // SLOT_MS, 1, 7, 7)])


def test_readings_on_both_sides_of_an_edge_are_in_both_slots():
    fold = Fold()
    frame(fold, 0, 1, T - 1, T)
    frame(fold, 1, 6, T - SLOT_MS, T - SLOT_MS)
    assert saved(fold, 2)[1] == [(T // SLOT_MS - 1, 1, 0, 1), (T // SLOT_MS, 1, 0, 0)]


def test_one_that_covers_hours_is_in_every_slot_of_them():
    fold = Fold()
    frame(fold, 0, 1, T, T + 3 * SLOT_MS)
    assert [slot for slot, *_ in saved(fold, 1)[1]] == [T // SLOT_MS + n for n in range(4)]


@pytest.mark.parametrize(("gap", "spans"), [(SEGMENT_GAP, 1), (SEGMENT_GAP + 1, 2)])
def test_a_span_goes_on_for_so_many_entries(gap, spans):
    fold = Fold()
    frame(fold, 5, 1, T, T)
    frame(fold, 5 + gap, 6, T, T)
    found = saved(fold, 6 + gap)[1]
    assert len(found) == spans and (found[0][2], found[-1][3]) == (5, 5 + gap)


def test_what_has_no_time_is_in_no_span_and_no_record_moves_no_position():
    fold = Fold()
    frame(fold, 0, 1, None, None)
    frame(fold, 1, 6, T, None)
    fold.take(2, EVENT, 2, 0, 0, 0, T, T)
    assert saved(fold, 3) == ([(1, 1, 10)], [(T // SLOT_MS, 2, 2, 2)])


def test_records_only_rise():
    fold = Fold()
    frame(fold, 0, 1, T, T)
    with pytest.raises(JournalError, match="record 1/5 again, 1/5 is held"):
        frame(fold, 1, 5, T, T)
    frame(fold, 1, 6, T, T)
    frame(fold, 2, 1, T, T, source=2)
    fold.take(3, FRAME, 1, 2, 1, 1, T, T)
    with pytest.raises(JournalError, match="2/1 is held"):
        frame(fold, 4, 99, T, T)
    assert fold.positions == {1: (2, 1), 2: (1, 5)}


def test_what_was_saved_is_not_saved_again():
    fold = Fold()
    frame(fold, 0, 1, T, T)
    saved(fold, 1)
    assert saved(fold, 1) == ([], []) and fold.positions == {1: (1, 5)}
    frame(fold, 1, 6, T, T)
    assert saved(fold, 2) == ([(1, 1, 10)], [(T // SLOT_MS, 1, 1, 1)])


def test_a_journals_summary_is_read_with_the_entries_behind_it():
    with empty() as journal:
        fold = Fold()
        frame(fold, 0, 1, T, T)
        fold.save(journal, 1)
        journal.execute("INSERT INTO source (id, name) VALUES (1, 'device/st-01')")
        for idx, seq in ((0, 1), (1, 6)):
            journal.execute(
                "INSERT INTO entry (idx, kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, "
                "first_ms, last_ms, body, leaf) VALUES (?, ?, 1, 1, ?, ?, 0, 0, ?, ?, x'', zeroblob(32))",
                (idx, FRAME, seq, seq + 4, T, T),
            )
        loaded = Fold.load(journal)
        assert (loaded.positions, loaded.folded) == ({1: (1, 10)}, 1)
        assert saved(loaded, 2)[1] == [(T // SLOT_MS, 1, 1, 1)], "what was saved is not looked at again"
