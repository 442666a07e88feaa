"""What is signed of the journal: all of it, by one key, and never two histories."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.journal import checkpoints
from gateway.journal.checkpoints import KEY_FILE, MARK_FILE, VKEY_FILE, Checkpoints
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from protocol import checkpoint, note
from protocol.merkle import check_inclusion, inclusion_proof, leaf_hash, root_of
from tests.gateway.journal_rig import SOURCES, Disk, event, frames, io_error
from tests.gateway.test_journal import window, window_entry

NAME = "quantrac/LCa/DEMO/NUO001"


def life(state_dir: Path, use, connect=None) -> Checkpoints:
    """One start of a journal that signs, and its end."""
    signing = Checkpoints(state_dir, NAME)

    async def main():
        more = {} if connect is None else {"connect": connect}
        journal = Journal(state_dir / "journal.db", checkpoints=signing, **more)
        journal.open(SOURCES)
        journal.start()
        try:
            await use(journal)
        finally:
            await journal.close(timeout_s=2.0)

    asyncio.run(main())
    return signing


def some(n: int, start_ms: int = 0):
    """So many frames, then a window."""

    async def use(journal):
        boot = journal.position("device/st-01")[0] + 1
        await journal.commit(entries=frames(journal, 1, n, boot=boot))
        await journal.commit(
            windows=[window_entry(journal, window(start_ms + 300_000 * boot))], now_ms=7_000_000
        )

    return use


def signed(state_dir: Path, data: bytes) -> checkpoint.Checkpoint:
    """The checkpoint, its signature verified with the published key alone."""
    found = note.parse(data)
    verifier = note.parse_vkey((state_dir / VKEY_FILE).read_text().strip())
    assert [v for v, _ in note.verify(found, [verifier])] == [verifier]
    return checkpoint.parse(found.text)


def leaves(state_dir: Path) -> list[bytes]:
    reader = Reader(state_dir / "journal.db")
    try:
        return [leaf_hash(entry.leaf_bytes()) for entry in reader.entries()]
    finally:
        reader.close()


def kept(state_dir: Path) -> list[tuple[int, bytes]]:
    with sqlite3.connect(state_dir / "journal.db") as connection:
        rows = connection.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall()
    connection.close()
    return rows


def test_every_window_is_signed_with_all_that_came_before(tmp_path):
    for n in (3, 300, 1):
        signing = life(tmp_path, some(n))
        assert signing.reason == ""
        assert (tmp_path / MARK_FILE).read_bytes() == signing.latest == kept(tmp_path)[-1][1]
    assert [size for size, _ in kept(tmp_path)] == [4, 305, 307]
    hashes = leaves(tmp_path)
    for size, data in kept(tmp_path):
        assert signed(tmp_path, data) == (NAME, size, root_of(hashes[:size]), ())


def test_without_windows_nothing_is_signed(tmp_path):
    async def use(journal):
        await journal.commit(entries=[event(journal, "x")])

    assert life(tmp_path, use).latest == b"" and kept(tmp_path) == []


def test_a_proof_of_every_kind_of_place(tmp_path):
    life(tmp_path, some(1500))
    hashes = leaves(tmp_path)
    reader = Reader(tmp_path / "journal.db")
    tree, size = reader.tree(), len(hashes)
    root = tree.frontier(size).root()
    for index in [0, 1, 254, 255, 256, 257, 1023, 1024, 1279, 1280, size - 2, size - 1]:
        proof = inclusion_proof(index, size, tree.hash_at)
        check_inclusion(hashes[index], index, size, proof, root)
    reader.close()


def test_the_key_is_nobody_elses(tmp_path):
    life(tmp_path, some(1))
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / KEY_FILE).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert not list(tmp_path.rglob("*.new"))


def backup(state_dir: Path) -> None:
    with (
        sqlite3.connect(state_dir / "journal.db") as source,
        sqlite3.connect(state_dir / "backup.db") as copy,
    ):
        source.backup(copy)
    source.close(), copy.close()


def restore(state_dir: Path) -> None:
    for path in state_dir.glob("journal.db*"):
        path.unlink()
    shutil.copy(state_dir / "backup.db", state_dir / "journal.db")


# Two histories ----------------------------------------------------------------------------------------------


def test_a_journal_from_a_backup_is_not_signed_and_goes_on(tmp_path):
    life(tmp_path, some(3))
    backup(tmp_path)
    life(tmp_path, some(5))
    last = (tmp_path / MARK_FILE).read_bytes()
    restore(tmp_path)
    signing = life(tmp_path, some(2))
    assert "10 entries were signed, the journal holds 4: entries 4 to 9 are missing" in signing.reason
    assert len(leaves(tmp_path)) == 7, "what comes is kept"
    assert [size for size, _ in kept(tmp_path)] == [4] and (tmp_path / MARK_FILE).read_bytes() == last
    life(tmp_path, some(20))
    signing = life(tmp_path, some(1))
    assert "not those that were signed" in signing.reason, "as long again, and another"
    assert (tmp_path / MARK_FILE).read_bytes() == last


def test_control_without_the_memory_outside_of_the_journal_it_would_sign_another_history(tmp_path):
    life(tmp_path, some(3))
    backup(tmp_path)
    first = life(tmp_path, some(5)).latest
    restore(tmp_path)
    (tmp_path / MARK_FILE).unlink()
    second = life(tmp_path, some(5, start_ms=3_000_000)).latest
    assert signed(tmp_path, first).size == signed(tmp_path, second).size
    assert signed(tmp_path, first).root != signed(tmp_path, second).root


def test_what_a_witness_has_shown_of_ours_counts_even_if_all_of_the_state_is_from_a_backup(tmp_path):
    life(tmp_path, some(3))
    shutil.copytree(tmp_path, tmp_path / "copy")
    later = life(tmp_path, some(5)).latest
    state = tmp_path / "copy"
    assert life(state, some(1)).reason == "", "nobody can know"
    (state / "witness").mkdir()
    (state / "witness" / "0badcafe.checkpoint").write_bytes(later)
    assert "10 entries were signed, the journal holds 6" in life(state, some(9)).reason
    assert len(kept(state)) == 2


@pytest.mark.parametrize("offset", [0, 30, 60, 120])
def test_a_mark_that_was_changed_is_not_believed(tmp_path, offset):
    life(tmp_path, some(3))
    data = bytearray((tmp_path / MARK_FILE).read_bytes())
    data[offset] ^= 1
    (tmp_path / MARK_FILE).write_bytes(data)
    assert "No checkpoint is signed" in life(tmp_path, some(3)).reason and len(kept(tmp_path)) == 1


def test_a_note_in_anothers_name_is_not_ours(tmp_path):
    """Signed with our key, but it says that it is of another log."""
    signing = life(tmp_path, some(3))
    verifier, signer = signed(tmp_path, signing.latest), checkpoints.signer(tmp_path, NAME)
    text = checkpoint.Checkpoint(f"{NAME}X", verifier.size, verifier.root).text()
    data = note.with_signatures(note.Note(text, ()), signer.sign(text)).encode()
    with pytest.raises(note.EvidenceError, match=f"{NAME}X has not signed"):
        checkpoints.opened(data, [signer.verifier])
    assert checkpoints.opened(signing.latest, [signer.verifier]) == verifier


def test_a_key_that_the_journal_does_not_know_of_signs_nothing(tmp_path):
    """A new epoch's key that lies beside a journal that does not begin with one."""
    life(tmp_path, some(3))
    other = tmp_path / "other"
    other.mkdir()
    key = checkpoints.signer(other, f"{NAME}/epoch-2").verifier
    why = checkpoints.standing(key, [], [], 4, None).apart[0].why  # nothing is looked up
    assert "is of epoch 2, and the journal does not hold the entry that it begins with" in why


