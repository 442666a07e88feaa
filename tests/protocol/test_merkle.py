# runs on: cpython
"""protocol.merkle: known answers of Certificate Transparency, RFC 6962 written out, damage of every kind."""

from hashlib import sha256
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import merkle
from protocol.merkle import (
    EMPTY_ROOT,
    PROOF_MAX,
    SIZE_MAX,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    root_of,
)
from tests.protocol._evidence import (
    believes,
    broken,
    flips,
    hash_at_of,
    leaf,
    leaves_of,
    mth,
    path,
    refused,
    subproof,
)

SIZES = 70
LEAVES = leaves_of(SIZES)
HASH_AT = hash_at_of(LEAVES)
ROOTS = [mth(LEAVES[:n]) for n in range(SIZES + 1)]

# The tree that certificate-transparency tests with: leaves, roots of the first n of them, proofs.
CT_DATA = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_LEAVES = [leaf_hash(bytes.fromhex(data)) for data in CT_DATA]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
_A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
CT_INCLUSION = [
    (0, 1, []),
    (0, 8, [_A, _B, _C]),
    (5, 8, [_D, _E, CT_ROOTS[4]]),
    (2, 3, [CT_ROOTS[2]]),
    (1, 5, [CT_ROOTS[1], _B, _D]),
]
CT_CONSISTENCY = [(1, 1, []), (1, 8, [_A, _B, _C]), (6, 8, [_F, _E, CT_ROOTS[4]]), (2, 5, [_B, _D])]


# Known answers ---------------------------------------------------------------------------------------------


def test_the_roots_of_certificate_transparency():
    assert EMPTY_ROOT.hex() == CT_ROOTS[0]
    for n, root in enumerate(CT_ROOTS):
        assert root_of(CT_LEAVES[:n]).hex() == root == root_at(n, hash_at_of(CT_LEAVES)).hex()


@pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
def test_the_inclusion_proofs_of_certificate_transparency(index, size, proof):
    assert [p.hex() for p in inclusion_proof(index, size, hash_at_of(CT_LEAVES))] == proof
    check_inclusion(
        CT_LEAVES[index], index, size, [bytes.fromhex(p) for p in proof], bytes.fromhex(CT_ROOTS[size])
    )


@pytest.mark.parametrize(("old", "new", "proof"), CT_CONSISTENCY)
def test_the_consistency_proofs_of_certificate_transparency(old, new, proof):
    assert [p.hex() for p in consistency_proof(old, new, hash_at_of(CT_LEAVES))] == proof
    roots = bytes.fromhex(CT_ROOTS[old]), bytes.fromhex(CT_ROOTS[new])
    check_consistency(old, new, *roots, [bytes.fromhex(p) for p in proof])


# Against RFC 6962 as it is written --------------------------------------------------------------------------


def test_every_proof_of_every_small_tree():
    for size in range(SIZES + 1):
        assert root_of(LEAVES[:size]) == root_at(size, HASH_AT) == ROOTS[size]
        for index in range(size):
            proof = inclusion_proof(index, size, HASH_AT)
            assert proof == path(index, LEAVES[:size])
            check_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
        for old in range(size + 1):
            proof = consistency_proof(old, size, HASH_AT)
            assert proof == (subproof(old, LEAVES[:size]) if old else [])
            check_consistency(old, size, ROOTS[old], ROOTS[size], proof)


def test_a_frontier_grows_as_the_tree_does():
    frontier = Frontier()
    for size in range(SIZES + 1):
        other = Frontier.at(size, HASH_AT)
        assert (frontier.size, frontier.hashes, frontier.root()) == (size, other.hashes, ROOTS[size])
        copy = Frontier(frontier.size, frontier.hashes)
        copy.extend(LEAVES[size:])
        assert copy.root() == ROOTS[SIZES]  # and the original stays as it is
        if size < SIZES:
            frontier.append(LEAVES[size])


@given(st.lists(st.integers(0, 90), max_size=12))
def test_a_frontier_may_be_extended_in_any_steps(steps):
    leaves = leaves_of(sum(steps))
    frontier, at = Frontier(), 0
    for step in steps:
        frontier.extend(iter(leaves[at : at + step]))
        at += step
    assert frontier.size == at and frontier.root() == mth(leaves)


