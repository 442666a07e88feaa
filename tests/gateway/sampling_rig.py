"""A sampler over a real journal, with a drive that does what the test says, and alerts of real windows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.config_department import Sampler as Settings
from gateway.journal.reader import reading
from gateway.sampling import bottles
from gateway.sampling.bottles import FILLED, Bottle
from gateway.sampling.sampler import Sampler
from protocol import cbor
from protocol import quality as q
from tests.gateway.feed_rig import LENGTH_MS, Written, config_of, written
from tests.gateway.test_provincial import T0

WINDOW_MS = LENGTH_MS


class Tap:
    """A drive. `drawn` holds every bottle that truly moved; `says` what comes of the next ones."""

    def __init__(self) -> None:
        self.drawn: list[int] = []
        self.says: list[tuple[str, str]] = []
        self.hold: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def rest(self) -> bool:
        return True

    async def draw(self, number: int, reason: str) -> tuple[str, str]:
        self.drawn.append(number)
        self.begun.set()
        if self.hold is not None:
            await self.hold.wait()
        return self.says.pop(0) if self.says else (FILLED, "The feedback contact closed.")


class Start:
    """One start of a gateway."""

    def __init__(self, site: Plant, at: Written):
        self.at, self.tap = at, site.tap
        self.mono_ms = 1_000_000
        self.sampler = Sampler(
            site.settings, site.tap, at.journal, lambda: (at.now_ms, self.mono_ms),
            lambda: [["COD", 80.5, q.OK, at.now_ms - 500]], WINDOW_MS,
        )  # fmt: skip

    async def exceed(self, start_ms: int, value: float = 80.0, told: bool = True) -> None:
        """A window of COD (limit 75), with what is said of it; `told`: the sampler hears of it."""
        heard: list[Any] = []
        closed = self.at.alerts.closed

        def closing(windows):
            heard.extend(found := closed(windows))
            return found

        self.at.alerts.closed = closing  # pyright: ignore[reportAttributeAccessIssue]
        await self.at.close(start_ms, {"COD": value})
        self.at.alerts.closed = closed
        if told:
            self.sampler.heard(heard)

    async def settled(self) -> None:
        """Until nothing is left to do."""
        async with asyncio.timeout(20):
            while self.sampler.told()["at_work"] or self.sampler._alarms:
                await asyncio.sleep(0.01)


class Plant:
    """A station with a carousel."""

    def __init__(self, folder: Path, **settings: Any):
        self.config = config_of(folder, "windows")
        given = {"bus": "b", "bottles": 5, "per_day": 2, **settings}
        self.settings = Settings.model_validate(given)
        self.tap = Tap()

    @contextlib.asynccontextmanager
    async def started(self, now_ms: int = T0) -> AsyncIterator[Start]:
        async with written(self.config) as at:
            at.now_ms = now_ms
            start = Start(self, at)
            task = asyncio.create_task(start.sampler.run())
            try:
                yield start
                assert not task.done(), task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def entries(self) -> list[Bottle]:
        """Every word about bottles in the journal, in order."""
        return [one for one in map(bottles.parse, self._events()) if isinstance(one, Bottle)]

    def refused(self) -> list[list[Any]]:
        """Bottles that were asked for and not begun: [reason, who, ask, rule, why] each."""
        found = [cbor.loads(body) for body in self._events()]
        return [body[2:] for body in found if isinstance(body, list) and body[0] == bottles.NO_BOTTLE]

    def _events(self) -> list[bytes]:
        with reading(self.config.gateway.state_dir / "journal.db") as reader:
            return [body for body, _ in reader.events_with(bottles.SAMPLER)]