def test_what_no_disk_holds_goes_to_nobody(tmp_path, monkeypatch):
    """The COMMIT fails: what was signed for it is not remembered, and the next one is signed anew."""
    armed = [True]

    def plan(sql, commits):
        return io_error() if sql == "COMMIT" and commits == 3 and armed.pop() else None

    monkeypatch.setattr("gateway.journal.writer.RETRY_S", (0.01,))
    remembered = []
    monkeypatch.setattr(Checkpoints, "remember", lambda self, data: remembered.append(data))
    life(tmp_path, some(3), Disk(plan))
    assert not armed and [data for _, data in kept(tmp_path)] == remembered


def test_a_mark_that_cannot_be_written_holds_the_checkpoint_back(tmp_path):
    signing = life(tmp_path, some(3))
    first = signing.latest
    (tmp_path / f"{MARK_FILE}.new").mkdir()
    held = life(tmp_path, some(3))
    assert held.latest == first and len(kept(tmp_path)) == 2 and held.reason == ""


# Keys -------------------------------------------------------------------------------------------------------


def spoiled(path: Path, how: str) -> None:
    key = path / KEY_FILE
    if how == "gone":
        key.unlink()
    elif how == "readable":
        key.chmod(0o640)
    elif how == "garbage":
        key.write_text("no key")
    elif how == "of another kind":
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        made = X25519PrivateKey.generate()
        key.write_bytes(made.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    else:
        other = path / "other"
        other.mkdir()
        checkpoints.signer(other, NAME)
        shutil.copy(other / KEY_FILE, key)


@pytest.mark.parametrize(
    "how, says",
    [
        ("gone", "is gone"),
        ("readable", "chmod 600"),
        ("garbage", "is no key"),
        ("of another kind", "is no Ed25519 key"),
        ("another", "does not belong"),
    ],
)
def test_without_its_key_it_measures_on_and_says_why_it_does_not_sign(tmp_path, how, says):
    life(tmp_path, some(3))
    spoiled(tmp_path, how)
    signing = life(tmp_path, some(3))
    assert says in signing.reason and signing.reason.startswith("No checkpoint is signed")
    assert len(leaves(tmp_path)) == 8 and len(kept(tmp_path)) == 1


def test_a_key_of_another_name_is_another_log(tmp_path):
    life(tmp_path, some(3))
    assert "does not belong" in Checkpoints(tmp_path, "quantrac/LCa/DEMO/NUO002").reason
