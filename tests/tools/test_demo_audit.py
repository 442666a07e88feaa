"""tools/demo/audit.py: a sound journal is counted as sound, and each kind of damage (the controls) is seen.

The journal is a real one: a device's session through the real intake, its windows, its outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from gateway.documents import Draft
from gateway.journal.kinds import FRAME
from protocol.errors import AuthError
from protocol.merkle import EvidenceError
from tests.gateway.app_rig import until
from tests.gateway.intake_rig import KEY, OTHER_KEY, START, Device, Rig
from tests.gateway.journal_rig import unpacked
from tests.gateway.witness_rig import asking, server, site
from tools.demo.audit import count_checkpoints, count_files, count_journal, missing_records
from tools.people import Failure

TOTAL = 600
SOURCE = "device/st-01"


def drafts(windows):
    for end_ms in sorted({window.end_ms for window in windows}):
        yield Draft("province", f"w/{end_ms}", "windows", f"f{end_ms}.txt", "a", end_ms, b"x")
        yield Draft("national", f"w/{end_ms}", "windows", "quantrac/t", "", end_ms, b"{}")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a small journal: 600 records of a device, the windows they closed, their files."""
    folder = tmp_path_factory.mktemp("audit")

    async def main():
        async with Rig(folder / "journal.db", documents=drafts, start_grace_s=0.0) as rig:
            await Device(TOTAL).run(rig.port())
            await rig.settle()

    asyncio.run(main())
    return folder


@pytest.fixture
def journal(made, tmp_path) -> Path:
    """A copy to be damaged."""
    path = tmp_path / "journal.db"
    with (
        contextlib.closing(sqlite3.connect(made / "journal.db")) as whole,
        contextlib.closing(sqlite3.connect(path)) as copy,
    ):
        whole.backup(copy)
    return path


