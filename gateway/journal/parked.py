"""Documents that wait for a person, and the three things that are done about documents at somebody's word.

    parked --release---> pending         it is sent after all
    pending --park-----> parked          it is not sent
    delivered --resend-> pending         it is sent again; the delivery before is tallied: the sums hold

Rule 1: a mark and the EVENT that says who did it and why are one transaction: [name, destination, who, why,
        keys].
Rule 2: what is in another state is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from gateway.journal.reader import Reader
from protocol import cbor

PENDING, DELIVERED, PARKED = 0, 1, 2
KEYS_MAX = 500
"""Documents in one entry."""
AT_ONCE_MAX = 10_000
"""Documents in one transaction: some 400 KiB of entries."""
_IDS_AT_ONCE = 500

_LISTED = (
    "SELECT id, destination, key, kind, name, folder, at_ms, settled_ms, attempts, last_error FROM outbox "
    f"WHERE destination = ? AND state = {PARKED} ORDER BY id"
)
_NEXT = "SELECT MIN(destination) FROM outbox WHERE destination > ?"
_IDS = f"SELECT id FROM outbox WHERE destination = ? AND state = {PARKED} ORDER BY id LIMIT {AT_ONCE_MAX}"
_ROWS = "SELECT id, destination, key, name, state FROM outbox WHERE id IN ({}) ORDER BY id"


class Action(NamedTuple):
    """One of the three: the EVENT's name, the state before, what it adds to the number of parked documents
    and to that of all that were ever queued.
    """

    event: str
    before: int
    parked: int
    queued: int = 0

    def done(self, row: Row) -> bool:
        """Whether it was done to this one (what was released may be delivered by now)."""
        return (row.state == PARKED) == (self.parked > 0)


RELEASE = Action("released", PARKED, -1)
PARK = Action("parked", PENDING, 1)
RESEND = Action("resent", DELIVERED, 0, 1)
# Of the attempts one is left, so that the destination looks whether it has the document; not ten, at which a
# mistake of ours would park it again at once.
_RELEASE = (
    f"UPDATE outbox SET state = {PENDING}, attempts = MIN(attempts, 1), settled_ms = NULL "
    f"WHERE id = ? AND state = {PARKED}"
)
_TALLY = (
    f"INSERT INTO tally (destination, delivered) SELECT destination, 1 FROM outbox WHERE id = ? "
    f"AND state = {DELIVERED} ON CONFLICT (destination) DO UPDATE SET delivered = delivered + 1"
)
_RESEND = (
    f"UPDATE outbox SET state = {PENDING}, attempts = 1, settled_ms = NULL "
    f"WHERE id = ? AND state = {DELIVERED}"
)
_PARK = (
    f"UPDATE outbox SET state = {PARKED}, settled_ms = ?, last_error = ? WHERE id = ? AND state = {PENDING}"
)


class Parked(NamedTuple):
    """A document that waits for a person."""

    id: int
    destination: str
    key: str
    kind: str
    name: str
    folder: str
    at_ms: int  # station time that it is of
    since_ms: int | None
    attempts: int
    reason: str


class Row(NamedTuple):
    """A document as far as it matters here."""

    id: int
    destination: str
    key: str
    name: str
    state: int


def listed(reader: Reader, destination: str | None = None) -> list[Parked]:
    """All that are parked, or those of one destination; by destination, the oldest first."""
    found = _destinations(reader) if destination is None else [destination]
    return [Parked._make(row) for one in found for row in reader.rows(_LISTED, one)]


def _destinations(reader: Reader) -> Iterator[str]:
    """From name to name: there are a few, and documents of years."""
    name = ""
    while (name := reader.rows(_NEXT, name)[0][0]) is not None:
        yield name


def ids_of(reader: Reader, destination: str) -> list[int]:
    """The parked ones of a destination, the oldest AT_ONCE_MAX."""
    return [id for (id,) in reader.rows(_IDS, destination)]


def rows_of(reader: Reader, ids: Sequence[int]) -> list[Row]:
    """Those of these documents that there are, by id."""
    found: list[Row] = []
    ids = sorted(set(ids))
    for first in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[first : first + _IDS_AT_ONCE]
        found += [Row._make(row) for row in reader.rows(_ROWS.format(",".join("?" * len(some))), *some)]
    return found


def bodies(action: Action, rows: Iterable[Row], who: str, why: str) -> Iterator[bytes]:
    """The EVENTs that say what was done to these."""
    for destination, group in groupby(sorted(rows, key=lambda row: row.destination), _destination_of):
        keys = [row.key for row in group]
        for first in range(0, len(keys), KEYS_MAX):
            yield cbor.dumps([action.event, destination, who, why, keys[first : first + KEYS_MAX]])


def marks(
    action: Action, rows: Iterable[Row], who: str, why: str, now_ms: int
) -> list[tuple[str, list[tuple]]]:
    """What is written to the outbox."""
    if action is PARK:
        return [(_PARK, [(now_ms, f"parked by {who}: {why}", row.id) for row in rows])]
    each: list[tuple] = [(row.id,) for row in rows]
    return [(_RELEASE, each)] if action is RELEASE else [(_TALLY, each), (_RESEND, each)]


def _destination_of(row: Row) -> str:
    return row.destination
