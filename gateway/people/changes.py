"""Every difference between who may log in now and what the log says of it. Pure.

    ["person", name, what, role, mark, by]     an EVENT; what: added, role, password, removed

Rule 1: what the log said, in its order, is what is known of people: so a difference is told once, however the
        list was changed, by whatever program, and a name that went cannot go unseen.
Rule 2: `mark` tells one password from another and nothing about it: a hash of its salted hash.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from gateway.people.accounts import Account, People
from protocol import cbor
from protocol.errors import CodecError

EVENT_NAME = "person"
ADDED, ROLE, PASSWORD, REMOVED = "added", "role", "password", "removed"
MARK_BYTES = 8


class Change(NamedTuple):
    """One thing that became different."""

    name: str
    what: str
    role: str
    mark: bytes
    by: str

    def event(self) -> bytes:
        """Body of the EVENT entry."""
        return cbor.dumps([EVENT_NAME, *self])


class Known(NamedTuple):
    """What the log says of one person."""

    role: str
    mark: bytes


def parse(body: bytes) -> Change | None:
    """The inverse of Change.event(); None for what is none."""
    try:
        found: Any = cbor.loads(body)
        event, name, what, role, mark, by, *_ = found
    except (CodecError, ValueError, TypeError):
        return None
    known = event == EVENT_NAME and what in (ADDED, ROLE, PASSWORD, REMOVED)
    return Change(str(name), what, str(role), mark, str(by)) if known and type(mark) is bytes else None


class Told:
    """All that the log said of people."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def take(self, change: Change) -> None:
        """The next thing that it said."""
        if change.what == REMOVED:
            self.known.pop(change.name, None)
        else:
            self.known[change.name] = Known(change.role, change.mark)

    def differences(self, people: People) -> list[Change]:
        """What it has to say so that it tells of these people."""
        found = []
        for name in sorted(self.known.keys() | people.accounts.keys()):
            account, known = people.accounts.get(name), self.known.get(name)
            if account is None:
                found.append(Change(name, REMOVED, self.known[name].role, b"", people.by))
                continue
            mark = mark_of(account)
            if known is None:
                found.append(Change(name, ADDED, account.role, mark, people.by))
                continue
            if known.mark != mark:
                found.append(Change(name, PASSWORD, known.role, mark, people.by))
            if known.role != account.role:
                found.append(Change(name, ROLE, account.role, mark, people.by))
        return found


def mark_of(account: Account) -> bytes:
    """See rule 2."""
    return sha256(account.password.encode()).digest()[:MARK_BYTES]
