"""What a running gateway on this machine does for a calibration: readings, the command, marks and records.

Rule 1: everything is asked of it as `quantrac gateway mark` and `calibration add` do (gateway/requests.py),
        so that who did it, and why, stands in its log.
Rule 2: what is read of the journal is what came over the device's link, authenticated; the device's newest
        greeting says what is in force.
Rule 3: through the gateway a calibration is a correction of the readings so far (gateway/calibration/
        correct.py): the gateway gives the device the points, and enters the record beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from gateway import config as configuration
from gateway.calibration import desk
from gateway.calibration.given import Known
from gateway.calibration.record import Limits
from gateway.config import Channel, Config
from gateway.config_links import SerialLink, TcpListen, TlsListen
from gateway.config_model import DeviceSource
from gateway.journal.bodies import payload
from gateway.journal.kinds import FRAME, HELLO
from gateway.journal.reader import Reader, reading
from gateway.marks import EVENT_NAME, Marks, parse
from gateway.requests import CALIBRATE, MARK, Answer, Order
from protocol import quality as q
from protocol.cose import payload_of
from protocol.errors import CodecError
from protocol.messages import Hello, Readings, decode
from tools.parked import done
from tools.people import Failure, UsageError
from tools.station.calibrate.fit import Points
from tools.station.calibrate.settle import Sample
from tools.station.calibrate.ways import Standing, Unsure, samples_of, standings

T = TypeVar("T")
LOOK_S = 0.3
"""How often the journal is looked at, in real seconds."""
LAG_MS = 8_000
"""Readings wait so long for company, on the device (uplink.py) and for a commit (ingest/intake.py)."""
NOT_KNOWN = ("did not answer", "has not finished")
"""In the answers of a gateway that cannot say whether the device did it."""


class Measured(NamedTuple):
    """A channel of the gateway's that a quantity of the device feeds."""

    symbol: str
    unit: str
    decimals: int
    limits: Limits
    known: Mapping[str, Known]  # all of the gateway's, for the check of a record


class GatewayHand:
    """The gateway of a configuration, and one device of it."""

    def __init__(self, path: Path, by: str) -> None:
        self.path = path
        self.config: Config = configuration.load(path)
        self._by = by

    @property
    def journal(self) -> Path:
        return self.config.gateway.state_dir / "journal.db"

    @property
    def station(self) -> str:
        """Its name and code, for people."""
        return f"{self.config.station.name} ({self.config.station.code})"

    def check_has_run(self) -> None:
        """Failure when there is no journal yet."""
        if not self.journal.exists():
            raise Failure(f"{self.journal} does not exist: has this gateway ever run? Start it first.")

    def check_device(self, device: str) -> None:
        """UsageError when the gateway has no such device."""
        ids = [one.id for one in self.config.device]
        if device not in ids:
            raise UsageError(
                f"The gateway of {self.path} has no device {device}: it has {', '.join(ids) or 'none'}."
            )

    def check_port(self, port: str, device: str) -> None:
        """UsageError when the gateway holds the line that is to be used (rule 1 of ways.py)."""
        for one in self.config.device:
            link = one.link
            same = (
                Path(link.path).resolve() == Path(port).resolve()
                if isinstance(link, SerialLink)
                else isinstance(link, TcpListen | TlsListen) and port.endswith(f":{link.port}")
            )
            if same and one.id == device:
                raise UsageError(
                    f"The gateway holds {port} itself: leave out --port, then it is done through the gateway."
                )

    def measured(self, device: str, quantity: str) -> list[Measured]:
        """The channels that this quantity feeds; [] for none."""
        known = desk.channels(self.config)
        return [
            Measured(one.symbol, one.unit, one.decimals, known[one.symbol].limits, known)
            for one in self.config.channel
            if _feeds(one, device, quantity)
        ]

    def quantity(self, device: str, symbol: str) -> str | None:
        """The quantity behind a symbol of the provincial file."""
        for one in self.config.channel:
            if one.symbol == symbol and isinstance(one.source, DeviceSource) and one.source.device == device:
                return one.source.quantity
        return None

    async def mark(self, symbols: Sequence[str], what: str, minutes: float, reason: str) -> list[str]:
        """Say of these channels what is done to them; its answers. Failure when it takes none."""
        said = []
        for symbol in symbols:
            order = Order(MARK, (), "", self._by, reason, channel=symbol, mark=what, minutes=minutes)
            said.append(_good(await self._ask(order)))
        return said

    async def is_marked(self, symbols: Sequence[str]) -> bool:
        """Whether one of these is marked as calibrating now: by a run that was killed, or somebody else."""
        return await asyncio.to_thread(self._is_marked, symbols)

    def _is_marked(self, symbols: Sequence[str]) -> bool:
        if not self.journal.exists():
            return False
        marks = Marks()
        with reading(self.journal) as reader:
            for body, _ in reader.events_with(EVENT_NAME):
                with contextlib.suppress(ValueError, TypeError, CodecError):
                    marks.take(parse(body))
            now_ms = reader.newest_ms()
        found = [marks.now(symbol, now_ms) for symbol in symbols]
        return any(one is not None and one[0] == q.CALIBRATING for one in found)

    async def enter(self, record: str) -> Answer:
        """Give it a record."""
        return await self._ask(Order(CALIBRATE, (), "", self._by, "", record=record))

    async def _ask(self, order: Order) -> Answer:
        self.check_has_run()
        return await asyncio.to_thread(done, self.config, order, _stopped)


