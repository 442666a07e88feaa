"""What a person does about documents: which are parked, which to send after all, which not to send.

Rule 1: done between two deliveries of that destination, so that nothing is parked that was just confirmed.
        What was under way is broken off; the receiver may have it all the same.
Rule 2: a released document goes before all that is younger. What the receiving software makes of it is
        another matter: a file that is older than what it has it never looks at (overtaken()).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gateway.forward.worker import Worker
from gateway.journal import parked
from gateway.journal.outbox import JournalOutbox
from gateway.journal.parked import PARK, RELEASE, Row
from gateway.journal.reader import Reader
from gateway.requests import RELEASE as RELEASING
from gateway.requests import Answer, Order

_Changed = tuple[list[Row], list[Row]]
"""Documents that were changed, and others as they are."""
RECENT = 1000
"""Delivered files among which the newest name is looked for: all but released ones come in order."""
_NEWEST = (
    "SELECT MAX(name) FROM (SELECT name FROM outbox WHERE destination = ? AND state = 1 "
    f"AND kind = 'windows' AND name LIKE '%.txt' ORDER BY id DESC LIMIT {RECENT})"
)
_STATES = {
    parked.PENDING: "it is not parked, it waits to be sent",
    parked.DELIVERED: "it is delivered",
    parked.PARKED: "it is parked already",
}


class Desk:
    """Does what an Order asks; `workers` are those that run."""

    def __init__(
        self, outbox: JournalOutbox, workers: Mapping[str, Worker], read: Callable[..., Awaitable[Any]]
    ):
        self._outbox, self._workers, self._read = outbox, workers, read

    async def do(self, order: Order) -> Answer:
        """Raises JournalError: nothing was changed, or not all of it."""
        ids = list(order.ids)
        if not ids:
            ids = await self._read(parked.ids_of, order.destination)
            if not ids:
                return Answer(f"No document for {order.destination} is parked.")
        rows = await self._read(parked.rows_of, ids)
        action = RELEASE if order.what == RELEASING else PARK
        changed: list[Row] = []
        left = {id: "there is no such document" for id in ids}
        for destination in dict.fromkeys(row.destination for row in rows):
            own = [row.id for row in rows if row.destination == destination]
            done, others = await self._change(destination, partial(
                self._outbox.by_hand, action, own, order.who, order.reason
            ), action is RELEASE)  # fmt: skip
            changed += done
            left |= {row.id: _STATES[row.state] for row in others}
        for row in changed:
            del left[row.id]
        return _answer(action, changed, left)

    async def _change(
        self, destination: str, call: Callable[[], Awaitable[_Changed]], release: bool
    ) -> _Changed:
        worker = self._workers.get(destination)
        if worker is None:  # it is no longer configured
            return await call()
        if not release:
            return await worker.between(call)
        found = await call()
        worker.rewind()
        return found


def _answer(action: parked.Action, changed: Sequence[Row], left: Mapping[int, str]) -> Answer:
    done = "wait to be sent again" if action is RELEASE else "are parked"
    one = "waits to be sent again" if action is RELEASE else "is parked"
    said = f"1 document {one}." if len(changed) == 1 else f"{len(changed)} documents {done}."
    if len(changed) == parked.AT_ONCE_MAX:
        said += " There may be more: give it once more."
    return Answer(said, [row.id for row in changed], sorted(left.items()), not left)


def overtaken(reader: Reader, destinations: Sequence[str], ids: Sequence[int]) -> list[Row]:
    """Of these documents, files for `destinations` whose names are not above the newest delivered there."""
    newest = {one: reader.rows(_NEWEST, one)[0][0] or "" for one in destinations}
    rows = parked.rows_of(reader, ids)
    return [row for row in rows if row.name.endswith(".txt") and row.name <= newest.get(row.destination, "")]
