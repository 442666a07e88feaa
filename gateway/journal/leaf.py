"""An entry as a leaf of the journal's Merkle tree.

Rule 1: a leaf is the deterministic CBOR of [kind, source, arrived_ms, mono_ms, body]: all that a verification
        uses of an entry. What else stands in its row (sequence numbers, times of readings) is in the body.
Rule 2: these bytes are what `quantrac export` writes and what a receipt proves. Never change them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError
from protocol.merkle import EvidenceError, leaf_hash

_BYTES = 0x40  # major type 2 of CBOR, RFC 8949


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


def parse(data: bytes) -> Leaf:
    """The inverse of leaf_bytes(). Raises EvidenceError."""
    try:
        found: Any = cbor.loads(data)
    except CodecError as error:
        raise EvidenceError(f"this is no entry of a journal: {error}") from None
    kinds = (int, str, int, int, bytes)
    if not isinstance(found, list) or [type(item) for item in found] != list(kinds):
        raise EvidenceError("this is no entry of a journal: not [kind, source, arrived, monotonic, body]")
    return Leaf._make(found)
