"""What stands in the bodies of entries that are no readings. Pure.

    EVENT, COMMAND    [name, about whom, detail, ...]
    DELIVERY          [destination, "delivered" | "parked", at_ms, [[key, SHA-256 of the bytes], ...], reason]

Rule 1: a name or a shape that is not known here is passed over: a later version wrote it, and it means
        something that this one does not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError

DELIVERED = "delivered"
PARKED = "parked"


class Delivery(NamedTuple):
    """Documents that were settled together. One that a crash let go out twice stands in two of these."""

    destination: str  # config.destination[i].id
    state: str  # DELIVERED: it confirmed them; PARKED: it will not take them, a person has to look
    at_ms: int  # station time
    documents: Sequence[Sequence]  # (key, SHA-256 of the bytes) each, in the order in which they were queued
    reason: str = ""  # why they are parked

    def names(self) -> list[str]:
        """Keys of its documents."""
        return [key for key, _ in self.documents]

    def encode(self) -> bytes:
        """The body."""
        documents = [[key, digest] for key, digest in self.documents]
        return cbor.dumps([self.destination, self.state, self.at_ms, documents, self.reason])


def delivery(body: bytes) -> Delivery | None:
    """The inverse of encode(); None for what is none."""
    try:
        found: Any = cbor.loads(body)
        destination, state, at_ms, documents, reason = found
        pairs = tuple([(key, digest) for key, digest in documents])
    except (CodecError, TypeError, ValueError):
        return None
    return Delivery(destination, state, at_ms, pairs, reason)


def event(body: bytes) -> tuple[str, list[Any]]:
    """(name, details) of an EVENT or a COMMAND, without whom it is about; "" for what has no name.

    CodecError when it is no CBOR.
    """
    found: Any = cbor.loads(body)
    if not isinstance(found, list) or len(found) < 2 or not isinstance(found[0], str):
        return "", []
    return found[0], found[2:]
