"""Instruments that serve the registers of their profile, with a plausible process behind them.

Rule 1: values change at station times on the grid k x update_s (GMT+7), never in between.
Rule 2: what a reader gets depends on the station's clock alone. Every read first brings the registers up to
        now, so a late task cannot serve a value that is out of date; the ticker only keeps the truth file
        prompt.
Rule 3: the truth is what the registers hold, decoded again, not what the process wanted to say.
Rule 4: it deceives and refuses by the traps of its profile, and by no others: see instrument_traps.py.

The registers are pymodbus's own data model (SimDevice with four tables, refreshed through its `action`).
Registers next to the profile's are there and read 0, as most instruments have it; others are exception 2.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
from dataclasses import dataclass

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from protocol import quality, registers
from protocol.errors import ConfigError
from protocol.profile import Profile, Quantity, Status, ratio
from protocol.reading import bits_float
from simulator.clock import SimClock
from simulator.instrument_traps import Manners
from simulator.signals import LOCAL_OFFSET_MS, Shape, Signal
from simulator.truth import Truth

TABLES = ("coil", "discrete", "holding", "input")
TABLE_READ = (1, 2, 3, 4)  # functions
TABLE_OF = {1: "coil", 2: "discrete", 4: "input", 5: "coil", 15: "coil"}  # by function; the others: holding
HOLE_MAX = 16  # registers between two of the profile's that exist and read 0: planners read across such holes
CATCH_UP_MAX = 10_000  # updates written after the fact; more than that is a leap of the clock, not a delay

# pymodbus reports every peculiar request; here they are part of the show.
logging.getLogger("pymodbus.logging").addHandler(logging.NullHandler())


class State(enum.Enum):
    """What an instrument is doing. All but RUNNING and FROZEN are visible to a reader who looks."""

    RUNNING = "RUNNING"
    CALIBRATING = "CALIBRATING"  # status says so; the value is that of the span gas or solution
    MAINTENANCE = "MAINTENANCE"  # status says so; the value goes on, unless a trap says that it is frozen
    FAULT = "FAULT"  # status says so; the value by its traps; without either: NaN, or 0 in an integer
    FROZEN = "FROZEN"  # the last value for ever, with a good status
    SILENT = "SILENT"  # no answer at all


QUALITY_OF = {
    State.CALIBRATING: quality.CALIBRATING,
    State.MAINTENANCE: quality.MAINTENANCE,
    State.FAULT: quality.FAULT,
}


@dataclass(frozen=True)
class Served:
    """One quantity of the profile that the scene brings to life."""

    quantity: str  # id in the profile
    channel: str  # symbol in the truth file
    shape: Shape
    update_s: float


class _Live:
    """A served quantity and how far its updates have come."""

    def __init__(self, quantity: Quantity, served: Served, signal: Signal) -> None:
        self.quantity, self.channel, self.signal = quantity, served.channel, signal
        self.step_ms = round(served.update_s * 1000)
        self.last_index: int | None = None

    def index_at(self, now_ms: int) -> int:
        return (now_ms + LOCAL_OFFSET_MS) // self.step_ms

    def time_of(self, index: int) -> int:
        return index * self.step_ms - LOCAL_OFFSET_MS


class Instrument:
    """One unit: `device` is its pymodbus SimDevice. `starts` counts start commands that were obeyed."""

    def __init__(
        self,
        profile: Profile,
        unit: int,
        served: list[Served],
        clock: SimClock,
        truth: Truth,
        seed: int = 0,
        station: str = "station",
    ) -> None:
        if profile.asks:
            raise ConfigError(f"{profile.name} has open questions: answer them first (profile.answered)")
        self.profile, self.unit = profile, unit
        self.starts = 0
        self._manners = Manners(profile, clock.now_ms)
        self._state = State.RUNNING
        self._clock, self._truth = clock, truth
        self._words: dict[str, dict[int, int]] = {table: {} for table in TABLES}
        self._live = []
        for entry in served:
            quantity = profile.quantity(entry.quantity)
            signal = Signal(entry.shape, seed, station, f"{unit}/{profile.name}/{quantity.id}")
            self._live.append(_Live(quantity, entry, signal))
        wired = {entry.quantity for entry in served}
        for quantity in profile.quantities:
            if quantity.id not in wired:  # the instrument has it, the station does not use it
                low, high = quantity.plausible
                self._hold(quantity, (low + high) / 2)
        self._identify()
        self._show_status()
        for live in self._live:
            live.last_index = live.index_at(clock.now_ms()) - 1
        self._measure(clock.now_ms())
        self.device = self._sim_device()

    @property
    def state(self) -> State:
        return self._state

    def set_state(self, state: State) -> None:
        """Change what the instrument does: its status registers at once, its values at the next update."""
        self.refresh()
        self._state = state
        self._show_status()

    def power_up(self) -> None:
        """Its supply was cut and comes back now: silent for `link.startup_ms`, see instrument_traps.py."""
        self.refresh()
        self._manners.power_up()

    def next_update_ms(self) -> int:
        """Station time of the next update."""
        return min((live.time_of(live.last_index + 1) for live in self._live), default=math.inf)

    def refresh(self) -> None:
        """Bring the registers up to the station's clock, with a truth line for each update since the last."""
        now_ms = self._clock.now_ms()
        if not self._manners.waits_for_start:
            self._measure(now_ms)
            return
        done_ms = self._manners.finished()
        if done_ms is not None:  # it may be the second one within an instant of the grid
            for live in self._live:
                live.last_index = live.index_at(done_ms) - 1
            self._measure(done_ms)
        for live in self._live:
            live.last_index = live.index_at(now_ms)

    def _measure(self, now_ms: int) -> None:
        for live in self._live:
            index = live.index_at(now_ms)
            first = max(live.last_index + 1, index - CATCH_UP_MAX)
            for i in range(first, index + 1):
                self._update(live, live.time_of(i))
            live.last_index = max(live.last_index, index)

    def _update(self, live: _Live, t_ms: int) -> None:
        quantity = live.quantity
        state = None if self._state is State.RUNNING else self._state.value
        words = self._manners.in_fault(quantity) if self._state is State.FAULT else None
        frozen = self._state is State.MAINTENANCE and self._manners.frozen_in_maintenance(quantity)
        if words:
            held = self._put(quantity, words)
        elif words == () or frozen or self._state is State.FROZEN:
            held = self._held(quantity)
        elif self._state is State.CALIBRATING:
            low, high = quantity.plausible
            held = self._hold(quantity, low + 0.8 * (high - low))
        else:
            held = self._hold(quantity, live.signal.value(t_ms))
        if math.isfinite(held):
            self._truth.write(t_ms, live.channel, held, state)

    def _hold(self, quantity: Quantity, value: float) -> float:
        """Put a value into its registers; returns what they hold then."""
        number = (value - quantity.offset) / quantity.scale
        number = self._manners.limited(quantity, number)
        if quantity.table in ("coil", "discrete"):
            self._words[quantity.table][quantity.register] = int(number >= 0.5)
            return self._held(quantity)
        if quantity.type not in ("float32", "float64"):
            bits = 16 * registers.words_of(quantity.type)
            low = -(1 << bits - 1) if quantity.type.startswith("int") else 0
            number = min(low + (1 << bits) - 1, max(low, round(number)))
        return self._put(quantity, registers.encode(number, quantity.type, quantity.word_order))

    def _put(self, quantity: Quantity, words: tuple[int, ...]) -> float:
        for i, word in enumerate(words):
            self._words[quantity.table][quantity.register + i] = word
        return self._held(quantity)

    def _held(self, quantity: Quantity) -> float:
        table = self._words[quantity.table]
        words = [table[quantity.register + i] for i in range(registers.words_of(quantity.type))]
        multiply, divide = ratio(quantity.scale)
        return bits_float(
            registers.raw_bits(words, quantity.type, quantity.word_order, multiply, divide, quantity.offset)
        )

    def _show_status(self) -> None:
        statuses = self.profile.statuses
        wanted = QUALITY_OF.get(self._state, quality.OK)
        codes = [status_code(status, wanted) for status in statuses]
        if all(code is None for code in codes):  # it cannot say that, but perhaps that something is wrong
            codes = [status_code(status, quality.FAULT) for status in statuses]
        for status in statuses:
            for i in range(registers.words_of(status.type)):
                self._words[status.table][status.register + i] = 0
        for status, code in zip(statuses, codes, strict=True):
            if code is None:  # not its business
                code = status_code(status, quality.OK) or 0
            for i, word in enumerate(_big_words(code, registers.words_of(status.type))):
                self._words[status.table][status.register + i] |= word  # others may share it, by their masks

    def _identify(self) -> None:
        for identify in self.profile.identify:
            if identify.type == "text":
                text = (identify.equals or identify.contains).encode()
                data = (b" " * (identify.at or 0) + text).ljust(identify.words * 2, b"\0")
                words = [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
            else:
                words = _big_words(identify.equals, identify.words)
            for i, word in enumerate(words):
                self._words[identify.table].setdefault(identify.register + i, word)

    def _sim_device(self) -> SimDevice:
        used = {table: set(words) for table, words in self._words.items()}
        for start in self.profile.starts:
            table = TABLE_OF.get(start.function, "holding")
            count = (start.words or (0,))[0] if start.function in (3, 4) else len(start.words)
            used[table].update(range(start.register, start.register + max(1, count)))
        self._used = used
        everywhere = self._manners.knows_its_own  # else pymodbus answers for what is not there
        blocks = tuple(_blocks(used[table], table in ("coil", "discrete"), everywhere) for table in TABLES)
        return SimDevice(self.unit, blocks, action=self._access)

    async def _access(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus calls this at every access, with the registers it is about to read or write."""
        if self._state is State.SILENT:
            raise NoSuchIdException("silent")  # the way to have no answer sent
        table = TABLE_OF.get(function, "holding")
        if values is not None or function in TABLE_READ:  # pymodbus reads back what it wrote: no request
            refused = await self._manners.admit(table, address, count, self._used[table])
            if refused is not None:
                return refused
        if values is not None or function in (3, 4):
            self._obey(function, address)
        if values is not None:
            return None
        if not self._used[table]:
            return ExcCodes.ILLEGAL_ADDRESS
        self.refresh()
        words = self._words[table]
        if table in ("holding", "input"):
            for at in range(address, address + count):
                if at in words:
                    current[at - start] = words[at]
        else:  # `start` counts groups of 16 bits
            for at, bit in words.items():
                group = at // 16 - start
                if 0 <= group < len(current):
                    current[group] = current[group] & ~(1 << at % 16) | bit << at % 16
        return None

    def _obey(self, function: int, address: int) -> None:
        """Start measuring, when that is what the request says."""
        for start in self.profile.starts:
            if (start.function, start.register) == (function, address):
                self.starts += 1
                self._manners.started(start.wait_ms)
                return


def status_code(status: Status, wanted: int) -> int | None:
    """The lowest register code that the status map turns into the wanted quality; None when there is none."""
    for code, meaning in sorted(status.values.items()):
        if meaning == wanted:
            return code
    if status.otherwise != wanted:
        return None
    mask = 1 if status.table in ("coil", "discrete") else status.mask
    lowest = mask & -mask
    candidates = (code for code in range(0, mask + lowest, lowest) if code & mask == code)
    return next((code for code in candidates if code not in status.values), None)


def _big_words(number: int, count: int) -> list[int]:
    return [number >> 16 * (count - 1 - i) & 0xFFFF for i in range(count)]


def _blocks(addresses: set[int], bits: bool, everywhere: bool = False) -> list[SimData]:
    """Data blocks that cover the addresses and the small holes between them, or everything."""
    kind = DataType.BITS if bits else DataType.REGISTERS
    if everywhere and not bits:
        return [SimData(0, count=0x10000, values=0, datatype=kind)]
    blocks: list[SimData] = []
    start = end = None
    for address in sorted(addresses or {0}):
        if start is None or address > end + HOLE_MAX:
            if start is not None:
                blocks.append((start, end))
            start = address
        end = address + 1
    blocks.append((start, end))
    return [SimData(low, values=[False if bits else 0] * (high - low), datatype=kind) for low, high in blocks]


async def keep_updating(instruments: list[Instrument], clock: SimClock, truth: Truth) -> None:
    """The ticker: refresh every instrument at each instant of its grid, until cancelled."""
    while True:
        await clock.sleep_until(min(instrument.next_update_ms() for instrument in instruments))
        for instrument in instruments:
            instrument.refresh()
        truth.flush()


class TcpInstruments:
    """A Modbus TCP server for one or more instruments; units that are not there stay silent."""

    def __init__(self, instruments: list[Instrument], host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self._instruments = instruments
        self._server: ModbusTcpServer | None = None

    async def start(self) -> TcpInstruments:
        """Listen; port 0 chooses a free one, see `.port`. Raises OSError when the port is taken."""

        async def absent(*_: object) -> ExcCodes | None:
            raise NoSuchIdException("no such unit")

        # Unit 0 stands for every unit not named; without it pymodbus would answer exception 4.
        anyone = SimDevice(0, SimData(0, count=0x10000, datatype=DataType.REGISTERS), action=absent)
        devices = [instrument.device for instrument in self._instruments]
        self._server = ModbusTcpServer(
            [*devices, anyone], address=(self.host, self.port), ignore_missing_devices=True
        )
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self.host}:{self.port}, choose another port") from error
        self.port = self._server.transport.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()
            self._server = None
            await asyncio.sleep(0)  # let the transports close
