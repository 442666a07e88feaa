"""What the journal says of pictures. Pure.

    ["picture", camera, t_ms, sha256, bytes, why, [about, ...]]      an EVENT: it was taken, and kept
    ["no picture", camera, t_ms, reason, why, [about, ...]]          an EVENT: wanted, and not to be had

`why`: alert, sample, time, asked. `about`: names of alerts ("limit/COD/20260325000500"), of bottles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError

EVENT_NAME, FAILED_NAME = "picture", "no picture"
ALERT, SAMPLE, TIME, ASKED = "alert", "sample", "time", "asked"
ABOUT_MAX = 50
DIGEST_BYTES = 32


class Taken(NamedTuple):
    """A picture."""

    camera: str
    t_ms: int
    digest: bytes  # SHA-256
    bytes: int
    why: str
    about: tuple[str, ...] = ()

    def event(self) -> bytes:
        """Body of the EVENT entry."""
        return cbor.dumps([EVENT_NAME, *self[:5], list(self.about)])


class Failed(NamedTuple):
    """None, and why."""

    camera: str
    t_ms: int
    reason: str
    why: str
    about: tuple[str, ...] = ()

    def event(self) -> bytes:
        """Body of the EVENT entry."""
        return cbor.dumps([FAILED_NAME, *self[:4], list(self.about)])


def parse(body: bytes) -> Taken | None:
    """The inverse of Taken.event(); None for what is none."""
    found = _listed(body, EVENT_NAME)
    if found is None:
        return None
    camera, t_ms, digest, size, why, about, *_ = found
    whole = type(t_ms) is int and type(size) is int and type(digest) is bytes and len(digest) == DIGEST_BYTES
    if not whole or not isinstance(camera, str) or not isinstance(why, str):
        return None
    return Taken(camera, t_ms, digest, size, why, _texts(about))


def about_of(body: bytes) -> tuple[str, ...]:
    """What a picture, or one that was not to be had, was wanted for; () where it is neither."""
    taken = parse(body)
    if taken is not None:
        return taken.about
    failed = _listed(body, FAILED_NAME)
    return _texts(failed[4]) if failed is not None else ()


def _listed(body: bytes, name: str) -> Sequence[Any] | None:
    try:
        found: Any = cbor.loads(body)
    except CodecError:
        return None
    least = 7 if name == EVENT_NAME else 6
    if not isinstance(found, list) or len(found) < least or found[0] != name:
        return None
    return found[1:]


def _texts(said: Any) -> tuple[str, ...]:
    return tuple(text for text in said if isinstance(text, str)) if isinstance(said, list) else ()
