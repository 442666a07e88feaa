"""The way to a channel that is calibrated: over the technician's own link, or through the running gateway.

    --port PORT                the technician's link takes the gateway's place (tools/station/link.py)
    --gateway CONFIG alone     the gateway keeps the link: its journal has the readings, and it gives the
                               command (through.py). Nothing is plugged over and no reading is late: the way
                               to be preferred wherever the gateway runs on this machine.

Rule 1: a serial line belongs to one of the two. The port that a running gateway has open is not taken from
        it: then leave out --port. Where the technician's cable stands in for the gateway's, the device keeps
        every reading, and the gateway gets all of them afterwards with their times.
Rule 2: a mark at the gateway begins when it is said, and holds for windows by the time of their readings, not
        by when those come (gateway/marks.py). So it is said before the first standard and ended after the
        last: what comes late from in between is status 01 all the same.
Rule 3: over the technician's link the device shows its newest readings every five seconds, since nothing is
        acknowledged there: a minute is twelve readings, or as many as it polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

from protocol.messages import Hello, Now, Readings
from protocol.reading import bits_float
from tools.people import Failure
from tools.station.access import Access
from tools.station.calibrate.fit import Points, as_held
from tools.station.calibrate.settle import Sample
from tools.station.link import StationLink

SHOWN_MS = 5000
"""How often the device shows its newest readings to a link that does not acknowledge."""
GREETING_S = 60.0
"""A device whose cable was just taken from its gateway sends again for a while before it greets anew."""
CONFIRM_S = 60.0
"""How long the device may take to greet with what was written."""
SILENT_S_MIN = 45.0
SAMPLES_MAX = 10_000
"""That nobody has taken: somebody thinks at a question."""


class Standing(NamedTuple):
    """What is in force of a channel, as the device's newest greeting says."""

    name: str
    interval_ms: int  # how often it is read; 0: not known
    number: int
    points: Points


class Unsure(Failure):
    """The device was told, and did not answer: nobody knows whether it did it."""


class Way(Protocol):
    """What is needed of either."""

    id: str  # of the device
    firmware: str
    pace_ms: int  # no reading comes more often,
    lag_ms: int  # nor is one seen before it is so old (device time)

    def table(self) -> Mapping[str, Standing]:
        """All channels of the device."""
        ...

    def listen(self, channel: str) -> None:
        """From here on samples() gives this channel's readings."""
        ...

    async def samples(self, seconds: float) -> list[Sample]:
        """New readings, oldest first; waits so long for one. [] when none came."""
        ...

    async def write(self, channel: str, number: int, points: Points, record: str) -> None:
        """Have the device keep this calibration. Failure: it was refused, nothing was changed. Unsure."""
        ...

    async def refresh(self) -> None:
        """Bring table() up to date."""
        ...


async def confirmed(way: Way, channel: str, number: int, points: Points, seconds: float = CONFIRM_S) -> bool:
    """Whether the device's greeting says within the time that exactly this is in force."""
    async with asyncio.timeout(seconds) as limit:
        try:
            while True:
                await way.refresh()
                held = way.table()[channel]
                if (held.number, held.points) == (number, points):
                    return True
                await asyncio.sleep(0.2)
        except TimeoutError:
            if not limit.expired():
                raise
    return False


def standings(channels: Sequence[Sequence]) -> dict[str, Standing]:
    """The channel table of a greeting."""
    return {
        name: Standing(name, interval_ms, number, as_held(points))
        for name, interval_ms, number, points in channels
    }


def samples_of(message: Readings | Now, place: int) -> list[Sample]:
    """The readings of one channel in a message."""
    return [
        Sample(
            message.base_ms + offset_ms, bool(message.clock), None if bits is None else bits_float(bits),
            quality, calibration,
        )
        for channel, offset_ms, bits, quality, calibration in message.rows
        if channel == place
    ]  # fmt: skip


class Direct:
    """Over a StationLink."""

    pace_ms = lag_ms = SHOWN_MS

    def __init__(self) -> None:
        self.link: StationLink
        self.id = self.firmware = ""
        self.boot = 0
        self._place = -1
        self._channel = ""
        self._found: list[Sample] = []
        self._newest: tuple[bool, int] = (False, -1)
        self._came = asyncio.Event()
        self._gone = ""

    def take(self, message: object) -> None:
        """What the link has believed."""
        if isinstance(message, Hello):
            self._place = self._number()
            if self.boot and message.boot != self.boot:
                self.lost("the station was gone, and has started anew")
        elif isinstance(message, Readings | Now) and self._place >= 0:
            for sample in samples_of(message, self._place):
                if (sample.told, sample.time_ms) > self._newest:  # records come again and again
                    self._newest = (sample.told, sample.time_ms)
                    self._found.append(sample)
            del self._found[:-SAMPLES_MAX]
            self._came.set()

    def lost(self, text: str) -> None:
        """What the link says of itself."""
        self._gone = text if "gone" in text or "ended" in text else ""
        self._came.set()

    def table(self) -> Mapping[str, Standing]:
        if self.link.station is None:
            raise Failure("The station has not greeted yet.")
        return standings(self.link.station.hello.channels)

    def listen(self, channel: str) -> None:
        self._channel = channel
        self._place = self._number()

    def _number(self) -> int:
        if not self._channel or self.link.station is None:
            return -1
        names = [row[0] for row in self.link.station.hello.channels]
        return names.index(self._channel) if self._channel in names else -1

    async def samples(self, seconds: float) -> list[Sample]:
        if not self._found:
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                pass
        if self._gone and not self._found:
            raise Failure(f"{self._gone[0].upper()}{self._gone[1:]}: check its cable and its power.")
        found, self._found = self._found, []
        return found

    async def write(self, channel: str, number: int, points: Points, record: str) -> None:
        given = {"channel": channel, "id": number, "points": [list(point) for point in points]}
        try:
            result = await self.link.command("calibrate", given)
        except Failure as failure:
            raise Unsure(str(failure)) from None
        if not result.ok:
            raise Failure(f"The station refuses this calibration: {result.text}.")

    async def refresh(self) -> None:
        return  # each greeting is taken as it comes


@asynccontextmanager
async def direct(access: Access, device: str) -> AsyncIterator[Direct]:
    """The technician's own link, once the station has greeted. Failure with what to look at."""
    way = Direct()
    async with AsyncExitStack() as opened:
        link = StationLink(access.port, access.link_key(), device, way.take, way.lost)
        way.link = await opened.enter_async_context(link)
        hello = (await link.greeted(GREETING_S)).hello
        way.id, way.firmware, way.boot = hello.device, hello.firmware, hello.boot
        yield way
