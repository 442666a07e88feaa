"""Who may log in, as the file says it by now, and an entry of the log for every change of it.

Rule 1: the file is looked at every LOOK_S; what is different from what the log says is said there, whoever
        changed it and however, also while the gateway was stopped. So nobody is added or removed unseen.
Rule 2: a list that cannot be read changes nothing: those of before may log in, and problems() says so.
Rule 3: whatever goes wrong here holds up neither readings nor documents; it is tried again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from gateway.errors import JournalError, PeopleError
from gateway.journal.journal import Journal
from gateway.journal.kinds import EVENT
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.people import changes
from gateway.people.accounts import People, change, load, path_of

log = get_logger("people")

LOOK_S = 2.0
"""How often it is looked, in real seconds."""


class Keeper:
    """`people` may log in. `moment()` is (station time, monotonic) in ms."""

    def __init__(self, journal: Journal, state_dir: Path, moment: Callable[[], tuple[int, int]]):
        self.people = People({})
        self._problem = ""
        self._journal = journal
        self._path = path_of(state_dir)
        self._moment = moment
        self._looking = asyncio.Lock()  # run() and change(): a difference is told once
        self._told: changes.Told | None = None  # until the journal was read
        self._seen: tuple | None = None  # the file that was looked at last

    @property
    def known(self) -> bool:
        """Whether `people` was read by now."""
        return self._seen is not None

    def problems(self) -> list[str]:
        """Sentences, empty while all is well."""
        return [self._problem] if self._problem else []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                log.warning("the log was not told who may log in: tried again", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once. JournalError: nothing was said."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        try:
            seen = await asyncio.to_thread(_signature, self._path)
            if seen == self._seen:
                return
            people = await asyncio.to_thread(load, self._path)
        except (PeopleError, OSError) as error:
            self._say(f"{self._path.name}: {error} Those of before may log in.")
            return
        self._say("")
        await self._believe(people, seen)

    async def change(self, step: Callable[[People], People]) -> None:
        """Somebody changes the list at the page: in the file, and in the log, when this returns. PeopleError,
        JournalError, OSError.
        """
        await asyncio.to_thread(change, self._path, step)
        await self.look()

    async def tell(self, body: bytes) -> None:
        """Write an EVENT entry of what somebody did (deeds.py). JournalError."""
        await self._journal.tell(EVENT, [body], self._moment())

    async def _believe(self, people: People, seen: tuple) -> None:
        told = self._told = self._told or await self._journal.read(_told)
        found = told.differences(people)
        if found:
            await self._journal.tell(EVENT, [each.event() for each in found], self._moment())
            for each in found:
                told.take(each)
                log.info("people", name=each.name, what=each.what, role=each.role, by=each.by)
        self.people, self._seen = people, seen

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("who may log in cannot be read", reason=problem)
        self._problem = problem


def _signature(path: Path) -> tuple:
    """Of the file that lies there; another one has another."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _told(reader: Reader) -> changes.Told:
    told = changes.Told()
    for body, _ in reader.events_with(changes.EVENT_NAME):
        change = changes.parse(body)
        if change is not None:
            told.take(change)
    return told
