"""A run of consecutive entries in a Merkle tree: one root and all audit paths for the price of one tree.

Rule 1: two audit paths, those of its first and its last entry, bring every hash beside the run. With them the
        root follows from the leaves of the run alone, so a run that reaches the root has no entry left out,
        added, doubled or put elsewhere.
Rule 2: the audit paths of all its entries are then known, and a receipt of one of them has exactly one text.
Rule 3: pure; 64 bytes an entry. For `quantrac export`, which writes the receipts, and for `verify`.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence

from protocol.merkle import HASH_BYTES, EvidenceError, node_hash, root_at

SHARED_LEVEL = 5
"""Neighbours up to here have their receipts written together."""
RUN_MAX = 500_000
"""Entries of one run: 32 MB of hashes."""


def beside(index: int, size: int, path: Sequence[bytes]) -> dict[int, bytes]:
    """The hashes of an audit path, by their level in the tree of `size` leaves."""
    found: dict[int, bytes] = {}
    level, rest = 0, list(path)
    while size > 1:
        if index ^ 1 < size:
            if not rest:
                raise EvidenceError("the inclusion proof is too short")
            found[level] = rest.pop(0)
        index, size, level = index >> 1, (size + 1) >> 1, level + 1
    if rest:
        raise EvidenceError("the inclusion proof is too long")
    return found


class Run:
    """Entries first, first + 1, ... of a log of `size` entries, by their leaf hashes (joined), with the audit
    paths of the first and the last of them. Nothing is checked here but lengths: hold `root` against the
    checkpoint's.
    """

    def __init__(
        self, first: int, leaves: bytes, size: int, first_path: Sequence[bytes], last_path: Sequence[bytes]
    ):
        self.first, self.count = first, len(leaves) // HASH_BYTES
        self.last = first + self.count - 1
        if not 0 <= first <= self.last < size:
            raise EvidenceError(f"a log of {size} entries has no entries {first} to {self.last}")
        left, right = beside(first, size, first_path), beside(self.last, size, last_path)
        self._levels: list[tuple[int, bytes, int]] = []  # (index of the first node, nodes, nodes in the tree)
        low, nodes, width, level = first, bytes(leaves), size, 0
        while width > 1:
            if low & 1:
                nodes, low = left[level] + nodes, low - 1
            if (low + len(nodes) // HASH_BYTES) & 1 and low + len(nodes) // HASH_BYTES < width:
                nodes += right[level]
            self._levels.append((low, nodes, width))
            whole = len(nodes) - len(nodes) % (2 * HASH_BYTES)
            parents = [
                node_hash(nodes[at : at + HASH_BYTES], nodes[at + HASH_BYTES : at + 2 * HASH_BYTES])
                for at in range(0, whole, 2 * HASH_BYTES)
            ]
            nodes = b"".join(parents) + nodes[whole:]  # a lone last node moves up as it is
            low, width, level = low >> 1, (width + 1) >> 1, level + 1
        self.root = nodes
        self._block, self._note, self._tails = -1, b"", [b""]

    def path(self, index: int) -> list[bytes]:
        """The audit path of one of its entries."""
        found = []
        for low, nodes, width in self._levels:
            if (index ^ 1) < width:
                at = ((index ^ 1) - low) * HASH_BYTES
                found.append(nodes[at : at + HASH_BYTES])
            index >>= 1
        return found

    def receipt(self, index: int, note: bytes) -> bytes:
        """protocol.receipt.Receipt(index, path, note).encode(), in a twentieth of the time."""
        block = index >> SHARED_LEVEL
        if block != self._block or note is not self._note:
            self._block, self._note = block, note
            self._tails = self._tails_of(block, note)
        return _FIRST % index + self._tails[index & ((1 << SHARED_LEVEL) - 1)]

    def _tails_of(self, block: int, note: bytes) -> list[bytes]:
        """What stands below the index in the receipts of a block's entries. Those of no entry of the run may
        be anything.
        """
        tails = [self._lines_above(block) + b"\n" + note]
        for level in range(min(SHARED_LEVEL, len(self._levels)) - 1, -1, -1):
            low, nodes, width = self._levels[level]
            first = block << (SHARED_LEVEL - level)
            lines = [b""] * (2 * len(tails))
            for n in range(len(lines)):
                place = (first + n - low) * HASH_BYTES
                if first + n < width and place >= 0:
                    lines[n] = b2a_base64(nodes[place : place + HASH_BYTES])
            tails = [lines[n ^ 1] + tails[n >> 1] for n in range(len(lines))]
        return tails

    def _lines_above(self, at: int) -> bytes:
        """The lines of a receipt from SHARED_LEVEL on, which its neighbours share."""
        lines = []
        for low, nodes, width in self._levels[SHARED_LEVEL:]:
            if (at ^ 1) < width:
                place = ((at ^ 1) - low) * HASH_BYTES
                lines.append(b2a_base64(nodes[place : place + HASH_BYTES]))
            at >>= 1
        return b"".join(lines)

    def root_at(self, size: int) -> bytes | None:
        """The root of the log's first `size` entries; None where that needs hashes that are not here."""
        return root_at(size, self._hash_at) if self.first <= size <= self.last + 1 else None

    def _hash_at(self, level: int, index: int) -> bytes:
        if level == len(self._levels):
            return self.root
        low, nodes, _ = self._levels[level]
        at = (index - low) * HASH_BYTES
        return nodes[at : at + HASH_BYTES]


_FIRST = b"c2sp.org/tlog-proof@v1\nindex %d\n"
