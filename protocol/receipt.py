# Receipts: C2SP tlog-proof v1, a file with the extension .tlog-proof that proves one entry of a log.
#
#   c2sp.org/tlog-proof@v1
#   extra <base64>               may be absent
#   index <number>               of the entry, from 0
#   <base64>                     a hash of the inclusion proof: a line for each, from the leaf upwards
#   <empty line>
#   the checkpoint, a signed note (checkpoint.py, note.py)
#
# Rule 1: whatever the bytes, parse() raises EvidenceError or returns, and parse(data).encode() == data.
# Rule 2: believe a receipt only after check(). It says that these bytes are entry `index` of the log that the
#         checkpoint names. `extra` is not covered by it: nobody signed that.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.checkpoint import Checkpoint, number, open_checkpoint
from protocol.merkle import HASH_BYTES, PROOF_MAX, SIZE_MAX, EvidenceError, check_inclusion, leaf_hash
from protocol.note import NOTE_MAX, Verifier, to_base64, unbase64

EXTRA_MAX = 65_536  # bytes
_FIRST = "c2sp.org/tlog-proof@v1"
_HEAD_MAX = 2 * EXTRA_MAX  # bytes before the checkpoint: extra in base64, and 65 lines


@dataclass(frozen=True)
class Receipt:
    index: int
    proof: Sequence[bytes]  # kept as a tuple
    note: bytes  # the checkpoint, byte for byte
    extra: bytes | None = None  # not authenticated

    def __post_init__(self) -> None:
        object.__setattr__(self, "proof", tuple(self.proof))

    def encode(self) -> bytes:
        _check(self)
        lines = [_FIRST]
        if self.extra is not None:
            lines.append(f"extra {to_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += [to_base64(p) for p in self.proof]
        return "".join(line + "\n" for line in lines).encode() + b"\n" + self.note


def parse(data: bytes) -> Receipt:
    if type(data) is not bytes:
        raise EvidenceError("a receipt is bytes")
    head, mark, note = data[: _HEAD_MAX + NOTE_MAX + 1].partition(b"\n\n")
    if not mark or len(head) > _HEAD_MAX or not head.isascii():
        raise EvidenceError("the receipt has no empty line between its proof and its checkpoint")
    lines = head.decode().split("\n")
    if lines.pop(0) != _FIRST:
        raise EvidenceError(f'the first line of a receipt is "{_FIRST}", and this file begins otherwise')
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = unbase64(lines.pop(0).removeprefix("extra "), "extra, in the receipt,")
    if not lines or not lines[0].startswith("index "):
        raise EvidenceError('the receipt does not say which entry it proves: a line "index <number>"')
    index = number(lines.pop(0).removeprefix("index "), "the index in the receipt")
    proof = tuple(unbase64(line, "a hash of the receipt") for line in lines[: PROOF_MAX + 1])
    receipt = Receipt(index, proof, note, extra)
    _check(receipt)
    return receipt


# EvidenceError unless this leaf is an entry of the log: its checkpoint, which the log and so many of the
# witnesses have signed. Compare the checkpoint's size and root with others of the same log.
def check(
    receipt: Receipt,
    leaf_bytes: bytes,
    log: Verifier,
    witnesses: Iterable[Verifier] = (),
    witnesses_needed: int = 0,
) -> Checkpoint:
    checkpoint = open_checkpoint(receipt.note, log, witnesses, witnesses_needed)
    leaf = leaf_hash(leaf_bytes)
    check_inclusion(leaf, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
    return checkpoint


def _check(receipt: Receipt) -> None:
    if type(receipt.index) is not int or not 0 <= receipt.index <= SIZE_MAX:
        raise EvidenceError("the index of a receipt is a whole number from 0 to 2**63 - 1")
    if len(receipt.proof) > PROOF_MAX:
        raise EvidenceError(f"the proof of a receipt has more than {PROOF_MAX} hashes")
    if any(type(p) is not bytes or len(p) != HASH_BYTES for p in receipt.proof):
        raise EvidenceError(f"a hash of the receipt is not {HASH_BYTES} bytes")
    if type(receipt.note) is not bytes or not 0 < len(receipt.note) <= NOTE_MAX:
        raise EvidenceError(f"the checkpoint of a receipt is missing, or larger than {NOTE_MAX} bytes")
    if receipt.extra is not None and not (
        type(receipt.extra) is bytes and 0 < len(receipt.extra) <= EXTRA_MAX
    ):
        raise EvidenceError(f"extra, in a receipt, is 1 to {EXTRA_MAX} bytes, or absent")
