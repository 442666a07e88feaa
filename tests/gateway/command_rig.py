"""A desk over a real journal, with deeds that count, and a department that commands it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.commands import message as m
from gateway.commands.desk import Desk, Outcome
from gateway.commands.entries import KEYS, parse_pinned
from gateway.commands.sign import Signing
from gateway.journal.checkpoints import origin
from gateway.journal.kinds import COMMAND, EVENT
from gateway.journal.reader import reading
from protocol import cbor, note
from simulator.department import Department
from tests.gateway.feed_rig import Written, config_of, written

STATION = origin("LCa", "DEMO", "NUO001")
SAMPLE: dict[str, Any] = {"bottles": 1, "reason": "at night"}
VIA = "test"


class At:
    """One start of a gateway. Site.done holds what its deed `sample` was asked for, over all starts."""

    def __init__(self, site: Site, journal: Written):
        self.site, self.written = site, journal
        self.mono_ms = 1_000_000
        self.trusted = True
        self.hold: asyncio.Event | None = None  # a deed waits for it
        self.begun = asyncio.Event()
        self.desk = Desk(
            STATION, [note.parse_vkey(one.vkey) for one in site.departments], journal.journal,
            lambda: (journal.now_ms, self.mono_ms), lambda: self.trusted, Signing(journal.state_dir, STATION),
            {"sample": self._sample, "status": self._status}, {"sample": self._look_up},
        )  # fmt: skip

    async def _sample(self, command: m.Command, digest: str) -> Outcome:
        self.begun.set()
        self.site.done.append(command)
        if self.hold is not None:
            await self.hold.wait()
        return Outcome(m.DONE, f"Bottle {len(self.site.done)} is filled.", {"bottle": len(self.site.done)})

    async def _status(self, command: m.Command, digest: str) -> Outcome:
        return Outcome(m.DONE, "All is well.", {})

    async def _look_up(self, command: m.Command, digest: str) -> Outcome:
        return Outcome(m.UNKNOWN, "It was broken off.", {"looked_up": command.args["reason"]})

    async def say(self, data: bytes) -> dict[str, Any] | None:
        """What is answered to a message, checked with log.vkey; None for nothing."""
        answer = await self.desk.take(data, VIA)
        if answer is None:
            return None
        found = Department.checked(answer, (self.written.state_dir / "log.vkey").read_text())
        assert found["command"] == m.digest_of(data) and found["station"] == STATION
        return found

    @property
    def now_s(self) -> float:
        return self.written.now_ms / 1000


class Site:
    """A station's folder, and who commands it."""

    def __init__(self, folder: Path):
        self.config = config_of(folder, "windows")
        self.departments = [Department.made("dept.example")]
        self.done: list[m.Command] = []

    @property
    def department(self) -> Department:
        return self.departments[0]

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[At]:
        async with written(self.config) as journal:
            yield At(self, journal)

    def command(self, at: At, verb: str = "sample", by: Department | None = None, **more: Any) -> bytes:
        """Signed, of this moment, unless `more` says otherwise."""
        args = SAMPLE if verb == "sample" else {}
        given = {"issued_s": at.now_s, **args, **more}
        return (by or self.department).command(given.pop("station", STATION), verb, **given)

    def entries(self) -> list[list[Any]]:
        """Bodies of what the journal holds of commands, in order."""
        with reading(self.config.gateway.state_dir / "journal.db") as reader:
            bodies = [cbor.loads(entry.body) for entry in reader.entries(kinds=(EVENT, COMMAND))]
        names = ("department", "department result", "command refused")
        return [body for body in bodies if isinstance(body, list) and body[0] in names]

    def pinned(self) -> list[list[str]]:
        """Whose commands are taken, each time that the log says it."""
        with reading(self.config.gateway.state_dir / "journal.db") as reader:
            found = [parse_pinned(body) for body, _ in reader.events_with(KEYS)]
        return [vkeys for vkeys in found if vkeys is not None]

    def codes(self) -> list[str]:
        """Why commands were refused, by the journal."""
        return [body[2] for body in self.entries() if body[0] == "command refused"]
