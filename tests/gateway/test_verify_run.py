"""A run's root and receipts, held against the proofs made one by one."""

from __future__ import annotations

import pytest

from gateway.verify_run import Run
from protocol.merkle import EvidenceError, Frontier, inclusion_proof, leaf_hash, root_of
from protocol.receipt import Receipt

LEAVES = [leaf_hash(b"%d" % i) for i in range(70)]


def hash_at(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


def run_of(first: int, last: int, size: int, leaves: list[bytes] = LEAVES) -> Run:
    paths = [inclusion_proof(index, size, hash_at) for index in (first, last)]
    return Run(first, b"".join(leaves[first : last + 1]), size, *paths)


def test_every_run_of_every_small_log():
    for size in range(1, 35):
        root = root_of(LEAVES[:size])
        for first in range(size):
            for last in range(first, size):
                run = run_of(first, last, size)
                assert (run.root, run.last) == (root, last)
                for index in {first, (first + last) // 2, last}:
                    path = inclusion_proof(index, size, hash_at)
                    assert run.path(index) == path
                    assert run.receipt(index, b"note") == Receipt(index, path, b"note").encode()
                for earlier in range(1, size + 1):
                    known = first <= earlier <= last + 1
                    assert run.root_at(earlier) == (root_of(LEAVES[:earlier]) if known else None)


def test_left_out_doubled_swapped_added_and_changed_give_another_root():
    first, last, size = 3, 40, 70
    good = LEAVES[first : last + 1]
    assert run_of(first, last, size).root == root_of(LEAVES)
    for i in range(len(good)):
        other = [leaf_hash(b"other")]
        changes = {
            "changed": good[:i] + other + good[i + 1 :],
            "added": good[:i] + other + good[i:],
            "doubled": good[:i] + good[i : i + 1] + good[i:],
            "left out": good[:i] + good[i + 1 :],
            "swapped": good[:i] + good[i + 1 : i + 2] + good[i : i + 1] + good[i + 2 :],
        }
        for what, leaves in changes.items():
            if what == "swapped" and i == len(good) - 1:
                continue
            paths = [inclusion_proof(index, size, hash_at) for index in (first, last)]
            try:
                root = Run(first, b"".join(leaves), size, *paths).root
            except (EvidenceError, KeyError):
                continue
            assert root != Frontier.at(size, hash_at).root(), (what, i)


def test_paths_of_the_wrong_length():
    path = inclusion_proof(5, 40, hash_at)
    for wrong, says in ((path[:-1], "too short"), ([*path, LEAVES[0]], "too long")):
        with pytest.raises(EvidenceError, match=says):
            Run(5, LEAVES[5], 40, wrong, path)
    with pytest.raises(EvidenceError, match="no entries 39 to 40"):
        Run(39, LEAVES[0] * 2, 40, path, path)
