"""What a start after a kill reads: each source's entries once, however many lie in between of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.journal import reader as readers
from gateway.journal.reader import Reader, reading
from tests.gateway.journal_rig import frames, with_journal

SOURCES, EACH = ("device/st-01", "device/st-02"), 12


@pytest.fixture
def path(tmp_path) -> Path:
    """Two devices by turns."""

    async def use(journal):
        for i in range(EACH):
            for source in SOURCES:
                await journal.commit(entries=frames(journal, 1 + 10 * i, 1, source))

    with_journal(tmp_path / "journal.db", use)
    return tmp_path / "journal.db"


def _all_of(reader: Reader, how: str) -> tuple[list, int]:
    """The entries of both, source by source, and how many bodies were read for them."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        read, stored_body = [0], readers.stored_body

        def counting(kind, body):
            read[0] += 1
            return stored_body(kind, body)

        patch.setattr(readers, "stored_body", counting)
        last = reader.size() - 1
        for source in SOURCES:
            part = reader.of_source(0, last, source) if how == "of_source" else reader.entries(0, last)
            found += [entry for entry in part if entry.source == source]
    return found, read[0]


def test_each_body_is_read_once(path):
    with reading(path) as reader:
        found, read = _all_of(reader, "of_source")
        everything, wasteful = _all_of(reader, "entries")  # the control: once for each source
    assert found == everything and len(found) == read == EACH * len(SOURCES)
    assert wasteful >= 2 * read


def test_a_source_that_is_not_there_has_none(path):
    with reading(path) as reader:
        assert list(reader.of_source(0, reader.size(), "device/nobody")) == []
        assert [entry.idx for entry in reader.of_source(2, 5, SOURCES[1])] == sorted(
            entry.idx for entry in reader.entries(2, 5) if entry.source == SOURCES[1]
        )