def damage(journal: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        for trigger in ("entry_stays", "entry_unchanged"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1
        connection.commit()


def some_frame(journal: Path) -> tuple[int, int, int]:
    """(idx, first_seq, last_seq) of a frame in the middle."""
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute(
            "SELECT idx, first_seq, last_seq FROM entry WHERE kind = ? ORDER BY idx", (FRAME,)
        ).fetchall()
    return rows[len(rows) // 2]


def test_a_sound_journal(journal):
    count = count_journal(journal, "st-01", KEY)
    assert count.held[SOURCE, 1] == set(range(1, TOTAL + 1)) and list(count.held) == [(SOURCE, 1)]
    assert (count.readings, count.duplicated) == (TOTAL, 0)
    assert count.last_ms == START + (TOTAL // 5 - 1) * 10_000 + 4 * 20
    assert count.windows >= 3 and count.last_window_ms % 300_000 == 0
    assert missing_records(count, SOURCE, {1: TOTAL}) == 0
    assert missing_records(count, SOURCE, {1: 0}) == missing_records(count, SOURCE, {}) == 0


def test_no_journal_yet(tmp_path):
    count = count_journal(tmp_path / "absent.db", "st-01", KEY)
    assert (count.readings, count.windows, count.last_ms) == (0, 0, None)
    assert missing_records(count, SOURCE, {1: 3}) == 3


def test_control_a_record_that_is_removed(journal):
    idx, first, last = some_frame(journal)
    damage(journal, f"DELETE FROM entry WHERE idx = {idx}")
    count = count_journal(journal, "st-01", KEY)
    assert missing_records(count, SOURCE, {1: TOTAL}) == last - first + 1
    assert missing_records(count, SOURCE, {1: first - 1}) == 0
    assert count.duplicated == 0


def test_control_a_record_that_is_doubled(journal):
    idx, first, last = some_frame(journal)
    copied = "kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, leaf, body"
    damage(
        journal,
        f"INSERT INTO entry (idx, {copied}) SELECT (SELECT max(idx) + 1 FROM entry), {copied}"
        f" FROM entry WHERE idx = {idx}",
    )
    count = count_journal(journal, "st-01", KEY)
    assert count.duplicated == last - first + 1
    assert missing_records(count, SOURCE, {1: TOTAL}) == 0


def test_control_more_was_acknowledged_than_is_there(journal):
    count = count_journal(journal, "st-01", KEY)
    assert missing_records(count, SOURCE, {1: TOTAL + 7}) == 7
    assert missing_records(count, SOURCE, {1: TOTAL, 2: 5}) == 5
    assert missing_records(count, "device/other", {1: 4}) == 4


def test_control_a_record_that_was_changed(journal):
    idx, _, _ = some_frame(journal)
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        (body,) = connection.execute("SELECT body FROM entry WHERE idx = ?", (idx,)).fetchone()
    whole = unpacked(body)
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    damage(journal, f"UPDATE entry SET body = x'{changed.hex()}' WHERE idx = {idx}")
    with pytest.raises(AuthError):
        count_journal(journal, "st-01", KEY)


def test_control_another_devices_key_or_no_journal_at_all(journal, tmp_path):
    with pytest.raises(AuthError):
        count_journal(journal, "st-01", OTHER_KEY)
    (tmp_path / "no.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Failure, match=r"no\.db"):
        count_journal(tmp_path / "no.db", "st-01", KEY)


def test_one_source_alone(journal):
    assert count_journal(journal, "st-01", KEY, SOURCE).readings == TOTAL
    assert count_journal(journal, "st-01", KEY, "bus/tank").readings == 0


# Files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def province(journal, tmp_path) -> tuple[Path, list[str]]:
    """(the department's folder with every file, their names in the order of arrival)."""
    folder = tmp_path / "province"
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        rows = connection.execute(
            "SELECT folder, name FROM outbox WHERE destination = 'province' ORDER BY id"
        )
        files = [(folder / below, name) for below, name in rows]
    assert len(files) >= 3
    for below, name in files:
        below.mkdir(parents=True, exist_ok=True)
        (below / name).write_text("x")
    return folder, [name for _, name in files]


def test_all_files_are_there_once(journal, province):
    folder, names = province
    found = count_files(journal, "province", folder, names)
    assert found.expected == found.delivered == len(names) and found.missing == found.doubled == []


def test_control_a_file_is_missing(journal, province):
    folder, names = province
    next(folder.rglob(names[1])).unlink()
    found = count_files(journal, "province", folder, names)
    assert found.missing == [names[1]] and found.delivered == found.expected - 1 and found.doubled == []


def test_control_a_file_is_there_twice(journal, province):
    folder, names = province
    (folder / "b").mkdir()
    (folder / "b" / names[0]).write_text("x")
    found = count_files(journal, "province", folder, names)
    assert found.doubled == [names[0]] and found.missing == [] and found.delivered == found.expected


def test_control_a_file_appeared_twice(journal, province):
    folder, names = province
    found = count_files(journal, "province", folder, [*names, names[2], names[2]])
    assert found.doubled == [names[2]] and found.missing == []


# Checkpoints ------------------------------------------------------------------------------------------------


@pytest.fixture
def cosigned(tmp_path) -> tuple[Path, Path, Path]:
    """(journal, the log's vkey, the witness's vkey): three checkpoints, the witness was there for two."""

    async def main():
        async with site(tmp_path) as at, server(tmp_path) as there:
            await at.window()
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                for _ in range(2):
                    size = await at.window()
                    await until(lambda size=size: asked.counters.size == size)
            return at.state_dir / "journal.db", at.vkey_file, there.witness.folder / "witness.vkey"

    return asyncio.run(main())


def test_checkpoints_and_cosignatures_are_counted(cosigned, tmp_path):
    journal, log, witness = cosigned
    assert count_checkpoints(journal, log, witness) in ((3, 2), (3, 3))
    assert count_checkpoints(journal, tmp_path / "absent", witness) == (0, 0)


def test_control_a_checkpoint_that_was_changed(cosigned):
    journal, log, witness = cosigned
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        size, note = connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC").fetchone()
        changed = note.replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1))
        connection.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (changed, size))
        connection.commit()
    with pytest.raises(EvidenceError):
        count_checkpoints(journal, log, witness)