def _feeds(channel: Channel, device: str, quantity: str) -> bool:
    source = channel.source
    return isinstance(source, DeviceSource) and (source.device, source.quantity) == (device, quantity)


async def _stopped(state_dir: Path, order: Order) -> Answer:
    return Answer(
        "The gateway is stopped: readings of this time would count as measured (00). Start it first.",
        ok=False,
    )


def _good(answer: Answer) -> str:
    if not answer.ok:
        raise Failure(answer.said)
    return answer.said


class Through:
    """The way through the gateway."""

    pace_ms, lag_ms = 1, LAG_MS

    def __init__(self, hand: GatewayHand, device: str) -> None:
        self.id = device
        self.firmware = ""
        self._hand = hand
        self._source = f"device/{device}"
        self._next = 0  # entry of the journal
        self._table: dict[str, Standing] = {}
        self._names: list[str] = []
        self._channel = ""

    async def refresh(self) -> None:
        await asyncio.to_thread(self._read, self._greeting)

    def table(self) -> Mapping[str, Standing]:
        return self._table

    def listen(self, channel: str) -> None:
        self._channel = channel

    async def samples(self, seconds: float) -> list[Sample]:
        end_s = time.monotonic() + seconds
        while True:
            found = await asyncio.to_thread(self._read, self._new)
            if found or time.monotonic() > end_s:
                return found
            await asyncio.sleep(LOOK_S)

    async def write(self, channel: str, number: int, points: Points, record: str) -> None:
        try:
            answer = await self._hand.enter(record)
        except Failure as failure:
            if any(words in str(failure) for words in NOT_KNOWN):
                raise Unsure(str(failure)) from None
            raise
        if not answer.ok:
            sure = not any(words in answer.said for words in NOT_KNOWN)
            raise (Failure if sure else Unsure)(answer.said)

    def _read(self, look: Callable[[Reader], T]) -> T:
        with reading(self._hand.journal) as reader:
            return look(reader)

    def start(self, reader: Reader) -> None:
        """Readings from here on."""
        self._greeting(reader)
        self._next = reader.size()

    def _greeting(self, reader: Reader) -> None:
        for entry in reader.newest_first(HELLO):
            if entry.source != self._source:
                continue
            hello = decode(payload_of(entry.body))
            if isinstance(hello, Hello):
                self.firmware = hello.firmware
                self._table = standings(hello.channels)
                self._names = list(self._table)
            return
        raise Failure(f"{self.id} has never greeted this gateway: check its power, its cable and its key.")

    def _new(self, reader: Reader) -> list[Sample]:
        last = reader.size() - 1
        found: list[Sample] = []
        for entry in reader.entries(self._next, last):
            if entry.source == self._source and entry.kind == HELLO:
                self._greeting(reader)
            if entry.source != self._source or entry.kind != FRAME or self._channel not in self._names:
                continue
            try:
                message = decode(payload(entry.body))
            except CodecError:
                continue
            if isinstance(message, Readings) and message.clock:
                found += samples_of(message, self._names.index(self._channel))
        self._next = last + 1
        return found


@asynccontextmanager
async def through(hand: GatewayHand, device: str) -> AsyncIterator[Through]:
    """The way through the gateway, once its journal can be read."""
    hand.check_has_run()
    way = Through(hand, device)
    await asyncio.to_thread(way._read, way.start)
    yield way
