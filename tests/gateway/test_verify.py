"""What a bundle shows, and that nothing in it can be changed unseen. Every kind of change has its control: a
verifier that leaves one thing out lets it pass.
"""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from gateway import verify_entries
from gateway.journal import leaf as leaves
from gateway.journal.kinds import FRAME
from gateway.journal.reader import Reader
from gateway.verify import check_files
from gateway.verify_bundle import entry_name, proof_name
from gateway.verify_entries import Entries
from gateway.verify_files import Files, codes_of
from gateway.verify_run import Run
from gateway.verify_windows import Recomputation
from protocol.checkpoint import open_checkpoint
from protocol.merkle import EvidenceError, check_inclusion, leaf_hash
from tests.gateway.bundle_rig import NAME, Memory, changed_row, claims, exported, forged, simple, wrong
from tests.gateway.evidence_rig import LENGTH_MS, START, Story, greeting, late, live, restarted


@pytest.fixture(scope="module")
def story_and_bundle(tmp_path_factory) -> tuple[Story, Memory]:
    return simple(tmp_path_factory.mktemp("simple"))


@pytest.fixture(scope="module")
def bundle(story_and_bundle) -> Memory:
    return story_and_bundle[1]


@pytest.fixture(scope="module")
def varied(tmp_path_factory) -> tuple[Story, Memory]:
    """Late readings, two starts of the gateway, a device that did not know the time."""
    folder = tmp_path_factory.mktemp("varied")
    story = Story(folder)
    story.start(greeting, live(3), late(700_000), live(2))
    story.now_ms += 200_000
    story.start(greeting, live(2), late(900_000), restarted, live(2))
    return story, exported(story, folder / "bundle", START + LENGTH_MS, START + 6 * LENGTH_MS)


# What holds -------------------------------------------------------------------------------------------------


def test_everything_holds(bundle):
    found = claims(bundle)
    assert [claim.what for claim in found] == ["key", "checkpoint", "entries", "windows", "files"]
    assert all(claim.shown for claim in found)
    assert bundle.manifest.last + 1 >= 100 and bundle.manifest.others == ()
    assert "6 windows" in found[3].text and "6 provincial files" in found[4].text


def test_whose_key_it_is_is_not_shown_without_a_key(bundle):
    assert [claim.what for claim in claims(bundle, log=None) if not claim.shown] == ["key"]


def test_late_readings_starts_and_placements_come_out_the_same(varied):
    _, bundle = varied
    found = claims(bundle)
    assert bundle.manifest.others and "later revisions" in found[3].text and found[4].shown


def test_each_window_alone(varied, tmp_path):
    story, _ = varied
    for n in range(8):
        one = exported(story, tmp_path / str(n), START + n * LENGTH_MS, START + (n + 1) * LENGTH_MS)
        found = claims(one)
        assert one.manifest.windows == 1 and "1 windows" in found[3].text, n


# Every single bit -------------------------------------------------------------------------------------------


def flips(data: bytes):
    changed = bytearray(data)
    for at in range(len(data)):
        for bit in range(8):
            changed[at] ^= 1 << bit
            yield bytes(changed)
            changed[at] ^= 1 << bit


@pytest.mark.parametrize("name", ["checkpoint", "log.vkey", "bundle.json"])
def test_every_bit_of_the_files_at_its_top(bundle, name):
    """All of verify() for each of them."""
    for data in flips(bundle.files[name]):
        assert wrong(bundle.but({name: data})), data


def test_every_bit_of_its_readme(bundle):
    """The hash that bundle.json has of it; all of verify() for one bit in 32."""
    for count, data in enumerate(flips(bundle.files["README.txt"])):
        assert sha256(data).hexdigest() != bundle.manifest.readme
        assert count % 32 or wrong(bundle.but({"README.txt": data})), data


