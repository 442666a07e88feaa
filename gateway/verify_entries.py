"""The entries of a bundle: each one is in the log that the checkpoint signs, and their receipts say so.

Rule 1: the run is checked as one (verify_run.py): its root must be the checkpoint's, then a receipt has one
        text. The entries beside it are checked one by one.
Rule 2: leaf() gives only what was checked: what is not kept in memory is read and hashed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.journal.kinds import LOG
from gateway.journal.leaf import Leaf, first_bytes, parse
from gateway.verify_bundle import HANDOVERS_MAX, LEAF_MAX, PROOF_MAX, Manifest, entry_name, proof_name
from gateway.verify_places import Bundle
from gateway.verify_run import Run
from protocol import receipt as receipts
from protocol.checkpoint import Checkpoint
from protocol.merkle import HASH_BYTES, EvidenceError, check_inclusion, leaf_hash
from protocol.receipt import Receipt

KEPT_MAX = 32_000_000
"""Bytes of entries that stay in memory, so that they are read once only."""
ENTRY_COSTS = 150
"""... and bytes that keeping one takes besides."""
TOLD_EVERY = 1024
_ABOUT_LOG = first_bytes(LOG)


class Entries:
    """Made from a bundle; EvidenceError when an entry or a receipt is wrong."""

    def __init__(
        self,
        bundle: Bundle,
        manifest: Manifest,
        checkpoint: Checkpoint,
        note: bytes,
        progress: Callable[[str, int, int], None] = lambda what, done, of: None,
    ):
        self._bundle, self._manifest, self._checkpoint, self._note = bundle, manifest, checkpoint, note
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.size = checkpoint.size
        self.about_log: list[int] = []  # entries that say what happened to the log
        first, last = manifest.first, manifest.last
        for index in (last, *manifest.others):
            if index >= checkpoint.size:
                raise EvidenceError(
                    f"bundle.json names entry {index}, and the checkpoint signs {checkpoint.size} entries"
                )
        self._others = {index: self._other(index) for index in manifest.others}
        total = 2 * (last - first + 1)
        leaves = bytearray()
        for index in range(first, last + 1):
            leaves += self._hash(index)
            if not index % TOLD_EVERY:
                progress("entries", index - first, total)
        self._leaves = bytes(leaves)
        self.run = self._run()
        read, receipt = bundle.read, self.run.receipt
        for index in range(first, last + 1):
            data = read(proof_name(index), PROOF_MAX)
            if data != receipt(index, note):
                self.check_receipt(index, data)
            if not index % TOLD_EVERY:
                progress("entries", total // 2 + index - first, total)

    def _hash(self, index: int) -> bytes:
        data = self._bundle.read(entry_name(index), LEAF_MAX)
        if self._kept_bytes < KEPT_MAX:
            self._kept[index] = data
            self._kept_bytes += len(data) + ENTRY_COSTS
        if data.startswith(_ABOUT_LOG):
            self.about_log.append(index)
            if len(self.about_log) > HANDOVERS_MAX:
                raise EvidenceError(f"more than {HANDOVERS_MAX} entries say that the log was handed over")
        return leaf_hash(data)

    def _receipt(self, index: int) -> Receipt:
        return self._parsed(index, self._bundle.read(proof_name(index), PROOF_MAX))

    def _parsed(self, index: int, data: bytes) -> Receipt:
        name = proof_name(index)
        try:
            receipt = receipts.parse(data)
        except EvidenceError as error:
            raise EvidenceError(f"{name}: {error}") from None
        if receipt.index != index:
            raise EvidenceError(f"{name} is about entry {receipt.index}")
        if receipt.note != self._note:
            raise EvidenceError(f"{name} leads to another checkpoint than the bundle's")
        if receipt.extra is not None:
            raise EvidenceError(f"{name} holds something that nobody signed")
        return receipt

    def _included(self, index: int, leaf: bytes, receipt: Receipt) -> None:
        try:
            check_inclusion(leaf, index, self._checkpoint.size, receipt.proof, self._checkpoint.root)
        except EvidenceError as error:
            raise EvidenceError(
                f"{entry_name(index)} and its receipt do not belong together: {error}"
            ) from None

    def _other(self, index: int) -> bytes:
        leaf = self._hash(index)
        self._included(index, leaf, self._receipt(index))
        return leaf

    def _run(self) -> Run:
        first, last = self._manifest.first, self._manifest.last
        paths = [self._receipt(index).proof for index in (first, last)]
        try:
            run = Run(first, self._leaves, self._checkpoint.size, *paths)
        except EvidenceError as error:
            run, why = None, str(error)
        else:
            why = "its entries do not lead to the signed root"
        if run is None or run.root != self._checkpoint.root:
            for index in range(first, last + 1):  # which one is it? Each by its own receipt.
                self._included(index, self.hash_of(index), self._receipt(index))
            raise EvidenceError(f"the run of entries {first} to {last} is not one of the log: {why}")
        return run

    def check_receipt(self, index: int, data: bytes) -> None:
        """EvidenceError unless `data` is the receipt of an entry of the run."""
        if data != self.run.receipt(index, self._note):
            self._included(index, self.hash_of(index), self._parsed(index, data))
            raise EvidenceError(f"{proof_name(index)} is not as `quantrac export` writes it")

    def hash_of(self, index: int) -> bytes:
        """The leaf hash of an entry, as it was checked."""
        if index in self._others:
            return self._others[index]
        at = (index - self._manifest.first) * HASH_BYTES
        return self._leaves[at : at + HASH_BYTES]

    def path(self, index: int) -> list[bytes]:
        """The audit path of an entry."""
        if index not in self._others:
            return self.run.path(index)
        receipt = self._receipt(index)
        self._included(index, self._others[index], receipt)
        return list(receipt.proof)

    # What is in them ----------------------------------------------------------------------------------------

    def leaf(self, index: int) -> Leaf:
        """An entry. EvidenceError: the bundle does not hold it, or it is none."""
        data = self._kept.get(index)
        if data is None:
            if index not in self._others and not self._manifest.first <= index <= self._manifest.last:
                raise EvidenceError(f"entry {index} is needed, and the bundle does not hold it")
            data = self._bundle.read(entry_name(index), LEAF_MAX)
            if leaf_hash(data) != self.hash_of(index):
                raise EvidenceError(f"{entry_name(index)} changes while it is read")
        try:
            return parse(data)
        except EvidenceError as error:
            raise EvidenceError(f"{entry_name(index)}: {error}") from None

    def leaves(self) -> Iterator[tuple[int, Leaf]]:
        """All entries, in the order of the log."""
        first, last = self._manifest.first, self._manifest.last
        yield from ((index, self.leaf(index)) for index in self._manifest.others if index < first)
        yield from self.of_run()
        yield from ((index, self.leaf(index)) for index in self._manifest.others if index > last)

    def of_run(self) -> Iterator[tuple[int, Leaf]]:
        """The entries of the run, between which none is missing."""
        for index in range(self._manifest.first, self._manifest.last + 1):
            yield index, self.leaf(index)

    def text(self) -> str:
        """What was shown."""
        first, last, others = self._manifest.first, self._manifest.last, len(self._others)
        more = f", and {others} beside them" if others else ""
        return (
            f"{last - first + 1} entries, {first} to {last}, none left out between them{more}, are in the log"
        )
