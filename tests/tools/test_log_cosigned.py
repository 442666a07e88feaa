"""Which checkpoint receipts and bundles lead to: one that witnesses have cosigned, where there is one. And
that entries of later versions are passed over.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import receipts as made
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.journal.stopped import Now, StoppedLog
from gateway.receipts import newest_checkpoint, receipt
from gateway.verify_replay import Replay
from protocol import cbor, note
from protocol import receipt as receipts
from protocol.note import COSIGNATURE, Signer
from tests.gateway.bundle_rig import NAME, exported, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Story, greeting, live
from tests.gateway.handover_rig import key_of, mark, rotate
from tests.tools.test_log import run
from tools.log.rebuild import rebuild

WITNESSES = [
    Signer(f"witness.example/w{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32), COSIGNATURE)
    for n in (1, 2)
]


def sizes(story: Story) -> list[int]:
    with closing(sqlite3.connect(story.state_dir / "journal.db")) as journal:
        return [size for (size,) in journal.execute("SELECT size FROM checkpoint ORDER BY size")]


def cosign(story: Story, size: int, *witnesses: Signer) -> None:
    """As gateway/witness.py keeps it: below the checkpoint in the journal."""
    with closing(sqlite3.connect(story.state_dir / "journal.db")) as journal, journal:
        ((data,),) = journal.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchall()
        signed = note.parse(data)
        lines = [witness.sign(signed.text, 1_774_400_000) for witness in witnesses]
        signed = note.with_signatures(signed, *lines)
        journal.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (signed.encode(), size))


def size_for(story: Story, at_least: int) -> int:
    reader = Reader(story.state_dir / "journal.db")
    try:
        return newest_checkpoint(reader, at_least)[1].size
    finally:
        reader.close()


@pytest.fixture
def story(tmp_path) -> Story:
    return Story(tmp_path).start(greeting, live(6))


def test_a_bundle_leads_to_the_newest_cosigned_checkpoint_that_covers_it(story, tmp_path):
    (tmp_path / "w.vkey").write_text(WITNESSES[0].verifier.vkey + "\n")
    first = (START, START + LENGTH_MS)
    with_witness = ("--vkey", story.state_dir / "log.vkey", "--witness-vkey", tmp_path / "w.vkey")
    exported(story, tmp_path / "none", *first)
    status, said, _ = run("verify", tmp_path / "none", *with_witness)
    assert status == 1 and "0 of the witnesses have signed the checkpoint" in said
    known = sizes(story)
    cosign(story, known[1], WITNESSES[0])
    cosign(story, known[3], WITNESSES[0])
    bundle = exported(story, tmp_path / "one", *first)
    status, said, _ = run("verify", tmp_path / "one", *with_witness)
    assert status == 0 and f"and witness.example/w1 signed a log of {known[3]} entries" in said
    every = exported(story, tmp_path / "all", START)
    assert b"\n%d\n" % known[-1] in every.files["checkpoint"], "what is not covered has the newest"
    assert wrong(bundle, log=bundle.key, seen=(mark(story),)), "which is newer than what is in hand"
    shown = exported(story, tmp_path / "seen", *first, seen=story.state_dir / "log.checkpoint")
    assert wrong(shown, log=bundle.key, seen=(mark(story),)) == "", "unless whoever exports knows of it"


def test_a_receipt_carries_cosignatures(story):
    known = sizes(story)
    cosign(story, known[2], WITNESSES[1])
    reader = Reader(story.state_dir / "journal.db")
    found = receipt(reader, 5)
    assert found.extra is not None
    verifier = WITNESSES[1].verifier
    assert receipts.check(found, found.extra, key_of(story), [verifier], 1).size == known[2]
    uncovered = receipt(reader, known[3])
    assert receipts.check(uncovered, uncovered.extra or b"", key_of(story)).size > known[3]
    reader.close()


def test_the_most_cosignatures_then_the_newest(story):
    known = sizes(story)
    assert size_for(story, 1) == known[-1]
    cosign(story, known[1], *WITNESSES)
    cosign(story, known[2], *WITNESSES)
    cosign(story, known[3], WITNESSES[0])
    assert size_for(story, 1) == known[2] and size_for(story, known[3]) == known[3]
    cosign(story, known[-1], *WITNESSES)
    assert size_for(story, 1) == known[-1]


def test_what_no_witness_saw_for_long_leads_to_the_first_that_one_did(story, monkeypatch):
    known = sizes(story)
    monkeypatch.setattr(made, "LOOK_CHECKPOINTS", 2)
    cosign(story, known[1], WITNESSES[0])
    assert size_for(story, 1) == known[1] and size_for(story, known[1] + 1) == known[-1]


def test_a_checkpoint_by_an_earlier_key_is_not_taken(story):
    """Whoever asks has the present key; both keys below the handover are no cosignature."""
    cosign(story, sizes(story)[-1], WITNESSES[0])
    rotate(story)
    handed = sizes(story)[-1]
    assert size_for(story, 1) == handed
    story.start(greeting, live(1))
    assert size_for(story, 1) == sizes(story)[-1] > handed


# Kinds and events of later versions -------------------------------------------------------------------------


def later_version(story: Story) -> None:
    with closing(StoppedLog(story.state_dir, NAME)) as log:
        for kind, body in (
            *((kind, b"") for kind in (11, 23, 24, 300)),
            *((kind, cbor.dumps({"a": [1]})) for kind in (8, 9, 10, 11, 23, 24, 300)),
            (EVENT, cbor.dumps(["something new"])),
            (EVENT, cbor.dumps(["something new", "gateway", 1, [2]])),
        ):
            log.add(kind, body, Now(story.now_ms, 0))


def with_later_kinds(folder: Path) -> Story:
    story = Story(folder).start(greeting, live(2))
    later_version(story)
    story.start(greeting, live(2))
    later_version(story)
    return story.start(greeting, live(2))


def test_kinds_and_events_of_later_versions_are_passed_over(tmp_path):
    story = with_later_kinds(tmp_path)
    assert rebuild(story.config).windows == 5
    bundle = exported(story, tmp_path / "bundle")
    assert wrong(bundle) == "" and bundle.manifest.windows == 5
    one = exported(story, tmp_path / "one", START + 3 * LENGTH_MS, START + 4 * LENGTH_MS)
    assert wrong(one) == ""


def test_control_a_verifier_that_stops_at_what_it_does_not_know_is_seen(tmp_path, monkeypatch):
    story = with_later_kinds(tmp_path)
    bundle, take = exported(story, tmp_path / "bundle"), Replay.take

    def strict(self, index, leaf):
        if leaf.kind > 7:
            raise ValueError(leaf.kind)
        take(self, index, leaf)

    monkeypatch.setattr(Replay, "take", strict)
    assert "is not what a gateway writes" in wrong(bundle)
