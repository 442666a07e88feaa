# Checkpoints of a log: C2SP tlog-checkpoint v1.0.0, the text of a signed note (note.py).
#
#   <origin>                     whose log
#   <number of entries>
#   <base64 of the root>
#   <extension>                  any number of lines, not used here
#
# Rule 1: whatever the text, parse() raises EvidenceError or returns, and a checkpoint has one text.
# Rule 2: open_checkpoint() is the way to believe one: signed by the log's key, whose name is the origin, and
#         cosigned by as many witnesses as are asked for.
# Rule 3: a witness is a key of type 0x04 that is not the log's. A key counts once, whatever names it has: the
#         signed message does not hold the name of the witness.

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from protocol import note as notes
from protocol.merkle import EMPTY_ROOT, HASH_BYTES, SIZE_MAX, EvidenceError
from protocol.note import COSIGNATURE, Note, Verifier, unbase64

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL = re.compile("[\0-\x1f\ud800-\udfff]")


class Checkpoint(NamedTuple):
    origin: str
    size: int  # entries, 0 to 2**63 - 1
    root: bytes  # 32
    extensions: tuple[str, ...] = ()

    # What is signed. EvidenceError if a field is not what it must be.
    def text(self) -> str:
        if type(self.size) is not int or not 0 <= self.size <= SIZE_MAX:
            raise EvidenceError("the size of a checkpoint is a whole number from 0 to 2**63 - 1")
        if type(self.root) is not bytes or len(self.root) != HASH_BYTES:
            raise EvidenceError(f"the root of a checkpoint is {HASH_BYTES} bytes")
        if not self.size and self.root != EMPTY_ROOT:
            raise EvidenceError(
                "the checkpoint is of an empty log, and its root is not that of an empty tree"
            )
        for line in (self.origin, *self.extensions):
            if type(line) is not str or not line or _CONTROL.search(line):
                raise EvidenceError("a line of a checkpoint is empty, or holds a control character")
        lines = (self.origin, str(self.size), notes.to_base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines)


def parse(text: str) -> Checkpoint:
    lines = text.split("\n") if type(text) is str and len(text) <= notes.NOTE_MAX else []
    if len(lines) < 4 or lines.pop():
        raise EvidenceError(
            "a checkpoint is three lines or more: its origin, the number of entries, the root"
        )
    origin, size, root, *extensions = lines
    checkpoint = Checkpoint(
        origin, number(size, "the size"), unbase64(root, "the root of the checkpoint"), tuple(extensions)
    )
    checkpoint.text()
    return checkpoint


# Of a note that should be a checkpoint of this log, cosigned by at least so many of the witnesses.
def open_checkpoint(
    data: bytes, log: Verifier, witnesses: Iterable[Verifier] = (), witnesses_needed: int = 0
) -> Checkpoint:
    note = notes.parse(data)
    witnesses = tuple(witnesses)
    for witness in witnesses:
        if witness.algorithm != COSIGNATURE or witness.public == log.public:
            raise EvidenceError(
                f"{witness.name} is no key of a witness: it must be of type 4, and not the log's"
            )
    signed = [verifier for verifier, _ in notes.verify(note, (log, *witnesses))]
    if log not in signed:
        raise EvidenceError(f"{log.name} has not signed the checkpoint")
    checkpoint = parse(note.text)
    if checkpoint.origin != log.name:
        raise EvidenceError(f"{log.name} has signed the checkpoint of a log that is called differently")
    found = len({verifier.public for verifier in signed} - {log.public})
    if found < witnesses_needed:
        raise EvidenceError(
            f"{found} of the witnesses have signed the checkpoint, and {witnesses_needed} must have"
        )
    return checkpoint


# A decimal of the C2SP formats: no sign, no leading zero, at most 2**63 - 1.
def number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text) or (value := int(text)) > SIZE_MAX:
        raise EvidenceError(f"{what} is not a decimal from 0 to 2**63 - 1 without leading zeros")
    return value


def sign(checkpoint: Checkpoint, signer: notes.Signer) -> bytes:
    text = checkpoint.text()
    return notes.with_signatures(Note(text, ()), signer.sign(text)).encode()
