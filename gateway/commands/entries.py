"""What the journal keeps of the department's commands. Pure.

    COMMAND  ["department", key, counter, digest, verb, via, the message as it came]
    COMMAND  ["department result", key, counter, digest, state, the answer's text]
    EVENT    ["command refused", key or "", code, digest, via, text, passed over]
    EVENT    ["department keys", "department", [verifier key, ...]]

Rule 1: the first is on disk before anything is done. Where no second follows, the gateway was stopped
        meanwhile: what came of it has to be looked up (desk.py), never done again.
Rule 2: the second holds what was signed, so that the same command gets the same answer for ever.
Rule 3: whose commands are taken stands in the log from the first start on, and whenever it becomes another.
`key` is the name of the key that signed; `passed over`: how many more were refused and not written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError

TAKEN, ANSWERED, REFUSED = "department", "department result", "command refused"
KEYS = "department keys"
TEXT_MAX = 300


class Taken(NamedTuple):
    """A command that is about to be done."""

    key: str
    counter: int
    digest: str
    verb: str
    via: str
    message: bytes

    def body(self) -> bytes:
        """Of its COMMAND entry."""
        return cbor.dumps([TAKEN, *self])


class Answered(NamedTuple):
    """What came of it."""

    key: str
    counter: int
    digest: str
    state: str
    text: str

    def body(self) -> bytes:
        """Of its COMMAND entry."""
        return cbor.dumps([ANSWERED, *self])


def refused(key: str, code: str, digest: str, via: str, text: str, passed_over: int) -> bytes:
    """Body of the EVENT entry about a message that is no command for this station, now."""
    return cbor.dumps([REFUSED, key, code, digest, via, text[:TEXT_MAX], passed_over])


def pinned(vkeys: Sequence[str]) -> bytes:
    """Body of the EVENT entry that says whose commands are taken from here on."""
    return cbor.dumps([KEYS, "department", list(vkeys)])


def parse_pinned(body: bytes) -> list[str] | None:
    """The inverse of pinned(); None for any other entry."""
    try:
        found: Any = cbor.loads(body)
        return list(found[2]) if found[0] == KEYS else None
    except (CodecError, TypeError, IndexError, KeyError):
        return None


def parse(body: bytes) -> Taken | Answered | None:
    """The inverse of body(); None for any other entry."""
    try:
        found: Any = cbor.loads(body)
        name, *fields = found
        if name == TAKEN:
            return Taken(*fields[:6])
        if name == ANSWERED:
            return Answered(*fields[:5])
    except (CodecError, TypeError, ValueError):
        pass
    return None
