"""The entries of a bundle: each one is in the log that the checkpoint signs, and their receipts say so.

Rule 1: the run is checked as one (verify_run.py): its root must be the checkpoint's, then a receipt has one
        text. The entries beside it are checked one by one.
Rule 2: leaf() gives only what was checked: what is not kept in memory is read and hashed again.
Rule 3: of a long run, a second process reads one half of the entries, and then the receipts, and does what
        else it is given, while the caller goes on: receipts_shown() says when it is through.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, TypeVar

from gateway.journal.kinds import FRAME, LOG, POLL, RECORDS
from gateway.journal.leaf import Leaf, arrived_ms, first_bytes, parse
from gateway.verify_beside import Beside, is_possible
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
EVER = 1 << 62
BESIDE_MIN = 4000
"""Entries of a run from which on a second process pays."""
_ABOUT_LOG = first_bytes(LOG)
_READINGS = (first_bytes(FRAME), first_bytes(POLL))

T = TypeVar("T")


class Part(NamedTuple):
    """Entries as they were read."""

    leaves: bytes  # their hashes
    kept: dict[int, bytes]  # the first of them
    kept_bytes: int
    about_log: list[int]  # those that say what happened to the log
    rare: array[int]  # those that hold no readings


class Entries:
    """Made from a bundle; EvidenceError when an entry is wrong. receipts_shown() says it of the receipts."""

    def __init__(
        self,
        bundle: Bundle,
        manifest: Manifest,
        checkpoint: Checkpoint,
        note: bytes,
        progress: Callable[[str, int, int], None] = lambda what, done, of: None,
    ):
        self._bundle, self._manifest, self._checkpoint, self._note = bundle, manifest, checkpoint, note
        self._progress = progress
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.size = checkpoint.size
        self.about_log: list[int] = []
        self.rare = array("q")
        self.first, self.last = first, last = manifest.first, manifest.last
        for index in (last, *manifest.others):
            if index >= checkpoint.size:
                raise EvidenceError(
                    f"bundle.json names entry {index}, and the checkpoint signs {checkpoint.size} entries"
                )
        self._others: dict[int, bytes] = {}
        self._read_others()
        self.beside = bundle.is_shared and last - first >= BESIDE_MIN and is_possible()
        if self.beside:
            middle, most = (first + last) // 2, (KEPT_MAX - self._kept_bytes) // 2
            with Beside(lambda: self._part(range(middle, last + 1), most, tell=False)) as beside:
                parts = [self._part(range(first, middle), most), beside.result()]
        else:
            parts = [self._part(range(first, last + 1), KEPT_MAX - self._kept_bytes)]
        for part in parts:
            self._take(part)
        self._leaves = b"".join([part.leaves for part in parts])
        self.run = self._run()

    def _part(self, indices: Sequence[int], most: int, tell: bool = True) -> Part:
        """Read some entries, and keep up to `most` bytes of them. One of two processes tells of it."""
        leaves, kept, kept_bytes, about_log, rare = bytearray(), {}, 0, [], array("q")
        for done, index in enumerate(indices):
            data = self._bundle.read(entry_name(index), LEAF_MAX)
            if kept_bytes < most:
                kept[index] = data
                kept_bytes += len(data) + ENTRY_COSTS
            if not data.startswith(_READINGS):
                rare.append(index)
            if data.startswith(_ABOUT_LOG):
                about_log.append(index)
                _check_about_log(about_log)
            leaves += leaf_hash(data)
            if tell and not done % TOLD_EVERY:
                self._progress("entries", done, len(indices))
        return Part(bytes(leaves), kept, kept_bytes, about_log, rare)

    def _take(self, part: Part) -> None:
        self._kept.update(part.kept)
        self._kept_bytes += part.kept_bytes
        self.about_log += part.about_log
        self.rare += part.rare
        _check_about_log(self.about_log)

    def _read_others(self) -> None:
        indices = self._manifest.others
        part = self._part(indices, KEPT_MAX)
        self._take(part)
        for place, index in enumerate(indices):
            leaf = self._others[index] = part.leaves[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            self._included(index, leaf, self._receipt(index))

    @contextmanager
    def receipts_shown(self, more: Callable[[], T]) -> Iterator[Callable[[], T]]:
        """EvidenceError, instead of any other one from within, when a receipt of the run is wrong. What
        `more()` gives, or finds to be wrong, is had by calling what is given.
        """
        if not self.beside:
            self._check_receipts()
            yield more
            return

        def work() -> tuple[T | None, str]:
            self._check_receipts(tell=False)
            try:
                return more(), ""
            except EvidenceError as error:
                return None, str(error)

        def rest() -> T:
            found, why = beside.result()
            if why:
                raise EvidenceError(why)
            return found  # type: ignore[return-value]

        with Beside(work) as beside:
            try:
                yield rest
            except EvidenceError:
                beside.result()  # of two things that are wrong, the receipt comes first
                raise
            beside.result()

    def _check_receipts(self, tell: bool = True) -> None:
        read, receipt, note = self._bundle.read, self.run.receipt, self._note
        first, last = self.first, self.last
        for index in range(first, last + 1):
            data = read(proof_name(index), PROOF_MAX)
            if data != receipt(index, note):
                self.check_receipt(index, data)
            if tell and not index % TOLD_EVERY:
                self._progress("receipts", index - first, last - first + 1)

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

    def _run(self) -> Run:
        first, last = self.first, self.last
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
        at = (index - self.first) * HASH_BYTES
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
            if index not in self._others and not self.first <= index <= self.last:
                raise EvidenceError(f"entry {index} is needed, and the bundle does not hold it")
            data = self._bundle.read(entry_name(index), LEAF_MAX)
            if leaf_hash(data) != self.hash_of(index):
                raise EvidenceError(f"{entry_name(index)} changes while it is read")
        try:
            return parse(data)
        except EvidenceError as error:
            raise EvidenceError(f"{entry_name(index)}: {error}") from None

    def leaves(self, begin: int = 0, end: int = EVER) -> Iterator[tuple[int, Leaf]]:
        """The entries begin <= number < end, in the order of the log."""
        for index in self.indices(begin, end):
            yield index, self.leaf(index)

    def indices(self, begin: int = 0, end: int = EVER) -> Iterator[int]:
        """Their numbers."""
        first, last, others = self.first, self.last, self._manifest.others
        before = (index for index in others if begin <= index < min(first, end))
        run = range(max(first, begin), min(last + 1, end))
        behind = (index for index in others if max(last + 1, begin) <= index < end)
        return chain(before, run, behind)

    def is_early_record(self, index: int, before_ms: int) -> bool:
        """Whether an entry holds readings and arrived before that. EvidenceError as leaf()."""
        data = self._kept.get(index, b"")
        if data.startswith(_READINGS) and (time_ms := arrived_ms(data)) is not None:
            return time_ms < before_ms
        leaf = self.leaf(index)
        return leaf.kind in RECORDS and leaf.arrived_ms < before_ms

    def of_run(self) -> Iterator[tuple[int, Leaf]]:
        """The entries of the run, between which none is missing."""
        for index in range(self.first, self.last + 1):
            yield index, self.leaf(index)

    def text(self) -> str:
        """What was shown."""
        first, last, others = self.first, self.last, len(self._others)
        more = f", and {others} beside them" if others else ""
        return (
            f"{last - first + 1} entries, {first} to {last}, none left out between them{more}, are in the log"
        )


def _check_about_log(found: list[int]) -> None:
    if len(found) > HANDOVERS_MAX:
        raise EvidenceError(f"more than {HANDOVERS_MAX} entries say that the log was handed over")