def test_every_bit_of_every_provincial_file(bundle):
    """The step of verify() that reads them."""
    manifest = bundle.manifest
    files = Files(codes_of(NAME))
    recomputation = Recomputation(
        lambda index: leaves.parse(bundle.files[entry_name(index)]),
        manifest.from_ms,
        manifest.to_ms,
        found=files.hear,
    )
    for index, data in enumerate(bundle.entries()):
        recomputation.take(index, leaves.parse(data))
    recomputation.end()
    assert "6 provincial files follow" in check_files(bundle, manifest, files).text
    for name in manifest.files:
        for data in flips(bundle.files[f"files/{name}"]):
            with pytest.raises(EvidenceError):
                check_files(bundle.but({f"files/{name}": data}), manifest, files)


def test_every_bit_of_every_entry(bundle):
    """The step of verify() that reads entries: another root, for each of them."""
    manifest = bundle.manifest
    signed = open_checkpoint(bundle.files["checkpoint"], bundle.key)
    entries = Entries(bundle, manifest, signed, bundle.files["checkpoint"])
    hashes = [leaf_hash(data) for data in bundle.entries()]
    paths = [entries.run.path(index) for index in (0, manifest.last)]
    count = 0
    for index, data in enumerate(bundle.entries()):
        before, after = b"".join(hashes[:index]), b"".join(hashes[index + 1 :])
        path = entries.run.path(index)
        for changed in flips(data):
            leaf = leaf_hash(changed)
            if not count % 8:  # as verify() does; the other bits by their path alone, which is the same root
                assert Run(0, before + leaf + after, signed.size, *paths).root != signed.root
            with pytest.raises(EvidenceError):
                check_inclusion(leaf, index, signed.size, path, signed.root)
            count += 1
    assert count > 80_000


@pytest.mark.parametrize("part", range(4))
def test_every_bit_of_every_receipt(bundle, part):
    """The step of verify() that reads receipts; of the two that bring the root, the whole of verify()."""
    manifest = bundle.manifest
    signed = open_checkpoint(bundle.files["checkpoint"], bundle.key)
    entries = Entries(bundle, manifest, signed, bundle.files["checkpoint"])
    for index in range(manifest.first, manifest.last + 1):
        if index % 4 != part:
            continue
        name = proof_name(index)
        for changed in flips(bundle.files[name]):
            if index in (manifest.first, manifest.last):
                continue
            try:
                entries.check_receipt(index, changed)
            except EvidenceError:
                continue
            raise AssertionError((name, changed))


def test_every_bit_of_the_receipts_that_bring_the_root(bundle):
    manifest = bundle.manifest
    signed = open_checkpoint(bundle.files["checkpoint"], bundle.key)
    for index in (manifest.first, manifest.last):
        for changed in flips(bundle.files[proof_name(index)]):
            with pytest.raises(EvidenceError):
                one = bundle.but({proof_name(index): changed})
                with Entries(one, manifest, signed, bundle.files["checkpoint"]).receipts_shown(lambda: None):
                    pass


def test_bits_of_all_files_by_the_whole_of_verify(bundle, varied):
    chance = random.Random(1)
    for one in (bundle, varied[1]):
        names = sorted(one.files)
        for _ in range(1000):
            name = chance.choice(names)
            data = bytearray(one.files[name])
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            assert wrong(one.but({name: bytes(data)})), (name, bytes(data))


# Left out, doubled, swapped, added --------------------------------------------------------------------------


def renumbered(bundle: Memory, order: list[int]) -> Memory:
    """Entries and receipts in another order, with the numbers that fit their new places."""
    files: dict[str, bytes | None] = {
        name: None for name in bundle.files if name.startswith(("entries/", "proofs/"))
    }
    for place, index in enumerate(order):
        files[entry_name(place)] = bundle.files[entry_name(index)]
        proof = bundle.files[proof_name(index)]
        files[proof_name(place)] = proof.replace(b"index %d\n" % index, b"index %d\n" % place)
    return bundle.but(files).saying(last=len(order) - 1)


def test_left_out_doubled_and_swapped_entries_are_found(bundle):
    every = list(range(bundle.manifest.last + 1))
    for i in every[:-1]:
        changes = {
            "left out": every[:i] + every[i + 1 :],
            "doubled": every[: i + 1] + every[i:],
            "swapped": [*every[:i], i + 1, i, *every[i + 2 :]],
        }
        for what, order in changes.items():
            assert wrong(renumbered(bundle, order)), (what, i)
        assert wrong(bundle.but({entry_name(i): None})) == f"{entry_name(i)} is missing"
        assert wrong(bundle.but({proof_name(i): None})) == f"{proof_name(i)} is missing"
        swapped = {
            entry_name(i): bundle.files[entry_name(i + 1)],
            entry_name(i + 1): bundle.files[entry_name(i)],
        }
        assert "do not belong together" in wrong(bundle.but(swapped))


