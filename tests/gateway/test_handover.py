"""The log goes on under another key, or as a new epoch: once, for certain, and never as two histories."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import JournalError
from gateway.journal import database, durable, keys
from gateway.journal.checkpoints import LOG_ENTRIES
from gateway.journal.handover import Begun, new_epoch, rotate_key
from gateway.journal.keys import EARLIER_FOLDER, KEY_FILE, MARK_FILE, NEXT_FILE, SHOWN_FOLDER, VKEY_FILE
from gateway.journal.stopped import Now, StoppedLog
from gateway.succession import LogEntry, parse_log_entry
from protocol import checkpoint, note
from protocol.merkle import root_of
from tests.gateway.test_checkpoints import NAME, backup, kept, leaves, life, restore, signed, some

NOW = Now(9_000_000, 77)
SECOND = f"{NAME}/epoch-2"


def rotate(state_dir: Path, reason: str = "once a year") -> Begun:
    with closing(StoppedLog(state_dir, NAME)) as log:
        return rotate_key(log, reason, NOW)


def begin(state_dir: Path, reason: str = "the card died") -> Begun:
    with closing(StoppedLog(state_dir, NAME)) as log:
        return new_epoch(log, reason, NOW)[0]


def told(state_dir: Path) -> list[LogEntry]:
    with closing(sqlite3.connect(state_dir / "journal.db")) as connection:
        return [parse_log_entry(body, idx) for idx, body in connection.execute(LOG_ENTRIES)]


def vkey(state_dir: Path) -> str:
    return (state_dir / VKEY_FILE).read_text()


def signers(data: bytes, *vkeys: str) -> list[bool]:
    """Which of these keys have signed, each signature verified."""
    verifiers = [note.parse_vkey(text.strip()) for text in vkeys]
    found = [key for key, _ in note.verify(note.parse(data), verifiers)]
    return [key in found for key in verifiers]


def lost(state_dir: Path) -> tuple[bytes, str]:
    """A journal from a backup. (what was signed beyond it, the log's vkey)"""
    life(state_dir, some(3))
    backup(state_dir)
    life(state_dir, some(5))
    last = (state_dir / MARK_FILE).read_bytes()
    restore(state_dir)
    return last, vkey(state_dir)


# Another key ------------------------------------------------------------------------------------------------


def test_another_key_signs_on_and_both_vouch_for_it(tmp_path):
    life(tmp_path, some(3))
    old, old_key = vkey(tmp_path), (tmp_path / KEY_FILE).read_bytes()
    entry = rotate(tmp_path).entry
    new = vkey(tmp_path)
    assert entry[:3] == ("key", NOW.ms, "once a year") and entry[5:] == ((), 4)
    assert (f"{entry.old}\n", f"{entry.new}\n") == (old, new) and told(tmp_path) == [entry]
    size, data = kept(tmp_path)[-1]
    assert size == 5 and signers(data, old, new) == [True, True]
    assert (tmp_path / MARK_FILE).read_bytes() == data and not (tmp_path / NEXT_FILE).exists()
    assert (tmp_path / KEY_FILE).read_bytes() != old_key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    signing = life(tmp_path, some(2))
    assert signing.reason == "" and signed(tmp_path, signing.latest).size == 8
    assert signers(signing.latest, new) == [True]
    with pytest.raises(note.EvidenceError):
        signers(signing.latest, old)
    hashes = leaves(tmp_path)
    for size, data in kept(tmp_path):
        found = checkpoint.parse(note.parse(data).text)
        assert (found.origin, found.root) == (NAME, root_of(hashes[:size]))


def test_what_the_earlier_key_signed_counts_as_before(tmp_path):
    """All of the marks are of the old key when the journal is cut behind the handover."""
    life(tmp_path, some(9))
    mark = (tmp_path / MARK_FILE).read_bytes()
    rotate(tmp_path)
    (tmp_path / MARK_FILE).write_bytes(mark)
    assert life(tmp_path, some(1)).reason == ""
    backup(tmp_path)
    life(tmp_path, some(5))
    restore(tmp_path)
    assert "are missing" in life(tmp_path, some(1)).reason


def test_a_journal_from_before_the_rotation_is_not_signed(tmp_path):
    life(tmp_path, some(3))
    backup(tmp_path)
    rotate(tmp_path)
    restore(tmp_path)
    assert "5 entries were signed, the journal holds 4" in life(tmp_path, some(9)).reason
    (tmp_path / MARK_FILE).unlink()
    assert "No checkpoint is signed" in life(tmp_path, some(9)).reason, "not even without the mark"


def test_a_log_that_is_not_signed_gets_no_other_key(tmp_path):
    lost(tmp_path)
    with pytest.raises(JournalError, match=r"entries 4 to 9 are missing.*Another key does not change that"):
        rotate(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(JournalError, match="is gone"):
        rotate(tmp_path)
    assert told(tmp_path) == [] and not (tmp_path / NEXT_FILE).exists()


def test_an_entry_is_never_earlier_than_the_one_before(tmp_path):
    life(tmp_path, some(3))
    with closing(StoppedLog(tmp_path, NAME)) as log:
        assert rotate_key(log, "the clock is behind", Now(5, 5)).entry.at_ms == 1002


def test_a_journal_that_is_not_there_or_damaged_gets_no_other_key(tmp_path):
    with pytest.raises(JournalError, match="has this gateway ever run"):
        rotate(tmp_path)
    life(tmp_path, some(3))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("DROP TRIGGER entry_unchanged")
        connection.execute("UPDATE entry SET body = x'00' WHERE idx = 2")
        connection.commit()
    with pytest.raises(JournalError, match="Entry 2 does not match its hash"):
        rotate(tmp_path)
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(JournalError, match=r"cannot be opened.*Check the disk"):
        rotate(tmp_path)
    assert not (tmp_path / NEXT_FILE).exists()


def test_a_published_key_that_is_gone_or_none_is_asked_for(tmp_path):
    life(tmp_path, some(3))
    path = tmp_path / VKEY_FILE
    path.write_text("no key\n")
    with pytest.raises(JournalError, match=r"log\.vkey is no verifier key .*: put it back"):
        rotate(tmp_path)
    path.unlink()
    with pytest.raises(JournalError, match=r"log\.vkey is gone: put it back"):
        begin(tmp_path)
    assert told(tmp_path) == []


def test_a_journal_that_somebody_reads_is_not_put_into_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_MS", 20)
    life(tmp_path, some(3))
    with closing(StoppedLog(tmp_path, NAME)) as log:
        with closing(sqlite3.connect(tmp_path / "journal.db")) as other:
            other.execute("BEGIN")
            other.execute("SELECT COUNT(*) FROM entry").fetchone()
            with pytest.raises(JournalError, match="cannot be put into one file"):
                log.detach()
        log.detach()
    assert [path.name for path in tmp_path.glob("journal.db*")] == ["journal.db"]


# A new epoch ------------------------------------------------------------------------------------------------


def test_a_new_epoch_goes_on_and_shows_what_is_missing(tmp_path):
    last, old = lost(tmp_path)
    assert "quantrac gateway new-epoch" in life(tmp_path, some(2)).reason
    entry = begin(tmp_path).entry
    assert (entry.what, entry.kept, entry.signed, f"{entry.old}\n") == ("epoch", 7, (last,), old)
    assert entry.new_key.name == SECOND and vkey(tmp_path) == f"{entry.new}\n"
    (size, data), (_, first) = kept(tmp_path)[-1], kept(tmp_path)[0]
    assert size == 8 and signers(data, old, entry.new) == [True, True] and signers(first, old) == [True]
    assert checkpoint.parse(note.parse(data).text).origin == SECOND
    assert (tmp_path / MARK_FILE).read_bytes() == data
    assert (tmp_path / EARLIER_FOLDER / f"epoch-1-{MARK_FILE}").read_bytes() == last
    signing = life(tmp_path, some(20))
    assert signing.reason == "" and signed(tmp_path, signing.latest)[:2] == (SECOND, 29)
    with pytest.raises(JournalError, match="Nothing is wrong"):
        begin(tmp_path)


def test_epochs_upon_epochs_never_share_a_name(tmp_path):
    life(tmp_path, some(3))
    backup(tmp_path)
    for number in (2, 3):
        life(tmp_path, some(5))
        restore(tmp_path)
        assert begin(tmp_path).entry.new_key.name == f"{NAME}/epoch-{number}"
        backup(tmp_path)
    assert [entry.new_key.name for entry in told(tmp_path)] == [SECOND, f"{NAME}/epoch-3"]
    assert life(tmp_path, some(1)).reason == ""


def test_a_journal_from_before_the_epoch_that_goes_on(tmp_path):
    """The chain to the first key is lost with its entry; the key that people hold now hands over."""
    lost(tmp_path)
    begin(tmp_path)
    life(tmp_path, some(5))
    second, mark = vkey(tmp_path), (tmp_path / MARK_FILE).read_bytes()
    restore(tmp_path)
    assert "entries 4 to 10 are missing" in life(tmp_path, some(1)).reason
    (tmp_path / MARK_FILE).unlink()
    assert "is of epoch 2, and the journal does not hold" in life(tmp_path, some(1)).reason
    (tmp_path / MARK_FILE).write_bytes(mark)
    entry = begin(tmp_path).entry
    assert f"{entry.old}\n" == second and entry.new_key.name == f"{NAME}/epoch-3" and entry.signed == (mark,)
    assert life(tmp_path, some(1)).reason == ""


def test_what_a_witness_has_shown_is_given_up_too(tmp_path):
    last, _ = lost(tmp_path)
    shown = tmp_path / SHOWN_FOLDER / "0badcafe.checkpoint"
    shown.parent.mkdir()
    shown.write_bytes(last)
    (tmp_path / MARK_FILE).unlink()
    assert "are missing" in life(tmp_path, some(1)).reason
    assert begin(tmp_path).entry.signed == (last,)
    assert life(tmp_path, some(1)).reason == "" and not shown.exists()
    assert (tmp_path / EARLIER_FOLDER / f"epoch-1-{shown.name}").read_bytes() == last


def test_a_key_that_is_gone(tmp_path):
    life(tmp_path, some(3))
    old = vkey(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    assert "begin a new epoch" in life(tmp_path, some(1)).reason
    entry = begin(tmp_path, "stolen").entry
    assert (f"{entry.old}\n", entry.signed, entry.kept) == (old, (), 6)
    data = kept(tmp_path)[-1][1]
    assert signers(data, entry.new) == [True] and len(note.parse(data).signatures) == 1, (
        "nobody vouches for it"
    )
    assert life(tmp_path, some(1)).reason == ""


def test_a_key_that_others_can_read_only_has_to_be_made_private(tmp_path):
    life(tmp_path, some(3))
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(JournalError, match="chmod 600"):
        begin(tmp_path)


def test_a_mark_that_cannot_be_believed(tmp_path):
    life(tmp_path, some(3))
    data = bytearray((tmp_path / MARK_FILE).read_bytes())
    data[-9] ^= 1
    (tmp_path / MARK_FILE).write_bytes(data)
    assert life(tmp_path, some(1)).reason
    assert begin(tmp_path).entry.signed == ()
    assert life(tmp_path, some(1)).reason == ""
    assert (tmp_path / EARLIER_FOLDER / f"epoch-1-{MARK_FILE}").read_bytes() == data


def test_checkpoints_in_the_journal_that_are_not_of_its_entries(tmp_path):
    """Its tail was cut, and nothing else."""
    life(tmp_path, some(3))
    life(tmp_path, some(5))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("DELETE FROM entry WHERE idx > 5")
        connection.execute("DELETE FROM window WHERE idx > 5")
        connection.execute("UPDATE meta SET value = 0")
        connection.execute("DELETE FROM span")
        connection.execute("UPDATE position SET seq = 0, boot = 0")
        connection.commit()
    last = kept(tmp_path)[-1][1]
    entry = begin(tmp_path).entry
    assert entry.signed == (last,) and [size for size, _ in kept(tmp_path)] == [4, 7]
    assert (tmp_path / EARLIER_FOLDER / "journal-10.checkpoint").read_bytes() == last
    assert life(tmp_path, some(1)).reason == ""


# Crashes ----------------------------------------------------------------------------------------------------

SYSTEM = ("replace", "fsync", "unlink", "mkdir")
"""All that changes the disk here but SQLite, whose transactions tests/power looks at."""


def count(fatal: int | None) -> list[int]:
    """From here on the nth of these calls ends the process, as the power does; None: they are counted."""
    calls = [0]

    def wrapped(real: Callable) -> Callable:
        def call(*arguments, **named):
            calls[0] += 1
            if calls[0] == fatal:
                os._exit(9)
            return real(*arguments, **named)

        return call

    for name in SYSTEM:
        setattr(os, name, wrapped(getattr(os, name)))
    for name in ("add", "_read"):  # before and after the COMMIT
        setattr(StoppedLog, name, wrapped(getattr(StoppedLog, name)))
    return calls


def in_a_child(do: Callable[[], object]) -> int:
    """Its exit status; the child shares nothing but the disk."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = do() or 0
        finally:
            os._exit(int(status))  # type: ignore[arg-type]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crashed(state_dir: Path, operation: Callable[[Path], object], fatal: int) -> bool:
    def do() -> None:
        count(fatal)
        operation(state_dir)

    status = in_a_child(do)
    assert status in (0, 9)
    return status == 9


@pytest.mark.parametrize("operation", [rotate, begin])
@pytest.mark.parametrize("next_is", ["the gateway", "the command again"])
def test_killed_at_any_step_the_log_goes_on_as_the_journal_says(tmp_path, operation, next_is):
    made = tmp_path / "made"
    made.mkdir()
    lost(made) if operation is begin else life(made, some(3))
    old, size = vkey(made), len(leaves(made))
    outcomes, fatal, left = set(), 0, None
    for fatal in range(1, 200):
        state = tmp_path / str(fatal)
        shutil.copytree(made, state)
        if not crashed(state, operation, fatal):
            break
        left, before_that = on_disk(state), left
        if left == before_that:
            continue
        entries = told(state)
        if next_is == "the gateway":
            signing = life(state, some(2))
            if operation is begin and not entries:
                assert "are missing" in signing.reason and vkey(state) == old
            else:
                assert signing.reason == "" and signing.latest
        elif operation is begin and entries and not (state / NEXT_FILE).exists():
            pass  # all was done before the end came: new-epoch has nothing to do
        else:
            begun = operation(state)
            assert begun.finished <= bool(entries), "what was done is not done once more"
        assert told(state)[: len(entries)] == entries
        outcomes.add(len(entries))
        consistent(state, old, size)
    assert outcomes == {0, 1} and fatal > 8


def on_disk(folder: Path) -> dict[Path, bytes]:
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if path.suffix != ".db-shm"}


def consistent(state_dir: Path, old: str, size: int) -> None:
    """Keys, marks and journal say the same; everything signed is of one history and by its key."""
    entries = told(state_dir)
    current = f"{entries[-1].new}\n" if entries else old
    assert vkey(state_dir) == current and not (state_dir / NEXT_FILE).exists()
    assert keys.signer(state_dir, NAME).verifier.vkey + "\n" == current
    hashes = leaves(state_dir)
    for stored, data in kept(state_dir):
        found = checkpoint.parse(note.parse(data).text)
        by = [entry for entry in entries if entry.kept < stored]
        assert any(signers(data, by[-1].new if by else old))
        assert found.size == stored and found.root == root_of(hashes[:stored])
    assert life(state_dir, some(1)).reason == "" or not entries


def test_control_a_key_that_is_changed_before_the_journal_says_so_signs_for_nobody(tmp_path, monkeypatch):
    """Were the files changed first, a crash would leave a key that nobody handed over to."""
    real = StoppedLog.add

    def files_first(self, kind, body, now, signers=(), without=()):
        os.replace(self.state_dir / NEXT_FILE, self.state_dir / KEY_FILE)
        durable.replace(self.state_dir / VKEY_FILE, keys.line(signers[0].verifier))
        real(self, kind, body, now, signers, without)

    monkeypatch.setattr(StoppedLog, "add", files_first)
    life(tmp_path, some(3))
    found = set()
    for fatal in range(1, 40):
        state = tmp_path / str(fatal)
        shutil.copytree(tmp_path, state, ignore=lambda *_: [str(n) for n in range(99)])
        if crashed(state, rotate, fatal) and not told(state):
            found.add(life(state, some(1)).reason[:24])
    assert "No checkpoint is signed:" in found


@pytest.mark.parametrize("after", [False, True])
def test_a_commit_that_fails(tmp_path, monkeypatch, after):
    """Whether the disk has it or not: the next one looks."""
    life(tmp_path, some(3))
    real = database.connect

    class Refusing:
        def __init__(self, path):
            self._real = real(path)

        def execute(self, sql, *more):
            if sql == "COMMIT":
                if after:
                    self._real.execute(sql)
                raise sqlite3.OperationalError("disk I/O error")
            return self._real.execute(sql, *more)

        def __getattr__(self, name):
            return getattr(self._real, name)

    with monkeypatch.context() as patched:
        patched.setattr(database, "connect", Refusing)
        patched.setattr(database, "migrate", lambda connection: None)
        with pytest.raises(JournalError, match="looks first how far"):
            rotate(tmp_path)
    begun = rotate(tmp_path, "again")
    assert begun.finished == after and len(told(tmp_path)) == 1
    assert begun.entry.reason == ("once a year" if after else "again")
    assert life(tmp_path, some(1)).reason == ""


def test_a_key_without_its_handover_does_not_sign(tmp_path):
    """log.key.next was thrown away after the journal said that it signs."""
    life(tmp_path, some(3))
    shutil.copytree(tmp_path, tmp_path / "before")
    rotate(tmp_path)
    for name in (KEY_FILE, VKEY_FILE, MARK_FILE):
        shutil.copy(tmp_path / "before" / name, tmp_path / name)
    assert "goes on under the key" in life(tmp_path, some(1)).reason
    entry = begin(tmp_path).entry
    assert entry.old == told(tmp_path)[0].new and life(tmp_path, some(1)).reason == ""