def test_extend_reports_the_subtrees_worth_keeping():
    leaves = leaves_of(70_000)
    frontier, kept = Frontier(), {(0, i): h for i, h in enumerate(leaves)}
    for begin in range(0, len(leaves), 999):
        for level, index, made in frontier.extend(leaves[begin : begin + 999]):
            kept[level, index] = made
    assert sorted(k for k in kept if k[0]) == [(8, i) for i in range(273)] + [(16, 0)]
    assert kept[8, 7] == mth(leaves[7 * 256 : 8 * 256]) and kept[16, 0] == mth(leaves[:65_536])

    # Leaves and these are enough for every root and proof.
    def hash_at(level, index):
        if (level, index) not in kept:
            return node_hash(hash_at(level - 1, 2 * index), hash_at(level - 1, 2 * index + 1))
        return kept[level, index]

    for size in (1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000):
        root = root_at(size, hash_at)
        assert root == root_of(leaves[:size])
        for index in {0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size)):
            check_inclusion(leaves[index], index, size, inclusion_proof(index, size, hash_at), root)
        for old in {0, 1, size // 3, size - 1, size}:
            proof = consistency_proof(old, size, hash_at)
            check_consistency(old, size, root_of(leaves[:old]), root, proof)


# A tree of 2**40 equal leaves: one hash a level.
def test_trees_too_large_to_hold():
    levels = [leaf_hash(b"the same")]
    for _ in range(63):
        levels.append(node_hash(levels[-1], levels[-1]))

    def hash_at(level, index):
        return levels[level]

    for size in (2**40, 2**40 - 1, 2**40 + 12345, 2**61 + 1, SIZE_MAX):
        root = root_at(size, hash_at)
        for index in (0, 1, size // 2, size - 1):
            proof = inclusion_proof(index, size, hash_at)
            assert len(proof) <= PROOF_MAX
            check_inclusion(levels[0], index, size, proof, root)
            refused(check_inclusion, levels[1], index, size, proof, root)
        for old in (1, 2**39, 2**39 + 1, size - 1):
            proof = consistency_proof(old, size, hash_at)
            if len(proof) <= PROOF_MAX:
                check_consistency(old, size, root_at(old, hash_at), root, proof)
            else:
                assert size > 2**61


# Damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "size"), [(0, 2), (5, 8), (6, 7), (0, 7), (64, 65), (33, 70)])
def test_every_flipped_bit_of_an_inclusion_is_refused(index, size):
    proof = inclusion_proof(index, size, HASH_AT)
    for i, p in enumerate(proof):
        for changed in flips(p):
            refused(
                check_inclusion,
                LEAVES[index],
                index,
                size,
                [*proof[:i], changed, *proof[i + 1 :]],
                ROOTS[size],
            )
    for changed in flips(LEAVES[index]):
        refused(check_inclusion, changed, index, size, proof, ROOTS[size])
    for changed in flips(ROOTS[size]):
        refused(check_inclusion, LEAVES[index], index, size, proof, changed)


def test_an_inclusion_holds_for_one_index_only():
    for size in range(1, 40):
        for index in range(size):
            proof = inclusion_proof(index, size, HASH_AT)
            believed = [
                i
                for i in range(size + 3)
                if believes(check_inclusion, LEAVES[index], i, size, proof, ROOTS[size])
            ]
            assert believed == [index]


@given(st.integers(1, SIZES), st.data())
def test_proofs_of_a_wrong_length_are_refused(size, data):
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    inclusion, consistency = inclusion_proof(index, size, HASH_AT), consistency_proof(old, size, HASH_AT)
    more = [data.draw(st.sampled_from([*LEAVES, *ROOTS, bytes(32)]))]
    for proof in (inclusion[:-1], inclusion[1:], more + inclusion, inclusion + more, inclusion * 2):
        if proof != inclusion:
            refused(check_inclusion, LEAVES[index], index, size, proof, ROOTS[size])
    for proof in (consistency[:-1], consistency[1:], more + consistency, consistency + more, consistency * 2):
        if proof != consistency:
            refused(check_consistency, old, size, ROOTS[old], ROOTS[size], proof)


@pytest.mark.parametrize(("old", "new"), [(1, 2), (3, 7), (4, 7), (6, 8), (64, 65), (33, 70)])
def test_every_flipped_bit_of_a_consistency_is_refused(old, new):
    proof = consistency_proof(old, new, HASH_AT)
    for i, p in enumerate(proof):
        for changed in flips(p):
            refused(
                check_consistency, old, new, ROOTS[old], ROOTS[new], [*proof[:i], changed, *proof[i + 1 :]]
            )
    for changed in flips(ROOTS[old]):
        refused(check_consistency, old, new, changed, ROOTS[new], proof)
    for changed in flips(ROOTS[new]):
        refused(check_consistency, old, new, ROOTS[old], changed, proof)


@settings(max_examples=200)
@given(st.integers(2, SIZES), st.data())
def test_a_rewritten_past_has_no_proof(size, data):
    """Whoever changes an entry below `old` finds no proof: neither the true one nor one of the other tree."""
    old = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, old - 1))
    other = [*LEAVES[:changed], leaf(b"another value"), *LEAVES[changed + 1 : size]]
    for leaves in (LEAVES, other):
        proof = consistency_proof(old, size, hash_at_of(leaves))
        refused(check_consistency, old, size, ROOTS[old], mth(other), proof)


