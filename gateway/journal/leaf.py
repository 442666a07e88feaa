"""An entry as a leaf of the journal's Merkle tree.

Rule 1: a leaf is the deterministic CBOR of [kind, source, arrived_ms, mono_ms, body]: all that a verification
        uses of an entry. What else stands in its row (sequence numbers, times of readings) is in the body.
Rule 2: these bytes are what `quantrac export` writes and what a receipt proves. Never change them.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError
from protocol.merkle import EvidenceError, leaf_hash

_BYTES = 0x40  # major type 2 of CBOR, RFC 8949
_BEGINNINGS_MAX = 256
_beginnings: dict[bytes, tuple[int, str]] = {}  # of leaves that were read -> kind, source
_MONOTONIC = {  # its head in CBOR -> (arrived, the head, itself), their bytes, what a shorter head would take
    0x19: (struct.Struct(">QBH").unpack_from, 11, 0xFF),
    0x1A: (struct.Struct(">QBI").unpack_from, 13, 0xFFFF),
    0x1B: (struct.Struct(">QBQ").unpack_from, 17, 0xFFFF_FFFF),
}


class Leaf(NamedTuple):
    """What is proved of an entry. Times as in gateway/journal/schema: Unix ms of station time, and ms of the
    gateway's monotonic clock at the same moment.
    """

    kind: int
    source: str
    arrived_ms: int
    mono_ms: int
    body: bytes


@lru_cache(256)
def before(kind: int, source: str) -> bytes:
    """The beginning of an entry's leaf."""
    return b"\x85" + cbor.dumps(kind) + cbor.dumps(source)


@lru_cache(256)
def between(arrived_ms: int, mono_ms: int) -> bytes:
    """What follows: entries that came together share it."""
    return cbor.dumps(arrived_ms) + cbor.dumps(mono_ms)


@lru_cache(4096)
def _head(length: int) -> bytes:
    """The head of a byte string of so many bytes."""
    return cbor.head(_BYTES, length)


def leaf_bytes(kind: int, source: str, arrived_ms: int, mono_ms: int, body: bytes) -> bytes:
    """The exact bytes that are hashed."""
    return before(kind, source) + between(arrived_ms, mono_ms) + _head(len(body)) + body


def leaf(kind: int, source: str, arrived_ms: int, mono_ms: int, body: bytes) -> bytes:
    """The leaf hash of an entry (RFC 6962, section 2.1)."""
    return leaf_hash(leaf_bytes(kind, source, arrived_ms, mono_ms, body))


def first_bytes(kind: int) -> bytes:
    """What the bytes of an entry of this kind (below 24) begin with, and those of no other."""
    return bytes((0x85, kind))


def parse(data: bytes) -> Leaf:
    """The inverse of leaf_bytes(). Raises EvidenceError."""
    usual = _usual(data)
    if usual is not None:
        return usual
    try:
        found: Any = cbor.loads(data)
    except CodecError as error:
        raise EvidenceError(f"this is no entry of a journal: {error}") from None
    kinds = (int, str, int, int, bytes)
    if not isinstance(found, list) or [type(item) for item in found] != list(kinds):
        raise EvidenceError("this is no entry of a journal: not [kind, source, arrived, monotonic, body]")
    if data[1] < 24 and 0x60 <= data[2] < 0x78 and len(_beginnings) < _BEGINNINGS_MAX:
        _beginnings[bytes(data[: data[2] - 0x5D])] = found[0], found[1]
    return Leaf._make(found)


def arrived_ms(data: bytes) -> int | None:
    """When an entry arrived, by the bytes of its leaf, and not looking at anything else in them; None where
    it takes parse() to say.
    """
    at = data[2] - 0x5D if len(data) > 2 else 0
    if data[:at] not in _beginnings or data[at : at + 1] != b"\x1b":
        return None
    return int.from_bytes(data[at + 1 : at + 9])


def _usual(data: bytes) -> Leaf | None:
    """parse() for nearly all entries, in a fifth of the time: a beginning that was read before, times and a
    length of the usual sizes. None for any other, and for what is not encoded as it must be.
    """
    try:
        at = data[2] - 0x5D
        kind, source = _beginnings[data[:at]]
        unpack, size, less = _MONOTONIC[data[at + 9]]
        arrived_ms, _, mono_ms = unpack(data, at + 1)
        if data[at] != 0x1B or arrived_ms <= 0xFFFF_FFFF or mono_ms <= less:
            return None
        at += 1 + size
        length = data[at + 1]
        if data[at] == 0x58:
            at += 2
            shorter = 23
        else:
            shorter = 0xFF if data[at] == 0x59 else 1 << 16
            length = length << 8 | data[at + 2]
            at += 3
    except (IndexError, KeyError, struct.error):
        return None
    if length <= shorter or at + length != len(data):
        return None
    return Leaf(kind, source, arrived_ms, mono_ms, data[at:])