def test_added_files_are_found(bundle):
    last = bundle.manifest.last
    for name in (entry_name(last + 1), proof_name(last + 1), "files/x.txt", "entries/01.bin", "note", "a/b"):
        assert "does not belong to the bundle" in wrong(bundle.but({name: b"x"})), name
    instead = bundle.but({entry_name(1): None, "entries/01.bin": b"x"})  # just as many
    assert wrong(instead) == f"{entry_name(1)} is missing"
    fake = {entry_name(last + 1): bundle.entries()[0], proof_name(last + 1): bundle.files[proof_name(0)]}
    assert wrong(bundle.but(fake).saying(last=last + 1))
    assert wrong(bundle.but(fake).saying(others=(last + 1,)))


def test_a_file_that_is_left_out_or_swapped_is_found(bundle):
    first, second, *_ = (f"files/{name}" for name in bundle.manifest.files)
    assert wrong(bundle.but({first: None})) == f"{first} is missing"
    swapped = {first: bundle.files[second], second: bundle.files[first]}
    assert f"{first}, line 1: it says" in wrong(bundle.but(swapped))
    fewer = bundle.but({first: None}).saying(files=bundle.manifest.files[1:])
    assert "1 windows have no file in the bundle" in claims(fewer)[-1].text


def test_the_range_cannot_be_said_otherwise(varied, bundle):
    for one in (bundle, varied[1]):
        said = one.manifest
        for delta in (-LENGTH_MS, LENGTH_MS, 1000):
            assert wrong(one.saying(from_ms=said.from_ms + delta))
            assert wrong(one.saying(to_ms=said.to_ms + delta))
        assert wrong(one.saying(from_ms=said.from_ms + LENGTH_MS, windows=said.windows - 1))
        assert wrong(one.saying(to_ms=said.to_ms - LENGTH_MS, windows=said.windows - 1))
        assert wrong(one.saying(windows=said.windows + 1))


def test_every_entry_beside_the_run_that_windows_rest_on_is_needed_or_told(varied):
    """Leaving one out, with the word of bundle.json changed to fit: a window does not come out, or none
    rests on it.
    """
    _, bundle = varied
    needed = 0
    for index in bundle.manifest.others:
        fewer = bundle.but({entry_name(index): None, proof_name(index): None})
        assert wrong(fewer) == f"{entry_name(index)} is missing"
        others = tuple(other for other in bundle.manifest.others if other != index)
        needed += bool(wrong(fewer.saying(others=others)))
    assert needed >= 3


# A key that signs lies --------------------------------------------------------------------------------------


def test_a_signed_lie_about_a_window_is_found_by_its_readings(bundle):
    assert wrong(forged(bundle, bundle.entries())) == "", "the forger's bundle of the truth holds"
    found = wrong(forged(bundle, changed_row(bundle)))
    assert "the window of 'COD' from 2026-03-25T07:05:00+07:00, revision 1, says value" in found


def test_a_reading_that_is_left_out_or_changed_by_the_key_holder_is_found_by_its_window(bundle):
    entries = bundle.entries()
    frames = [i for i, data in enumerate(entries) if leaves.parse(data).kind == FRAME]
    for i in frames[3:40:6]:
        assert "the window of" in wrong(forged(bundle, entries[:i] + entries[i + 1 :]))


def test_another_key_is_found(bundle):
    other = forged(bundle, bundle.entries())
    assert "another key than the one given" in wrong(other, log=bundle.key)
    assert "the checkpoint:" in wrong(other.but({"log.vkey": bundle.files["log.vkey"]}))


# Controls: a verifier that leaves something out -------------------------------------------------------------


