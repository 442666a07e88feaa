"""What the log says of changes of the configuration. Pure.

    ["config change", id, what, who, at, old, new, why, differences]    an EVENT

`what`: APPLYING, then CONFIRMED, BACK or OVERTAKEN; or STARTED, where the gateway was started with another
file. `at`: from where; `old`, `new`: fingerprints of the files; `differences`:
lists of section, name, key, old, new,
with APPLYING and STARTED, at most DIFFERENCES_MAX of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.config_change import kept
from gateway.config_change.difference import Difference
from protocol import cbor
from protocol.errors import CodecError

EVENT_NAME = "config change"
APPLYING, STARTED = "applying", "started"
CONFIRMED, BACK, OVERTAKEN = kept.CONFIRMED, kept.BACK, kept.OVERTAKEN
DIFFERENCES_MAX = 200


class Said(NamedTuple):
    """One such entry."""

    id: str
    what: str
    who: str
    at: str
    old: str
    new: str
    why: str
    differences: tuple[Difference, ...]


def event(change: kept.Change, what: str, who: str, at: str, differences: Sequence[Difference] = ()) -> bytes:
    """Body of the EVENT entry."""
    told = [list(one) for one in differences[:DIFFERENCES_MAX]]
    return cbor.dumps([EVENT_NAME, change.id, what, who, at, change.old, change.new, change.why, told])


def parse(body: bytes) -> Said | None:
    """The inverse; None for what is none."""
    try:
        found: Any = cbor.loads(body)
        name, id, what, who, at, old, new, why, told, *_ = found
        differences = tuple(Difference(*one) for one in told)
    except (CodecError, ValueError, TypeError):
        return None
    if name != EVENT_NAME:
        return None
    return Said(str(id), str(what), str(who), str(at), str(old), str(new), str(why), differences)
