"""What people do at the page, as entries of the log. Pure.

    ["did", who, role, address, action, [details], ok, said]     an EVENT

    who "" where nobody's name was given; role "" where nobody was logged in; action: see may.ACTIONS, and
    "log in", "log out"; details: texts, what it was done to; said: the answer that the person got.

Rule 1: a password is in none of it; nor is a name that nobody has: it may be a password in the wrong field.
Rule 2: wrong passwords come as fast as strangers send them: so many of them become entries, and the next one
        tells how many did not (web/door.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import cbor
from protocol.errors import CodecError

EVENT_NAME = "did"
LOG_IN, LOG_OUT = "log in", "log out"
TEXT_MAX = 500
DETAILS_MAX = 50


class Deed(NamedTuple):
    """One thing that somebody did, or was refused."""

    who: str
    role: str
    address: str
    action: str
    details: Sequence[str] = ()
    ok: bool = True
    said: str = ""

    def event(self) -> bytes:
        """Body of the EVENT entry; texts that are too long, or not of one line, are made so."""
        details = [line_of(text) for text in self.details[:DETAILS_MAX]]
        texts = [line_of(text) for text in (self.who, self.role, self.address, self.action)]
        return cbor.dumps([EVENT_NAME, *texts, details, self.ok, line_of(self.said)])


def parse(body: bytes) -> Deed | None:
    """The inverse of Deed.event(); None for what is none."""
    try:
        found: Any = cbor.loads(body)
        event, who, role, address, action, details, ok, said, *_ = found
        if event != EVENT_NAME or type(ok) is not bool or type(details) is not list:
            return None
    except (CodecError, ValueError, TypeError):
        return None
    return Deed(str(who), str(role), str(address), str(action), tuple(map(str, details)), ok, str(said))


def line_of(text: str) -> str:
    """As one line of reasonable length."""
    shown = text[:TEXT_MAX].replace("\n", " ").encode("utf-8", "replace").decode()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in shown)