def test_a_shorter_log_is_no_continuation():
    says = "its end was cut off"
    refused(check_consistency, 8, 7, ROOTS[8], ROOTS[7], [], says=says)
    refused(check_consistency, 1, 0, ROOTS[1], EMPTY_ROOT, [], says=says)


def test_empty_and_equal_logs():
    check_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    check_consistency(0, 5, EMPTY_ROOT, ROOTS[5], [])
    check_consistency(5, 5, ROOTS[5], ROOTS[5], ())
    refused(check_consistency, 0, 5, ROOTS[1], ROOTS[5], [], says="the old log is empty")
    refused(check_consistency, 0, 0, EMPTY_ROOT, ROOTS[1], [], says="the new log is empty")
    refused(check_consistency, 0, 5, EMPTY_ROOT, ROOTS[5], [ROOTS[1]])
    refused(check_consistency, 3, 5, ROOTS[3], ROOTS[5], [], says="the consistency proof is empty")
    refused(check_consistency, 5, 5, ROOTS[5], ROOTS[5], [ROOTS[1]])
    refused(check_consistency, 5, 5, ROOTS[5], ROOTS[6], [], says="rewritten")
    refused(check_inclusion, LEAVES[0], 0, 0, [], EMPTY_ROOT)


# Numbers and shapes ----------------------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(-2, 80),
    st.sampled_from([SIZE_MAX, SIZE_MAX + 1, 2**64, -(2**63), 10**400]),
    st.sampled_from([None, True, 1.0, "1", b"1"]),
)
hashes = st.one_of(st.sampled_from([*LEAVES, *ROOTS]), st.binary(max_size=40), st.none(), st.just("a" * 32))
proofs = st.one_of(
    st.lists(hashes, max_size=6),
    st.sampled_from([None, b"", "proof", {}, [bytes(32)] * 64, [bytes(32)] * 63]),
)


@given(numbers, numbers, hashes, hashes, proofs)
def test_garbage_raises_evidence_error_and_nothing_else(a, b, one, two, proof):
    believes(check_inclusion, one, a, b, proof, two)
    believes(check_consistency, a, b, one, two, proof)
    believes(Frontier, a, proof if isinstance(proof, list) else ())


def test_a_proof_ends():
    """Too many hashes are refused before they are hashed."""
    for count in (64, 10**6):
        with mock.patch.object(merkle, "node_hash", side_effect=AssertionError):
            refused(check_inclusion, LEAVES[0], 0, SIZE_MAX, [bytes(32)] * count, ROOTS[1])
            refused(check_consistency, 3, SIZE_MAX, ROOTS[3], ROOTS[1], [bytes(32)] * count)


def test_what_a_frontier_refuses():
    refused(Frontier, 3, [ROOTS[1]], says="2 complete subtrees")
    refused(Frontier, -1, [])
    refused(Frontier, 2**63, [ROOTS[1]])
    refused(Frontier, 1, [ROOTS[1][:31]])
    refused(Frontier.at, 2, lambda level, index: b"short")
    for index, size in ((-1, 5), (5, 5), (0, 0), (0, SIZE_MAX + 1)):
        refused(inclusion_proof, index, size, HASH_AT)
    refused(consistency_proof, 6, 5, HASH_AT)


