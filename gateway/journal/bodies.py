"""What stands in the bodies of entries that are no readings. Pure.

    EVENT, COMMAND    [name, about whom, detail, ...]
    FRAME             a COSE_Mac0 of the device (protocol/cose.py), whose tag was checked
    DELIVERY          [destination, "delivered" | "parked", at_ms, [document, ...], reason]
           document   [key, SHA-256 of the bytes], and of a delivered one: remote name, size, the
                      destination's own answer (older versions did not keep these)

Rule 1: a name or a shape that is not known here is passed over: a later version wrote it, and it means
        something that this one does not do. What stands behind the elements that are known is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.cose import payload_of
from protocol.errors import CodecError

DELIVERED = "delivered"
PARKED = "parked"


_TAG_HEAD = b"\x58\x20"
_TAG_BYTES = 32
_PREFIXES_MAX = 256
_prefixes: set[bytes] = set()
"""Beginnings of frames, up to the payload, that payload_of() has read."""


class Settled(NamedTuple):
    """One document of a Delivery. The last three as in gateway.forward.port.Confirmation; "", None and ""
    where it was not confirmed, or by an older version.
    """

    key: str
    digest: bytes  # SHA-256
    remote: str = ""
    size: int | None = None
    answer: str = ""


class Delivery(NamedTuple):
    """Documents that were settled together. One that a crash let go out twice stands in two of these."""

    destination: str  # config.destination[i].id
    state: str  # DELIVERED: it confirmed them; PARKED: it will not take them, a person has to look
    at_ms: int  # station time
    documents: Sequence[Settled]  # in the order in which they were queued
    reason: str = ""  # why they are parked

    def names(self) -> list[str]:
        """Keys of its documents."""
        return [document.key for document in self.documents]

    def encode(self) -> bytes:
        """The body."""
        documents = [list(each) if each.size is not None else each[:2] for each in self.documents]
        return cbor.dumps([self.destination, self.state, self.at_ms, documents, self.reason])


def payload(body: bytes) -> bytes:
    """What a FRAME holds, as cose.payload_of() says it. CodecError.

    In a third of its time where the device's frames were read before, and the payload has 24 to 255 bytes.
    """
    if len(body) < 9 or body[8] >= 0x58:  # a device id of 24 bytes and more
        return payload_of(body)
    at = body[8] - 0x37
    prefix, size = body[:at], len(body) - at - 4 - _TAG_BYTES
    is_usual = 24 <= size < 256 and body[at : at + 2] == bytes((0x58, size)) and body[-34:-32] == _TAG_HEAD
    if is_usual and prefix in _prefixes:
        return body[at + 2 : -34]
    found = payload_of(body)
    if len(_prefixes) < _PREFIXES_MAX:
        _prefixes.add(prefix)
    return found


def delivery(body: bytes) -> Delivery | None:
    """The inverse of encode(); None for what is none."""
    try:
        found: Any = cbor.loads(body)
        destination, state, at_ms, documents, reason, *_ = found
        settled = tuple([Settled(*document[:5]) for document in documents])
    except (CodecError, TypeError, ValueError):
        return None
    if not all(isinstance(text, str) for text in (destination, state, reason)) or type(at_ms) is not int:
        return None
    return Delivery(destination, state, at_ms, settled, reason) if all(map(_is_settled, settled)) else None


def _is_settled(one: Settled) -> bool:
    texts = isinstance(one.key, str) and isinstance(one.remote, str) and isinstance(one.answer, str)
    return texts and isinstance(one.digest, bytes) and (one.size is None or type(one.size) is int)


def event(body: bytes) -> tuple[str, list[Any]]:
    """(name, details) of an EVENT or a COMMAND, without whom it is about; "" for what has no name.

    CodecError when it is no CBOR.
    """
    found: Any = cbor.loads(body)
    if not isinstance(found, list) or len(found) < 2 or not isinstance(found[0], str):
        return "", []
    return found[0], found[2:]
