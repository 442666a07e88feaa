"""Documents of a range once more, because the department asks.

Rule 1: what the outbox still has is sent as it was, byte for byte, under its own name or id, the oldest first
        and before all that is younger: a receiver of messages knows a repetition by its id, one of files by
        its name.
Rule 2: windows whose documents were forgotten (they are older than retention_days) are made again of the
        journal: a file byte for byte, a message with the checkpoint of today. A file destination gets
        revision 1 only, as always (documents.py, rule 2).
Rule 3: a file that is older than the newest that lies there is not looked at by the receiving software: it
        lies there again, and the answer says how many such there are, for a person to read them in. No other
        name makes it better: a name above the newest would be read as another time's.
Rule 4: at most RESEND_MAX documents for each destination and command: they go before what is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.config_model import Config, FileDestination
from gateway.documents import Draft, documents
from gateway.forward.worker import Worker
from gateway.journal import parked
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from gateway.journal.parked import RESEND
from gateway.journal.reader import Reader
from gateway.parked import overtaken
from gateway.reports import message
from gateway.zone import DAY_MS

RESEND_MAX = 2016
"""A week of windows."""
RANGE_MS_MAX = 31 * DAY_MS
_ROWS = "SELECT id, key, state FROM outbox WHERE destination = ? AND kind = ? AND at_ms >= ? AND at_ms <= ? "


class Range(NamedTuple):
    """What is asked for: stamps from and to (Unix ms, both included), symbols (none: all), kind of `send`."""

    from_ms: int
    to_ms: int
    symbols: Sequence[str]
    what: str


class Found(NamedTuple):
    """For one destination."""

    ids: list[int]  # delivered: to be sent again
    waiting: int  # not sent yet, or parked: nothing to do
    drafts: list[Draft]  # to be made again
    left: int  # beyond RESEND_MAX
    unread: int  # files that a person has to read in


class Resend:
    """`destinations`: ids, of [department] resend_to."""

    def __init__(
        self,
        config: Config,
        destinations: Sequence[str],
        outbox: JournalOutbox,
        workers: Mapping[str, Worker],
        journal: Journal,
    ):
        self._config, self._destinations = config, destinations
        self._outbox, self._workers, self._journal = outbox, workers, journal

    async def send(self, asked: Range, who: str, why: str) -> dict[str, dict[str, int]]:
        """Numbers for each destination. JournalError: not all of it was queued."""
        told: dict[str, dict[str, int]] = {}
        for id in self._destinations:
            found = await self._journal.read(_found, self._config, id, asked)
            again = await self._again(id, found.ids, who, why)
            if found.drafts:
                await self._outbox.queue(found.drafts)
            told[id] = {
                "sent_again": again, "made_again": len(found.drafts), "waiting_already": found.waiting,
                "left_out": found.left, "not_read_by_itself": found.unread,
            }  # fmt: skip
        return told

    async def _again(self, id: str, ids: list[int], who: str, why: str) -> int:
        changed = 0
        for first in range(0, len(ids), parked.KEYS_MAX):
            some = ids[first : first + parked.KEYS_MAX]
            done, _ = await self._outbox.by_hand(RESEND, some, who, why)
            changed += len(done)
        if changed and id in self._workers:
            self._workers[id].rewind()
        return changed


def _found(reader: Reader, config: Config, id: str, asked: Range) -> Found:
    """On the journal's reading thread."""
    place = (id, asked.what, asked.from_ms, asked.to_ms)
    known = {key for _, key, _ in reader.rows(_ROWS, *place)}
    holds = ["(instr(body, ?) OR instr(body, ?) OR instr(body, ?) = 1)" for _ in asked.symbols]
    only = f"AND ({' OR '.join(holds)}) " if holds else ""
    named = [text for symbol in asked.symbols for text in _texts(symbol)]
    rows = reader.rows(f"{_ROWS} {only} ORDER BY id", *place, *named)
    ids = [row[0] for row in rows if row[2] == parked.DELIVERED]
    waiting, left = len(rows) - len(ids), max(0, len(ids) - RESEND_MAX)
    ids = ids[:RESEND_MAX]
    drafts: list[Draft] = []
    if asked.what == "windows":
        for start_ms in range(asked.from_ms, asked.to_ms + 1, DAY_MS):
            some = asked._replace(from_ms=start_ms, to_ms=min(asked.to_ms, start_ms + DAY_MS - 1))
            made = _made(reader, config, id, some, known)
            room = RESEND_MAX - len(ids) - len(drafts)
            drafts += made[:room]
            left += len(made[room:])
    (destination,) = [one for one in config.destination if one.id == id]
    unread = 0
    if isinstance(destination, FileDestination) and asked.what == "windows":
        unread = len(overtaken(reader, [id], ids)) + len(drafts)
    return Found(ids, waiting, drafts, left, unread)


def _made(reader: Reader, config: Config, id: str, asked: Range, known: set[str]) -> list[Draft]:
    """Documents that the outbox has forgotten, of the windows in the journal."""
    length_ms = config.gateway.window_minutes * 60_000
    windows = [
        window
        for window in reader.windows(asked.from_ms - length_ms, asked.to_ms + 1)
        if asked.from_ms <= message.label(config, window) <= asked.to_ms
    ]
    drafts = documents(config, windows, reader.checkpoint() or b"")
    own = [one for one in drafts if (one.destination, one.kind) == (id, asked.what) and one.key not in known]
    return [one for one in own if not asked.symbols or any(_names(one.body, name) for name in asked.symbols)]


def _texts(symbol: str) -> tuple[bytes, bytes, bytes]:
    """How a message or a line of a file names it; the last of them at the begin of a file."""
    return f'"{symbol}"'.encode(), f"\n{symbol}\t".encode(), f"{symbol}\t".encode()


def _names(body: bytes, symbol: str) -> bool:
    quoted, line, first = _texts(symbol)
    return quoted in body or line in body or body.startswith(first)


def summary(told: Mapping[str, Mapping[str, int]]) -> str:
    """A sentence of it."""
    parts: list[str] = []
    for id, numbers in told.items():
        count = numbers["sent_again"] + numbers["made_again"]
        text = f"{id}: {count} documents wait to be sent again"
        if numbers["left_out"]:
            text += f", {numbers['left_out']} more do not fit one command: ask for a shorter range"
        if numbers["not_read_by_itself"]:
            text += f"; {numbers['not_read_by_itself']} are older than what lies there: read them in by hand"
        parts.append(text)
    return "; ".join(parts) + "."


def numbers_of(told: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """For the answer's details."""
    return {"destinations": {id: dict(numbers) for id, numbers in told.items()}}
