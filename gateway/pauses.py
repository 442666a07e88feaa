"""Destinations that a person lets rest: nothing goes there until somebody lets it go on; nothing is lost.

    ["paused", destination, who, why]       an EVENT
    ["resumed", destination, who, why]      an EVENT

Rule 1: what the log said last of a destination is how it is, over restarts too.
Rule 2: the entry is on disk before nothing more is sent, and before it goes on. What was under way is broken
        off; the receiver may have it all the same.
Rule 3: documents wait and grow old meanwhile: what is told of a destination that is behind is told of this
        one as well, and who lets it rest is a problem in the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.forward.worker import Worker
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.requests import PAUSE, Answer, Order
from protocol import cbor
from protocol.errors import CodecError

PAUSED, RESUMED = "paused", "resumed"
_SAID = (
    f"SELECT body FROM entry INDEXED BY entry_rare WHERE kind >= {EVENT} AND kind = {EVENT} "
    "AND (instr(body, ?) OR instr(body, ?)) ORDER BY idx"
)


class Pause(NamedTuple):
    """Who lets a destination rest, and why."""

    who: str
    why: str


def learn(reader: Reader) -> dict[str, Pause]:
    """Those that rest, by what the journal says."""
    return standing(body for (body,) in reader.rows(_SAID, PAUSED, RESUMED))


def standing(bodies: Iterable[bytes]) -> dict[str, Pause]:
    """Of EVENT bodies in their order; others are passed over."""
    found: dict[str, Pause] = {}
    for body in bodies:
        try:
            said: Any = cbor.loads(body)
            name, destination, who, why = said
        except (CodecError, ValueError, TypeError):
            continue
        if name == PAUSED:
            found[str(destination)] = Pause(str(who), str(why))
        elif name == RESUMED:
            found.pop(str(destination), None)
    return found


class Pauses:
    """`moment()` is (station time, monotonic) in ms; `workers` are those that run."""

    def __init__(
        self,
        journal: Journal,
        workers: Mapping[str, Worker],
        moment: Callable[[], tuple[int, int]],
        known: Mapping[str, Pause],
    ):
        self._journal = journal
        self._workers = workers
        self._moment = moment
        self._standing = dict(known)
        for id in known.keys() & workers.keys():
            workers[id].paused = True

    def problems(self) -> Iterator[str]:
        """Sentences for the status."""
        for id, pause in self._standing.items():
            if id in self._workers:
                by = f"paused by {pause.who} ({pause.why})"
                yield f"Nothing is sent to {id} until somebody resumes it: {by}."

    async def do(self, order: Order) -> Answer:
        """PAUSE or RESUME. JournalError: nothing was changed."""
        id, rest = order.destination, order.what == PAUSE
        worker = self._workers.get(id)
        if worker is None:
            there = ", ".join(self._workers) or "none"
            return Answer(f"There is no destination {id!r}: there are {there}.", ok=False)
        if rest == worker.paused:
            return Answer(f"{id} is paused already." if rest else f"{id} is not paused.", ok=False)

        async def change() -> None:
            await self._say([PAUSED if rest else RESUMED, id, order.who, order.reason])
            worker.paused = rest
            if rest:
                self._standing[id] = Pause(order.who, order.reason)
            else:
                self._standing.pop(id, None)

        await worker.between(change)
        if rest:
            return Answer(f"{id} is paused: what comes for it waits until somebody resumes it.")
        return Answer(f"{id} goes on, the oldest first.")

    async def _say(self, body: list[str]) -> None:
        await self._journal.tell(EVENT, [cbor.dumps(body)], self._moment())