# Controls: with one rule broken the tests above would fail --------------------------------------------------


def test_control_without_prefixes_a_node_passes_for_a_leaf():
    """What 0x00 and 0x01 are for: the tree of two leaves whose data are nodes has the root of four leaves."""
    four = [sha256(bytes([i])).digest() for i in range(4)]

    def bare(left, right):
        return sha256(left + right).digest()

    with (
        mock.patch.object(merkle, "node_hash", bare),
        mock.patch.object(merkle, "leaf_hash", lambda d: sha256(d).digest()),
    ):
        root = merkle.node_hash(merkle.node_hash(*four[:2]), merkle.node_hash(*four[2:]))
        forged = merkle.leaf_hash(four[0] + four[1])  # an "entry" that nobody appended
        merkle.check_inclusion(forged, 0, 2, [bare(*four[2:])], root)
    root = node_hash(node_hash(*four[:2]), node_hash(*four[2:]))
    refused(check_inclusion, leaf_hash(four[0] + four[1]), 0, 2, [node_hash(*four[2:])], root)


PROOF = inclusion_proof(0, 4, HASH_AT)
WRONG = b"\x01" * 32
CONTROLS = [  # the rule, what stands in its place, an attack that the rule stops
    ("r != root", "False", "check_inclusion", (WRONG, 0, 4, PROOF, ROOTS[4])),
    ('if sn:\n        raise EvidenceError(f"the inc', 'if 0:\n        raise EvidenceError(f"the inc',
     "check_inclusion", (LEAVES[0], 0, 8, PROOF, ROOTS[4])),
    ("fr != old_root or", "", "check_consistency", (3, 7, WRONG, ROOTS[7], consistency_proof(3, 7, HASH_AT))),
    ("or sr != new_root", "", "check_consistency", (3, 7, ROOTS[3], WRONG, consistency_proof(3, 7, HASH_AT))),
    ('if sn:\n        raise EvidenceError(f"the con', 'if 0:\n        raise EvidenceError(f"the con',
     "check_consistency", (3, 8, ROOTS[3], ROOTS[4], consistency_proof(3, 4, HASH_AT))),
    ("old == new and old_root != new_root", "False", "check_consistency", (5, 5, ROOTS[5], WRONG, [])),
    ("!= EMPTY_ROOT and not size", "== 0", "check_consistency", (0, 5, WRONG, ROOTS[5], [])),
    ("    if old > new:", "    if False:", "check_consistency", (4, 1, ROOTS[4], ROOTS[4], [])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "instead", "check", "attack"), CONTROLS, ids=range(len(CONTROLS)))
def test_control_without_the_rule_the_attack_is_believed(rule, instead, check, attack):
    refused(getattr(merkle, check), *attack)
    getattr(broken(merkle, rule, instead), check)(*attack)


# What it costs ---------------------------------------------------------------------------------------------


class _Counted:
    """In the place of the state that each node's hash begins with: how often one was made."""

    def __init__(self, state):
        self._state, self.copies = state, 0

    def copy(self):
        self.copies += 1
        return self._state.copy()


def _nodes_hashed(module, count):
    """By appending so many leaves and asking for the root."""
    with mock.patch.object(module, "_NODE", _Counted(module._NODE)) as nodes:
        frontier = module.Frontier()
        for leaf in [LEAVES[0]] * count:
            frontier.append(leaf)
        appended = nodes.copies
        frontier.root()
    return appended, nodes.copies - appended


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000, 65_536])
def test_appending_hashes_each_node_once_and_the_root_only_what_is_open(count):
    assert _nodes_hashed(merkle, count) == (count - count.bit_count(), count.bit_count() - 1)


def test_control_a_tree_that_is_made_again_from_its_start_is_found():
    again = broken(merkle, "self.extend((leaf,))", "self.extend((leaf,)); self.root()")
    assert _nodes_hashed(again, 1000)[0] > 1000 - (1000).bit_count()
