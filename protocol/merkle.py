# The journal's Merkle tree: RFC 6962 section 2.1, and the checks of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
#
# Rule 1: a leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), so neither passes for the
#         other. The root of no leaves is SHA-256 of nothing. A lone subtree is never doubled: it moves up.
# Rule 2: whoever builds a proof brings hash_at(level, index): the root of the complete subtree over leaves
#         index << level to ((index + 1) << level) - 1. It is asked for nothing beyond the tree's size.
# Rule 3: a check takes what strangers send. It returns, or raises EvidenceError. It hashes two pairs at most
#         for each hash of a proof, and takes proofs of exactly the length that index and sizes ask for.
# Rule 4: the gateway's and the verifier's: the device loads nothing of this.

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from protocol.errors import ProtocolError


# A proof, note, checkpoint or receipt is malformed, or does not show what it should. Do not believe it: the
# text says what is wrong with it. Asking for the same again does not help.
class EvidenceError(ProtocolError):
    pass


HashAt = Callable[[int, int], bytes]

HASH_BYTES = 32
SIZE_MAX = (1 << 63) - 1  # leaves of a tree: sizes fit the signed 64 bits of SQLite and of Go
PROOF_MAX = 63  # hashes of a proof: the limit of C2SP tlog-witness, reached beyond 2**61 leaves
TILE_LEVELS = 8  # Frontier.extend reports the subtrees of 256, 256 ** 2 ... leaves: those worth keeping
EMPTY_ROOT = sha256().digest()

_TILE = (1 << TILE_LEVELS) - 1
_NODE = sha256(b"\x01")  # copied for each node: faster than hashing the prefix each time


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    h = _NODE.copy()
    h.update(left + right)
    return h.digest()


# The complete subtrees that a tree of `size` leaves consists of, largest first: one for each bit set in size.
# All that is needed to append and to know the root. Frontier(f.size, f.hashes) is a copy.
class Frontier:
    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()):
        _check_size(size, "the size of the tree")
        self.size = size
        self._hashes = [_checked_hash(h, "a hash of the frontier") for h in hashes]
        if len(self._hashes) != size.bit_count():
            raise EvidenceError(
                f"a tree of {size} leaves consists of {size.bit_count()} complete subtrees,"
                f" not {len(self._hashes)}"
            )

    # Of a tree whose hashes are kept somewhere.
    @classmethod
    def at(cls, size: int, hash_at: HashAt) -> Frontier:
        _check_size(size, "the size of the tree")
        return cls(size, _subtrees(0, size, hash_at))

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        self.extend((leaf,))

    # Appends leaf hashes, in order -> [(level, index, hash)] of the subtrees that this completed at levels 8,
    # 16, 24 ...: what hash_at needs besides the leaves. The ingest path: it trusts its caller for 32 bytes
    # a hash.
    def extend(self, leaves: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        size, pop, push, copy = self.size, self._hashes.pop, self._hashes.append, _NODE.copy
        made: list[tuple[int, int, bytes]] = []
        for leaf in leaves:
            index = size
            if index & _TILE != _TILE:
                while (
                    index & 1
                ):  # each one at the end of size is a complete subtree that waits for its right half
                    h = copy()
                    h.update(pop() + leaf)
                    leaf = h.digest()
                    index >>= 1
            else:
                level = 0
                while index & 1:
                    leaf = node_hash(pop(), leaf)
                    index >>= 1
                    level += 1
                    if not level % TILE_LEVELS:
                        made.append((level, index, leaf))
            push(leaf)
            size += 1
        self.size = size
        return made

    def root(self) -> bytes:
        return _folded(self._hashes)


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaf_hashes)
    return frontier.root()


def root_at(size: int, hash_at: HashAt) -> bytes:
    return Frontier.at(size, hash_at).root()


# Proofs: made ----------------------------------------------------------------------------------------------


