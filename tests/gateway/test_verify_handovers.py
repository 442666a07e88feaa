"""How a log came to its key: what a bundle shows of it, that nothing of that can be changed unseen, and whom
it does not believe. Each kind of lie has its control: a verifier that leaves the check out lets it pass.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import NamedTuple

import pytest

from gateway import verify_handovers
from gateway.journal import leaf as leaves
from gateway.journal.kinds import LOG
from gateway.verify_bundle import entry_name, handover_name, proof_name
from gateway.verify_entries import Entries
from gateway.verify_handovers import handovers
from protocol import checkpoint, note
from protocol.checkpoint import Checkpoint, open_checkpoint
from protocol.merkle import EvidenceError, leaf_hash, root_of
from protocol.note import Verifier
from protocol.receipt import Receipt, parse
from tests.gateway.bundle_rig import NAME, Memory, claims, exported, simple, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Story, greeting, late, live
from tests.gateway.handover_rig import (
    SECOND,
    Handover,
    begin_epoch,
    checkpoint_of,
    forged,
    key_of,
    mark,
    rotate,
    signer,
)
from tests.gateway.test_checkpoints import backup, restore
from tests.gateway.test_verify import flips


class Handed(NamedTuple):
    """A log that was handed over three times: another key, a new epoch after a loss, another key of that."""

    story: Story
    bundle: Memory
    keys: list[Verifier]
    marks: list[
        bytes
    ]  # checkpoints by each of the keys; the last but one before the loss is the one given up
    lost: bytes


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> Handed:
    folder = tmp_path_factory.mktemp("handed")
    story = Story(folder).start(greeting, live(2))
    keys, marks = [key_of(story)], [mark(story)]

    def note_down() -> None:
        keys.append(key_of(story))
        marks.append(mark(story))

    rotate(story)
    story.start(greeting, live(2))
    note_down()
    backup(story.state_dir)
    story.start(greeting, live(2))
    lost = mark(story)
    restore(story.state_dir)
    begin_epoch(story)
    story.start(greeting, live(1), late(700_000))
    note_down()
    rotate(story, "stolen?")
    story.start(greeting, live(2))
    note_down()
    return Handed(story, exported(story, folder / "bundle"), keys, marks, lost)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Memory:
    """A log without any."""
    return simple(tmp_path_factory.mktemp("plain"), 3)[1]


def about_log(bundle: Memory) -> list[int]:
    return [index for index, data in enumerate(bundle.entries()) if leaves.parse(data).kind == LOG]


# What holds -------------------------------------------------------------------------------------------------


def test_every_key_of_a_log_leads_to_the_present_one(handed):
    assert len(set(handed.keys)) == 4 and handed.keys[2].name == handed.keys[3].name == SECOND
    told = about_log(handed.bundle)
    assert len(told) == 3 and handed.bundle.manifest.others == ()
    for place, key in enumerate(handed.keys):
        found = claims(handed.bundle, log=key)
        assert all(claim.shown for claim in found)
        assert [claim.what for claim in found if claim.what != "handover"] == (
            ["checkpoint", "key", "entries", "windows", "files"]
            if place < 3
            else ["key", "checkpoint", "entries", "windows", "files"]
        )
        (text,) = [claim.text for claim in found if claim.what == "key"]
        assert place == 3 or f"over {3 - place} handover" in text
    steps = [claim.text for claim in found if claim.what == "handover"]
    lost = checkpoint.parse(note.parse(handed.lost).text).size
    assert (
        "another key of the same log: 'once a year'" in steps[0]
        and f"entry {told[0]}, 2026-03-25T" in steps[0]
    )
    assert f"Entries {told[1]} to {lost - 1} were signed before it, and are not in this log" in steps[1]
    assert f"{SECOND} began" in steps[1] and "'the card died'" in steps[1]
    assert "'stolen?'" in steps[2]


def test_a_range_between_handovers_carries_all_of_them(handed, tmp_path):
    one = exported(handed.story, tmp_path / "one", START + 2 * LENGTH_MS, START + 3 * LENGTH_MS)
    told = about_log(handed.bundle)
    assert {*told} & {*one.manifest.others} and {name for name in one.files if "handovers" in name} == {
        handover_name(index) for index in told
    }
    for key in handed.keys:
        assert wrong(one, log=key) == ""
    shown = tuple(parse(one.files[handover_name(index)]).note for index in told)
    assert wrong(one, seen=shown) == "", "a handover shows that the log goes on behind its own checkpoint"
    assert "ask for a bundle made with" in wrong(one, seen=(handed.marks[0],))
    (tmp_path / "seen").write_bytes(handed.marks[0])
    shown = exported(
        handed.story, tmp_path / "two", START + 4 * LENGTH_MS, START + 5 * LENGTH_MS, tmp_path / "seen"
    )
    assert wrong(shown, log=handed.keys[0], seen=(handed.marks[0],)) == ""


def test_a_checkpoint_by_any_key_counts_and_one_that_was_given_up_is_told(handed):
    for one in handed.marks:
        assert wrong(handed.bundle, seen=(one,)) == ""
    kept = about_log(handed.bundle)[1]
    lost = checkpoint.parse(note.parse(handed.lost).text).size
    assert lost > kept
    found = wrong(handed.bundle, seen=(handed.lost,))
    assert found.startswith(
        f"--seen: entries {kept} to {lost - 1} were signed, and given up when {SECOND} began"
    )
    assert "'the card died'" in found


def test_what_is_exported_for_a_checkpoint_that_was_given_up_says_so(handed, tmp_path):
    (tmp_path / "seen").write_bytes(handed.lost)
    with pytest.raises(EvidenceError, match=r"The checkpoint in hand: entries .* were signed, and given up"):
        exported(handed.story, tmp_path / "b", seen=tmp_path / "seen")


def test_an_epoch_that_nobody_vouches_for_is_not_led_to(tmp_path):
    """The old key was lost with the card: whoever trusts it has to be given the new one."""
    story = Story(tmp_path).start(greeting, live(2))
    first = key_of(story)
    begin_epoch(story, with_key=False)
    story.start(greeting, live(2))
    bundle = exported(story, tmp_path / "bundle")
    found = [claim for claim in claims(bundle) if not claim.shown]
    assert [claim.what for claim in found] == ["handover"] and "Nobody vouches for it" in found[0].text
    assert wrong(bundle, log=first).startswith(f"nobody vouches for it that {SECOND} goes on with the log")
    assert wrong(bundle, seen=(mark(story),)) == ""


# Every single bit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(3))
def test_every_bit_of_every_handover(handed, which):
    """The step of verify() that reads them."""
    bundle = handed.bundle
    made = bundle.files["checkpoint"]
    entries = Entries(bundle, bundle.manifest, open_checkpoint(made, bundle.key), made)
    told = about_log(bundle)
    assert handovers(bundle, set(told), entries, bundle.key).check_leads_from(handed.keys[0]) == 3
    name, count = handover_name(told[which]), 0
    for changed in flips(bundle.files[name]):
        with pytest.raises(EvidenceError, match=name):
            handovers(bundle.but({name: changed}), set(told), entries, bundle.key)
        count += 1
    assert count > 3000


def test_bits_of_what_handovers_rest_on_by_the_whole_of_verify(handed, tmp_path):
    """Entries, receipts and handovers of the log, beside the run as well as in it."""
    one = exported(handed.story, tmp_path / "one", START + 2 * LENGTH_MS, START + 3 * LENGTH_MS)
    chance = random.Random(3)
    for bundle in (handed.bundle, one):
        names = [f(i) for i in about_log(handed.bundle) for f in (entry_name, proof_name, handover_name)]
        for _ in range(400):
            name = chance.choice(names)
            data = bytearray(bundle.files[name])
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            assert wrong(bundle.but({name: bytes(data)})), (name, bytes(data))


# Left out, doubled, swapped, added --------------------------------------------------------------------------


def test_handovers_left_out_doubled_swapped_and_added(handed):
    bundle, told = handed.bundle, about_log(handed.bundle)
    for index in told:
        assert wrong(bundle.but({handover_name(index): None})) == f"{handover_name(index)} is missing"
        for other in (0, index - 1, index + 1):
            doubled = bundle.but({handover_name(other): bundle.files[handover_name(index)]})
            said = f"handovers/{other}.tlog-proof: entry {other} tells of no handover of the log"
            assert wrong(doubled) == said or other in told
    for other in (bundle.manifest.last + 1, "01", "x"):
        assert "does not belong" in wrong(bundle.but({f"handovers/{other}.tlog-proof": b"x"}))
    for first, second in pairwise(told):
        swapped = {
            handover_name(first): bundle.files[handover_name(second)],
            handover_name(second): bundle.files[handover_name(first)],
        }
        assert wrong(bundle.but(swapped)).startswith(handover_name(first))
    assert wrong(bundle.but({handover_name(index): None for index in told})), "none of them at all"


def test_a_checkpoint_of_a_handover_with_more_or_other_signatures(handed):
    told = about_log(handed.bundle)
    for index in told:
        data = parse(handed.bundle.files[handover_name(index)])
        made = note.parse(data.note)
        new, old = made.signatures
        stranger = note.parse_signatures(signer(9, "stranger").sign(made.text).encode())[0]
        for signatures in (
            (old,),
            (old, new),
            (new, old, stranger),
            (new, stranger),
            (new, new),
            (new, old, old),
        ):
            changed = Receipt(index, data.proof, note.Note(made.text, signatures).encode()).encode()
            assert wrong(handed.bundle.but({handover_name(index): changed})), signatures


# Lies of those who hold keys --------------------------------------------------------------------------------

A, B, C, E = signer(1), signer(2), signer(3), signer(4, SECOND)
F = signer(5, f"{NAME}/epoch-3")
G = signer(6, SECOND)
OTHER = signer(2, "quantrac/LCa/DEMO/NUO002")


def test_the_forger_can_also_tell_the_truth(plain):
    for lies, last in (
        ([Handover(20, A, B), Handover(30, B, C)], C),
        ([Handover(20, A, B), Handover(30, B, E, what="epoch"), Handover(31, E, F, what="epoch")], F),
        ([Handover(0, A, B)], B),
    ):
        bundle = forged(plain, lies, last)
        assert wrong(bundle, log=A.verifier) == wrong(bundle, log=lies[-1].old.verifier) == ""


def given_up(plain: Memory, *signers, size: int = 25) -> bytes:
    return checkpoint_of([leaf_hash(b"%d" % i) for i in range(size)], *signers)


LIES = {
    "the new key alone": ([Handover(20, A, B, (B,))], B, "has not signed it"),
    "a stranger for the old key": ([Handover(20, A, B, (B, C))], B, "signed by others"),
    "the old key alone": ([Handover(20, A, B, (A,))], B, "none of the trusted keys has signed the note"),
    "two in the wrong order": ([Handover(20, B, C), Handover(30, A, B)], B, "and the key was"),
    "a key that comes back": ([Handover(20, A, B), Handover(30, B, A)], A, "was there before"),
    "an epoch that comes back": (
        [Handover(20, A, E, what="epoch"), Handover(30, E, G, what="epoch")],
        G,
        "is no later epoch",
    ),
    "one left out": ([Handover(30, B, C)], C, "another key than the one given, and no handover leads"),
    "the last one left out": ([Handover(20, A, B)], C, "leads to"),
    "an epoch without its entry": ([Handover(20, E, G)], G, "does not hold the entry that"),
    "an epoch of which nothing is told": ([], E, "does not hold the entry that"),
    "another place": ([Handover(20, A, B, kept=19)], B, "it stands behind 20 entries and says 19"),
    "an epoch that kept less": ([Handover(20, A, E, what="epoch", kept=5)], E, "says 5"),
    "an epoch that kept more": ([Handover(20, A, E, what="epoch", kept=25)], E, "says 25"),
    "another name with another key": ([Handover(20, A, E)], E, "another key goes on with the same log"),
    "an epoch of the same name": ([Handover(20, A, B, what="epoch")], B, "is no later epoch"),
    "by a device": ([Handover(20, A, B, source="device/st-01")], B, "is not of the gateway itself"),
    "something else": ([Handover(20, A, B, what="card")], B, "neither that the key changed nor"),
    "another log's": ([Handover(20, A, OTHER)], B, "another key goes on with"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_lies_about_a_handover(plain, name):
    lies, last, says = LIES[name]
    trusted = lies[0].old if name.startswith("an epoch without") else last if not lies else A
    found = wrong(forged(plain, lies, last), log=trusted.verifier)
    assert says in found, found


def test_a_checkpoint_of_another_log_hands_nothing_over(plain):
    """The old key has signed another history; or an earlier, or a later one, of this."""
    hashes = [leaf_hash(data) for data in plain.entries()]
    right = Handover(20, A, B)
    true = [*hashes[:20], leaf_hash(right.leaf), *hashes[20:]]
    for others in ([*hashes[:19], bytes(32), true[20]], true[:20], true[:22], [bytes(32), *true[1:21]]):
        lie = Handover(20, A, B, note=checkpoint_of(others, B, A))
        assert "its checkpoint is not of this log's first 21 entries" in wrong(forged(plain, [lie], B))
    assert wrong(forged(plain, [Handover(20, A, B, note=checkpoint_of(true[:21], B, A))], B)) == ""
    foreign = checkpoint_of(true[:21], OTHER, A)
    assert "none of the trusted keys" in wrong(forged(plain, [Handover(20, A, B, note=foreign)], B))


def test_what_an_epoch_gives_up_was_signed_by_a_key_of_the_log(plain):
    for signers, says in (
        ((A,), "none of the trusted keys"),  # the key of an earlier name
        ((C,), "none of the trusted keys"),
        ((signer(4, "quantrac/LCa/DEMO/NUO002"),), "the checkpoint of another log"),
        ((F,), "none of the trusted keys"),
        ((E,), ""),
        ((G,), ""),
    ):
        lies = [
            Handover(10, A, E, what="epoch"),
            Handover(12, E, G),
            Handover(20, G, F, what="epoch", signed=(given_up(plain, *signers),)),
        ]
        found = wrong(forged(plain, lies, F), log=A.verifier)
        assert says in found and bool(says) == bool(found), found
    broken = given_up(plain, E).replace(b"\n25\n", b"\n26\n")
    lies[2] = Handover(20, G, F, what="epoch", signed=(broken,))
    assert "entry 20 gives up a checkpoint (1): the signature of" in wrong(forged(plain, lies, F))


def test_what_was_given_up_is_told_to_whoever_has_it_in_hand(plain):
    """Also when it is shorter than what was kept, and another history."""
    short = given_up(plain, A, size=7)
    bundle = forged(plain, [Handover(20, A, E, what="epoch", signed=(short,))], E)
    assert "Another history of the first 7 entries was signed before it" in claims(bundle)[2].text
    assert "another history of the first 7 entries was signed, and given up" in wrong(bundle, seen=(short,))
    rewritten = given_up(plain, A, size=8)
    assert "history was rewritten" in wrong(bundle, seen=(rewritten,))
    hidden = given_up(plain, A, size=26)
    assert "entries 20 to 25 were signed, and given up when" in wrong(bundle, seen=(hidden,)), (
        "not in `signed`"
    )
    assert "none of the trusted keys" in wrong(bundle, seen=(given_up(plain, B),))


def test_who_vouches_for_an_epoch(plain):
    """A journal from before a rotation, under the key of after it: either of the two may hand over."""
    for signers, trusted in (((E, B, A), "AB"), ((E, A), "A"), ((E, B), "B"), ((E,), "")):
        first = signer(8)
        bundle = forged(plain, [Handover(10, first, A), Handover(20, B, E, signers, what="epoch")], E)
        for name, key in (("A", A), ("B", B), ("A", first)):
            found = wrong(bundle, log=key.verifier)
            assert (found == "") == (name in trusted), (signers, name, found)
            assert found == "" or "nobody vouches for it" in found
        assert wrong(bundle) == ""


def test_more_handovers_than_a_log_can_have(plain, monkeypatch):
    lies = [Handover(10 + i, signer(10 + i), signer(11 + i)) for i in range(4)]
    bundle = forged(plain, lies, signer(14))
    assert wrong(bundle) == ""
    monkeypatch.setattr("gateway.verify_entries.HANDOVERS_MAX", 3)
    assert "more than 3 entries" in wrong(bundle)
    monkeypatch.setattr("gateway.verify_bundle.HANDOVERS_MAX", 3)
    assert "does not belong to the bundle" in wrong(bundle)


# Controls ---------------------------------------------------------------------------------------------------


def test_control_without_the_old_keys_signature_anybody_takes_the_log_over(plain, monkeypatch):
    stolen = forged(plain, [Handover(20, A, B, (B,))], B)
    assert wrong(stolen, log=A.verifier)
    monkeypatch.setattr(verify_handovers.Chain, "check_leads_from", lambda self, key: 1)
    assert wrong(stolen, log=A.verifier), "one more check stands in the way"
    monkeypatch.setattr(
        verify_handovers, "_vouching", lambda index, data, said, candidates, lefts, root: candidates
    )
    assert wrong(stolen, log=A.verifier) == ""


def test_control_without_the_end_of_an_epoch_a_checkpoint_given_up_passes_for_a_cut_or_a_longer_log(
    plain, monkeypatch
):
    bundle = forged(plain, [Handover(20, A, E, what="epoch")], E)
    entries = bundle.entries()
    kept = [leaf_hash(data) for data in entries]
    later = checkpoint.sign(Checkpoint(NAME, 25, root_of(kept[:25])), A)
    assert "were signed, and given up" in wrong(bundle, seen=(later,)), "the old key goes on signing"
    monkeypatch.setattr(verify_handovers.History, "_end_of", lambda self, origin: None)
    assert wrong(bundle, seen=(later,)) == ""


def test_control_without_the_keys_of_before_what_is_given_up_may_be_anything(plain, monkeypatch):
    lie = forged(plain, [Handover(20, A, E, what="epoch", signed=(given_up(plain, C),))], E)
    assert wrong(lie)
    monkeypatch.setattr(verify_handovers, "_check_given_up", lambda index, said, keys: None)
    assert wrong(lie) == ""
