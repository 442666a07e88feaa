"""What the pages show of the past, read from the journal a page at a time: events, alerts, calibrations, the
log's newest checkpoint.

Rule 1: every question has a limit: a page of the newest, and from which entry the next page begins.
Rule 2: on the journal's reading thread; JournalError: ask later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from gateway.alert_history import Episode, episodes
from gateway.alert_states import EVENT_NAME
from gateway.calibration.history import History, history, in_force_ms, kept
from gateway.camera.picture import EVENT_NAME as PICTURE_NAME
from gateway.camera.picture import Taken
from gateway.camera.picture import parse as parse_picture
from gateway.config_model import Channel
from gateway.feed_entries import event_of
from gateway.journal.journal import Journal
from gateway.journal.kinds import CALIBRATION, COMMAND, EVENT, LOG
from gateway.journal.reader import Reader
from gateway.marks import EVENT_NAME as MARK_NAME
from gateway.marks import Mark
from gateway.marks import parse as parse_mark
from protocol.errors import CodecError

EVENTS_PAGE = 100
ALERTS_PAGE = 200
PICTURES_PAGE = 2000
PICTURES_EACH = 4
_FIRST = "SELECT arrived_ms FROM entry WHERE idx = 0"
_KINDS = (EVENT, COMMAND, CALIBRATION, LOG)
_NEWEST = (
    "SELECT idx FROM entry INDEXED BY entry_rare WHERE kind >= 4 AND kind = ? AND idx < ? "
    f"ORDER BY idx DESC LIMIT {EVENTS_PAGE}"
)


class Event(NamedTuple):
    """One entry that is no measurement. `detail`: what stands in it behind name and whom it is about."""

    entry: int
    at_ms: int
    name: str
    about: str
    detail: Any


class Evidence(NamedTuple):
    """What a stranger checks the log with."""

    checkpoint: str  # "" before the first
    vkey: str
    unsigned: str  # why nothing is signed; "" while all is well


class PageReads:
    """Over the journal of a running gateway."""

    def __init__(self, journal: Journal, state_dir: Path, channels: Sequence[Channel] = ()):
        self._journal = journal
        self._channels = channels
        self._vkey = state_dir / "log.vkey"

    async def events(self, before: int | None) -> list[Event]:
        """The newest before this entry, newest first: EVENTS_PAGE at the most."""
        return await self._journal.read(_events, 1 << 62 if before is None else before)

    async def alerts(self) -> list[Episode]:
        """The newest, newest first: ALERTS_PAGE at the most."""
        return await self._journal.read(_episodes)

    async def marks(self) -> list[Mark]:
        """What people said of channels' instruments, newest first: EVENTS_PAGE at the most."""
        return await self._journal.read(_marks)

    async def first_ms(self) -> int | None:
        """The beginning of the oldest window that the journal still has (Unix ms)."""
        return await self._journal.read(_first_ms)

    async def calibrations(self) -> list[History]:
        """What is known of each channel's calibrations."""
        return await self._journal.read(_calibrations, self._channels)

    async def pictures(self, about: Sequence[str]) -> dict[str, list[Taken]]:
        """The newest of what these are the names of (alerts, bottles), newest first: PICTURES_PAGE are
        looked at.
        """
        return await self._journal.read(_pictures, frozenset(about))

    def evidence(self) -> Evidence:
        """The newest checkpoint, with its cosignatures."""
        try:
            vkey = self._vkey.read_text(encoding="utf-8").strip()
        except OSError:
            vkey = ""
        return Evidence(self._journal.checkpoint.decode(), vkey, self._journal.unsigned)


def _first_ms(reader: Reader) -> int | None:
    return reader.rows("SELECT min(start_ms) FROM window")[0][0]


def _events(reader: Reader, before: int) -> list[Event]:
    numbers = sorted((row[0] for kind in _KINDS for row in reader.rows(_NEWEST, kind, before)), reverse=True)
    wanted = numbers[:EVENTS_PAGE]
    if not wanted:
        return []
    found = []
    for entry in reader.entries(wanted[-1], wanted[0], _KINDS):
        told = event_of(entry)
        found.append(Event(entry.idx, entry.arrived_ms, told["name"], str(told["about"]), told["detail"]))
    return found[::-1]


def _calibrations(reader: Reader, channels: Sequence[Channel]) -> list[History]:
    rows = reader.rows(_FIRST)
    records = [one.record for one in kept(reader)]
    return history(channels, records, in_force_ms(reader), rows[0][0] if rows else 0)


def _pictures(reader: Reader, about: frozenset[str]) -> dict[str, list[Taken]]:
    found: dict[str, list[Taken]] = {}
    if not about:
        return found
    for body, _ in reversed(reader.events_with(PICTURE_NAME)[-PICTURES_PAGE:]):
        taken = parse_picture(body)
        for name in about.intersection(() if taken is None else taken.about):
            if taken is not None and len(of := found.setdefault(name, [])) < PICTURES_EACH:
                of.append(taken)
    return found


def _episodes(reader: Reader) -> list[Episode]:
    return episodes(reader.events_with(EVENT_NAME))[-ALERTS_PAGE:][::-1]


def _marks(reader: Reader) -> list[Mark]:
    found: list[Mark] = []
    for body, _ in reversed(reader.events_with(MARK_NAME)):
        try:
            found.append(parse_mark(body))
        except (CodecError, ValueError, TypeError):
            continue
    return list(islice(found, EVENTS_PAGE))
