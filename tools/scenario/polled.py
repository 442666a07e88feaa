"""Instruments in a scenario: registers of the scene's profiles, filled from the plant. Those of the gateway
are behind pymodbus's own server on Modbus TCP, with what can be wrong with them; a real device (firmware.py)
has its own on a line.

Rule 1: what is answered is the plant's reading at that moment, as the registers hold it, and is noted with
        when it was: `answers`, by the channel's name at the gateway. Nothing else may be in the journal.
Rule 2: an instrument says its state as its profile does. The gateway reads values only, of which a fault
        makes what the profile says.
Rule 3: a fault is of single instruments (Trouble), or of the server as a whole (`wrong`).
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from protocol import quality
from protocol.profile import Quantity
from protocol.reading import float_bits
from protocol.registers import words_of
from simulator.instruments import TABLE_OF, Instrument, Served, State
from simulator.plant import Plant
from simulator.sampler import ModbusSampler
from simulator.scene import SceneUnit
from tools.demo.site import HOST

_UNIT = 6  # place of the unit in a Modbus TCP packet
_STATES = {quality.FAULT: State.FAULT, quality.CALIBRATING: State.CALIBRATING}
_ORDER = (State.RUNNING, State.CALIBRATING, State.FAULT)
"""An instrument has one state for all that it measures: the last of these that one of its channels is in."""


class Answers:
    """What a channel's instrument has answered: true times, and the values' float32 bits."""

    def __init__(self) -> None:
        self.times, self.bits = array("q"), array("q")


class Trouble:
    """What is wrong with an instrument at the moment."""

    def __init__(self) -> None:
        self.mute = self.refuses = False
        self.latency_s = 0.0


class _Clock:
    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms


class _NoTruth:
    def write(self, *_: object) -> None: ...


class PlantInstrument(Instrument):
    """An instrument that shows what the plant says."""

    def __init__(self, unit: SceneUnit, plant: Plant, true_ms: Callable[[], int], answers: dict) -> None:
        served = [Served(one.quantity.id, one.symbol, one.shape, one.update_s) for one in unit.channels]
        self.trouble = Trouble()
        self._plant, self._true_ms, self._answers = plant, true_ms, answers
        self._found: dict[str, int] = {}  # channel -> quality that the plant says
        clock: Any = _Clock(true_ms)
        truth: Any = _NoTruth()
        super().__init__(unit.profile, unit.unit, served, clock, truth)

    def _update(self, live: Any, t_ms: int) -> None:
        value, self._found[live.channel] = self._plant.reading(live.channel, t_ms)
        state = max((_STATES.get(found, State.RUNNING) for found in self._found.values()), key=_ORDER.index)
        if state is not self._state:
            self._state = state
            self._show_status()
        if state is State.FAULT:
            super()._update(live, t_ms)
        elif value is not None:
            self._hold(live.quantity, value)

    async def _access(
        self, function: int, start: int, address: int, count: int, current: list[int], values: Any
    ) -> ExcCodes | None:
        trouble = self.trouble
        if trouble.latency_s:
            await asyncio.sleep(trouble.latency_s)
        if trouble.mute:
            raise NoSuchIdException("mute")  # the way to have no answer sent
        if trouble.refuses:
            return ExcCodes.DEVICE_FAILURE
        refused = await super()._access(function, start, address, count, current, values)
        for live in self._live if refused is None else ():
            if not _asked(live.quantity, function, address, count):
                continue
            answers = self._answers[live.channel]
            answers.times.append(self._true_ms())
            answers.bits.append(float_bits(self._held(live.quantity)))
        return refused


def _asked(quantity: Quantity, function: int, address: int, count: int) -> bool:
    """Whether a read of registers holds a quantity, whole."""
    last = quantity.register + words_of(quantity.type) - 1
    return TABLE_OF.get(function, "holding") == quantity.table and (
        address <= quantity.register and last < address + count
    )


class Polled:
    """The instruments of one station, and its sampler. `name(channel)`: what the gateway calls a channel."""

    def __init__(
        self,
        units: Sequence[SceneUnit],
        plant: Plant,
        true_ms: Callable[[], int],
        random: Random,
        name: Callable[[str], str],
        sampler: ModbusSampler | None = None,
    ) -> None:
        self.port = 0
        self.sampler = sampler
        self.wrong = 0.0
        """Probability of an answer to come with another unit's number."""
        by_channel = {channel.symbol: Answers() for unit in units for channel in unit.channels}
        self.answers = {name(channel): answers for channel, answers in by_channel.items()}
        self.instruments = [PlantInstrument(unit, plant, true_ms, by_channel) for unit in units]
        self._of = {
            channel.symbol: instrument
            for unit, instrument in zip(units, self.instruments, strict=True)
            for channel in unit.channels
        }
        self._random = random
        self._server: ModbusTcpServer | None = None

    def trouble(self, channel: str) -> Trouble:
        """Of the instrument that measures this channel; KeyError."""
        return self._of[channel].trouble

    async def start(self) -> Polled:
        """Listen on `port`."""

        async def absent(*_: object) -> ExcCodes | None:
            raise NoSuchIdException("no such unit")

        more = [] if self.sampler is None else [self.sampler.device]
        anyone = SimDevice(0, SimData(0, count=0x10000, datatype=DataType.REGISTERS), action=absent)
        self._server = ModbusTcpServer(
            [*(instrument.device for instrument in self.instruments), *more, anyone], address=(HOST, 0),
            ignore_missing_devices=True, trace_packet=self._sent,
        )  # fmt: skip
        await self._server.serve_forever(background=True)
        transport: Any = self._server.transport
        self.port = transport.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Nobody answers any more."""
        if self._server is not None:
            await self._server.shutdown()
            self._server = None

    def _sent(self, sending: bool, data: bytes) -> bytes:
        if not sending or len(data) <= _UNIT or self._random.random() >= self.wrong:
            return data
        return data[:_UNIT] + bytes([data[_UNIT] ^ 0x40]) + data[_UNIT + 1 :]