def test_control_without_the_recomputation_a_signed_lie_passes(bundle, monkeypatch):
    lie = forged(bundle, changed_row(bundle, 1))
    lie = lie.but({f"files/{name}": None for name in lie.manifest.files}).saying(files=())
    assert wrong(lie)
    monkeypatch.setattr(Recomputation, "_compare", lambda self, group, fresh: None)
    assert wrong(lie) == ""


def test_control_with_a_leaf_that_leaves_a_field_out_a_changed_arrival_passes(bundle, monkeypatch):
    def weak(data: bytes) -> bytes:
        kind, source, arrived_ms, _, data = leaves.parse(data)
        return leaf_hash(leaves.leaf_bytes(kind, source, arrived_ms, 0, data))

    leaf = leaves.parse(bundle.entries()[5])
    changed = leaves.leaf_bytes(*leaf._replace(mono_ms=leaf.mono_ms + 1))
    weakly = forged(bundle, bundle.entries(), weak).but({entry_name(5): changed})
    strongly = forged(bundle, bundle.entries()).but({entry_name(5): changed})
    assert "entries/5.bin and its receipt" in wrong(strongly)
    monkeypatch.setattr(verify_entries, "leaf_hash", weak)
    assert wrong(weakly) == ""


def test_control_without_comparing_receipts_a_changed_one_passes(bundle, monkeypatch):
    changed = bundle.but({proof_name(7): bundle.files[proof_name(8)]})
    assert wrong(changed) == "proofs/7.tlog-proof is about entry 8"
    monkeypatch.setattr(Entries, "check_receipt", lambda self, index, data: None)
    assert wrong(changed) == ""


# A checkpoint in hand ---------------------------------------------------------------------------------------


def test_a_cut_tail_and_an_older_checkpoint_are_found_with_a_later_one_in_hand(tmp_path):
    story = Story(tmp_path).start(greeting, live(3))
    before = exported(story, tmp_path / "before")
    older = before.files["checkpoint"]
    story.start(greeting, live(2))
    later = (story.state_dir / "log.checkpoint").read_bytes()
    assert wrong(before) == "", "without it nobody can tell"
    assert "the end was cut off, or an older checkpoint is shown" in wrong(before, seen=(later,))
    after = exported(story, tmp_path / "after")
    assert wrong(after, seen=(later, older)) == ""
    replayed = wrong(after.but({"checkpoint": older}))
    signs = f"the checkpoint signs {open_checkpoint(older, before.key).size} entries"
    assert replayed == f"bundle.json names entry {after.manifest.last}, and {signs}"
    newer = before.but({"checkpoint": after.files["checkpoint"]})
    assert wrong(newer) == "proofs/0.tlog-proof leads to another checkpoint than the bundle's"


def test_another_history_is_found_with_any_checkpoint_in_hand(bundle):
    entries = bundle.entries()
    leaf = leaves.parse(entries[2])
    entries[2] = leaves.leaf_bytes(*leaf._replace(mono_ms=leaf.mono_ms + 1))
    truth, other = forged(bundle, bundle.entries()), forged(bundle, entries)
    assert wrong(other) == ""
    assert "not those of the checkpoint in hand" in wrong(other, seen=(truth.files["checkpoint"],))


def test_an_older_checkpoint_in_hand_needs_the_run_or_a_proof(tmp_path):
    story = Story(tmp_path).start(greeting, live(6))
    reader = Reader(story.state_dir / "journal.db")
    kept = [data for (data,) in reader.rows("SELECT note FROM checkpoint ORDER BY size")]
    reader.close()
    late_range = (START + 4 * LENGTH_MS, START + 5 * LENGTH_MS)
    one = exported(story, tmp_path / "one", *late_range)
    assert "ask for a bundle made with `quantrac export --seen`" in wrong(one, seen=(kept[0],))
    assert wrong(one, seen=(kept[3],)) == "", "its size lies in the run"
    (tmp_path / "seen").write_bytes(kept[0])
    shown = exported(story, tmp_path / "two", *late_range, seen=tmp_path / "seen")
    assert wrong(shown, seen=(kept[0],)) == "" and wrong(shown) == ""
    for data in flips(shown.files["consistency"]):
        assert wrong(shown.but({"consistency": data}))
    assert wrong(shown.but({"consistency": None}))
