"""A link that outlives the station's restarts and the cable's: what works on a station for minutes holds one.

Rule 1: a port that has gone (a board's own USB goes with each restart) is opened anew as soon as it is back.
Rule 2: what was learned of the station is kept meanwhile: `station` is the newest one that has greeted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from protocol.messages import Result
from tools.people import Failure
from tools.station.access import Access
from tools.station.link import Station, StationLink

GREETING_S = 40.0
"""A device that still waits for its gateway greets again after about 20 s."""
LOOK_S = 0.5


class SteadyLink:
    """A link with the key that `access` names, an async context manager. Failure, UsageError as link.py.

    `patience_s`: how long a command waits for its answer, a lost port for its coming back.
    """

    def __init__(self, access: Access, patience_s: float = 30.0) -> None:
        self.patience_s = patience_s
        self.port = access.port
        self._key = access.link_key()
        self._link: StationLink | None = None
        self._station: Station | None = None

    async def __aenter__(self) -> SteadyLink:
        self._link = await StationLink(self.port, self._key).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.__aexit__()

    @property
    def station(self) -> Station | None:
        """The station as it greeted last, over this port or the one before."""
        if self._link is not None and self._link.station is not None:
            self._station = self._link.station
        return self._station

    async def greeted(self, seconds: float = GREETING_S) -> Station:
        """The station, once it has greeted. Failure with what to look at when it does not."""
        assert self._link
        return await self._link.greeted(seconds)

    async def until(self, condition: Callable[[Station], Any], seconds: float) -> bool:
        """Wait until condition(the station) holds. False when it never does; a port may go meanwhile."""
        end = time.monotonic() + seconds
        while True:
            if (station := self.station) is not None and condition(station):
                return True
            if (left := end - time.monotonic()) <= 0:
                return False
            link = await self._open()
            if link is None:
                await asyncio.sleep(min(LOOK_S, left))
                continue
            await link.wait(lambda: self.station is not None and condition(self.station), min(LOOK_S, left))

    async def command(
        self, name: str, args: Any = None, seconds: float | None = None, repeat: bool = True
    ) -> Result:
        """As StationLink.command, over a port that may go and come back. Failure when no answer comes.

        repeat: whether it may be asked again over the new port; False for what must not be done twice.
        """
        end = time.monotonic() + (seconds or self.patience_s)
        while True:
            link = await self._ready(end)
            left = max(LOOK_S, end - time.monotonic())
            asked = asyncio.create_task(link.command(name, args, left))
            try:
                while not asked.done() and (link.connected or link.listening is not None):
                    await asyncio.wait([asked], timeout=LOOK_S)
            finally:
                asked.cancel()  # no harm to one that is done
                await asyncio.wait([asked])
            if not asked.cancelled():
                return asked.result()
            if not repeat:
                raise Failure(f'{self.port} went while "{name}" was asked.')

    async def _ready(self, end: float) -> StationLink:
        """A link whose station has greeted. Failure when there is none by then."""
        while (link := await self._open()) is None or link.station is None:
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(
                    f"Nothing came on {self.port}: check the cable, and that the station has power."
                )
            if link is None:
                await asyncio.sleep(min(LOOK_S, left))
            else:
                await link.wait(lambda link=link: link.station is not None, min(LOOK_S, left))
        return link

    async def _open(self) -> StationLink | None:
        """The link, opened anew where its port had gone; None while there is none."""
        link = self._link
        if link is not None and (link.connected or link.listening is not None):
            return link
        self._station = self.station
        await self._close()
        try:
            self._link = await StationLink(self.port, self._key).__aenter__()
        except (OSError, Failure):
            return None
        return self._link