# That leaf `index` is in the tree of `size` leaves: RFC 6962 section 2.1.1, PATH(index, D[size]).
def inclusion_proof(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    _check_size(size, "the size of the tree")
    _check_index(index, size)
    begin, end, proof = 0, size, []
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            proof.append(_root(middle, end, hash_at))
            end = middle
        else:
            proof.append(_root(begin, middle, hash_at))
            begin = middle
    return proof[::-1]


# That the tree of `new` leaves begins with that of `old`: RFC 6962 section 2.1.2, PROOF(old, D[new]). Empty
# for an old tree that is empty or the same, as C2SP tlog-witness has it.
def consistency_proof(old: int, new: int, hash_at: HashAt) -> list[bytes]:
    _check_sizes(old, new)
    if old in (0, new):
        return []
    begin, end, proof = 0, new, []
    while old != end:
        middle = begin + _left(end - begin)
        if old <= middle:
            proof.append(_root(middle, end, hash_at))
            end = middle
        else:
            proof.append(_root(begin, middle, hash_at))
            begin = middle
    if begin:  # else it is the old root, which the other side has
        proof.append(_root(begin, end, hash_at))
    return proof[::-1]


# The largest power of two below n.
def _left(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


# The complete subtrees, largest first, of leaves begin to end - 1. begin must be a multiple of the largest.
def _subtrees(begin: int, end: int, hash_at: HashAt) -> list[bytes]:
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append(_checked_hash(hash_at(level, begin >> level), f"hash_at({level}, {begin >> level})"))
        begin += 1 << level
    return found


def _root(begin: int, end: int, hash_at: HashAt) -> bytes:
    return _folded(_subtrees(begin, end, hash_at))


def _folded(subtrees: Sequence[bytes]) -> bytes:
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[-1]
    for left in subtrees[-2::-1]:
        root = node_hash(left, root)
    return root


# Proofs: checked -------------------------------------------------------------------------------------------


# RFC 9162 section 2.1.3.2.
def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    _check_size(size, "the size of the tree")
    _check_index(index, size)
    _check_proof(proof)
    _checked_hash(root, "the root")
    r, fn, sn = _checked_hash(leaf, "the hash of the leaf"), index, size - 1
    for p in proof:
        if not sn:
            raise EvidenceError(f"the inclusion proof is too long for a tree of {size} entries")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    if sn:
        raise EvidenceError(f"the inclusion proof is too short for a tree of {size} entries")
    if r != root:
        raise EvidenceError(
            f"the proof does not lead from this entry to the root: it is not entry {index} of the log"
        )


# RFC 9162 section 2.1.4.2, and what it leaves out: an old tree that is empty or the same has an empty proof.
def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    _check_sizes(old, new)
    _check_proof(proof)
    for size, root, which in ((old, old_root, "old"), (new, new_root, "new")):
        if _checked_hash(root, f"the {which} root") != EMPTY_ROOT and not size:
            raise EvidenceError(f"the {which} log is empty, and its root is not that of an empty tree")
    if old in (0, new):
        if proof:
            raise EvidenceError("the consistency proof must be empty when the old log is empty or the same")
        if old == new and old_root != new_root:
            raise EvidenceError(f"two logs of {new} entries have different roots: one was rewritten")
        return
    path = list(proof)
    if not old & (old - 1):
        path.insert(0, old_root)
    if not path:
        raise EvidenceError("the consistency proof is empty")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if not sn:
            raise EvidenceError(f"the consistency proof from {old} to {new} entries is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    if sn:
        raise EvidenceError(f"the consistency proof from {old} to {new} entries is too short")
    if fr != old_root or sr != new_root:
        raise EvidenceError(
            f"the log of {new} entries does not begin with the log of {old} entries: its past was rewritten,"
            " or the proof belongs to other checkpoints"
        )


def _check_size(size: int, what: str) -> None:
    if type(size) is not int or not 0 <= size <= SIZE_MAX:
        raise EvidenceError(f"{what} must be a whole number from 0 to 2**63 - 1")


def _check_index(index: int, size: int) -> None:
    if type(index) is not int or not 0 <= index < size:
        raise EvidenceError(f"a log of {size} entries has no entry with this index: they begin at 0")


def _check_sizes(old: int, new: int) -> None:
    _check_size(old, "the size of the old tree")
    _check_size(new, "the size of the new tree")
    if old > new:
        raise EvidenceError(
            f"the new log has {new} entries, fewer than the old, which has {old}: its end was cut off"
        )


def _checked_hash(value: bytes, what: str) -> bytes:
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise EvidenceError(f"{what} is not {HASH_BYTES} bytes")
    return value


def _check_proof(proof: Sequence[bytes]) -> None:
    if type(proof) not in (list, tuple) or len(proof) > PROOF_MAX:
        raise EvidenceError(f"a proof is a list of at most {PROOF_MAX} hashes")
    for p in proof:
        _checked_hash(p, "a hash of the proof")
