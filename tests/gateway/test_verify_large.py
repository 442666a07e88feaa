"""Promise 5 at full size: every bit of every entry and of every receipt of a bundle of 1,000 entries.

With QUANTRAC_LONG; else of a bundle of some 30. The bundle of test_verify.py, in which all else is changed,
has 100. Control: a leaf that leaves the first byte out.
"""

from __future__ import annotations

import os

import pytest

from gateway.verify_entries import Entries
from gateway.verify_run import Run
from protocol.checkpoint import open_checkpoint
from protocol.merkle import EvidenceError, check_inclusion, inclusion_proof, leaf_hash, root_of
from tests.gateway.bundle_rig import Memory, simple
from tests.gateway.test_verify import flips
from tests.promises.counted import counted

LONG = bool(os.environ.get("QUANTRAC_LONG"))
WINDOWS, ENTRIES = (50, 1000) if LONG else (2, 25)
PARTS = 4
WHOLE = 2000
"""Of so many flips one is tried by the root of the whole run, the others by their own path."""
pytestmark = pytest.mark.timeout(7200 if LONG else 300)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Memory:
    found = simple(tmp_path_factory.mktemp("large"), WINDOWS)[1]
    assert found.manifest.last + 1 >= ENTRIES
    return found


@pytest.fixture(scope="module")
def entries(bundle) -> Entries:
    signed = open_checkpoint(bundle.files["checkpoint"], bundle.key)
    return Entries(bundle, bundle.manifest, signed, bundle.files["checkpoint"])


def unseen(every: list[bytes], run: Run, root: bytes, part: int, hashed=leaf_hash) -> list[int]:
    """Entries of which a changed bit gives the same root."""
    hashes = [hashed(data) for data in every]
    size = len(every)
    paths = [run.path(index) for index in (0, size - 1)]
    found, count = [], 0
    for index in range(part, size, PARTS):
        path = run.path(index)
        for changed in flips(every[index]):
            leaf = hashed(changed)
            try:
                check_inclusion(leaf, index, size, path, root)
                found.append(index)
            except EvidenceError:
                pass
            if count % WHOLE == 0:
                whole = b"".join([*hashes[:index], leaf, *hashes[index + 1 :]])
                if Run(0, whole, size, *paths).root == root:
                    found.append(index)
            count += 1
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_every_bit_of_every_entry(bundle, entries, part):
    signed = open_checkpoint(bundle.files["checkpoint"], bundle.key)
    assert signed.size == len(bundle.entries())
    assert unseen(bundle.entries(), entries.run, signed.root, part) == []
    counted("entries", len(range(part, len(bundle.entries()), PARTS)))


@pytest.mark.parametrize("part", range(PARTS))
def test_every_bit_of_every_receipt(bundle, entries, part):
    last = bundle.manifest.last
    for index in range(part, last + 1, PARTS):
        if index in (0, last):
            continue  # they bring the root: test_verify.py
        receipt = entries.run.receipt(index, bundle.files["checkpoint"])
        entries.check_receipt(index, receipt)
        for changed in flips(receipt):
            with pytest.raises(EvidenceError):
                entries.check_receipt(index, changed)


def test_control_a_leaf_that_leaves_a_byte_out_is_found(bundle):
    """The log as it would be, had all entries been hashed like that."""

    def careless(data: bytes) -> bytes:
        return leaf_hash(data[1:])

    leaves = [careless(data) for data in bundle.entries()]
    size = len(leaves)

    def hash_at(level: int, index: int) -> bytes:
        return root_of(leaves[index << level : (index + 1) << level])

    paths = [inclusion_proof(index, size, hash_at) for index in (0, size - 1)]
    run = Run(0, b"".join(leaves), size, *paths)
    assert run.root == root_of(leaves)
    assert set(unseen(bundle.entries(), run, run.root, 0, careless)) == set(range(0, size, PARTS))
