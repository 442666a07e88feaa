"""What the tests of gateway.ingest.line share: channels, a clock moved by hand, servers good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from gateway.config_links import ModbusRtu, ModbusTcp
from gateway.ingest.line import Line
from protocol.modbus import crc16
from protocol.quality import OK

EPOCH_MS = 1_700_000_000_000  # on the grid of 1 s, 5 s, 100 s
WAIT_S_MAX = 90  # for what must happen; a test that gets here fails


def source(register: int = 0, **changes: Any) -> Any:
    """A bus source with the attributes of the configuration's."""
    usual = {
        "bus": "b", "unit": 1, "table": "holding", "type": "uint16", "word_order": "ABCD",
        "scale": 1.0, "offset": 0.0, "poll_ms": 1000, "phase_ms": 0,
    }  # fmt: skip
    return SimpleNamespace(register=register, **{**usual, **changes})


def channels(*sources: Any) -> list[Any]:
    return [SimpleNamespace(symbol=f"C{i}", source=s) for i, s in enumerate(sources)]


def bus(link: Any, timeout_ms: int = 200, retries: int = 0, gap_registers: int = 8) -> Any:
    if isinstance(link, int):
        link = ModbusTcp("127.0.0.1", link)
    return SimpleNamespace(
        id="b", link=link, timeout_ms=timeout_ms, retries=retries, gap_registers=gap_registers
    )


def rtu(path: str, baud: int = 115200) -> ModbusRtu:
    return ModbusRtu(path, baud, "N", 1)


class HandClock:
    """Station time and monotonic time that move only when the test says so."""

    simulated = False
    trusted = True

    def __init__(self, now_ms: int = EPOCH_MS - 500):
        self._now_ms, self._mono_ns = now_ms, 1_000_000_000
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        return self._now_ms

    def mono_ns(self) -> int:
        return self._mono_ns

    async def sleep_until(self, station_ms: int) -> None:
        while self._now_ms < station_ms:
            await self._moved.wait()

    def advance(self, ms: int) -> None:
        """Time passes."""
        self._mono_ns += ms * 1_000_000
        self.step(ms)

    def step(self, ms: int) -> None:
        """Somebody sets the clock."""
        self._now_ms += ms
        self._moved.set()
        self._moved = asyncio.Event()


class Sink(list):
    """Keeps what a line hands over: one list of rows per call."""

    def __call__(self, bus_id: str, rows: list) -> None:
        assert bus_id == "b"
        self.append(rows)

    def of(self, channel: int) -> list:
        return [row for rows in self for row in rows if row[0] == channel]

    def values(self, channel: int) -> list[float]:
        return [number(row[2]) for row in self.of(channel) if row[2] is not None]

    def qualities(self, channel: int) -> list[int]:
        return [row[3] for row in self.of(channel)]


def number(raw_bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", raw_bits))[0]


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not condition():
            await asyncio.sleep(0.002)


async def ready(line: Line, up: bool = True) -> None:
    """Wait until the line is up (or found down) and has put its first instants on its schedule."""
    await until(lambda: line.counters.up or (not up and line.counters.connect_failures))
    await until(lambda: line._schedule.next_ms())  # 0 before it starts; then a clock moved by hand may move


@contextlib.asynccontextmanager
async def running(line: Line) -> AsyncIterator[asyncio.Task]:
    """The line at work; afterwards its counters balance."""
    task = asyncio.create_task(line.run())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for unit in line.counters.units.values():
        settled = unit.answers + unit.timeouts + unit.bad_replies + unit.exceptions + unit.lost
        assert unit.requests - settled in (0, 1), unit  # 1: cancelled while it waited


async def each_second(clock: HandClock, sink: Sink, seconds: int) -> None:
    """Let `seconds` due instants of a line with one poll a second pass, one by one."""
    for _ in range(seconds):
        before = len(sink)
        clock.advance(1000)
        await until(lambda before=before: len(sink) > before)


# Real servers


@contextlib.asynccontextmanager
async def pymodbus_tcp(devices: Any, port: int = 0) -> AsyncIterator[int]:
    """pymodbus's own TCP server; gives its port."""
    from pymodbus.server import ModbusTcpServer

    server = ModbusTcpServer(devices, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


def registers(unit: int, start: int, words: list[int], action: Any = None) -> Any:
    from pymodbus.simulator import DataType, SimData, SimDevice

    return SimDevice(unit, [SimData(start, values=words, datatype=DataType.REGISTERS)], action=action)


# Servers that say what the test wants


class Question:
    """A request as it came."""

    def __init__(self, transaction: int, unit: int, pdu: bytes):
        self.transaction, self.unit, self.pdu = transaction, unit, pdu
        self.function = pdu[0]
        self.address, self.count = struct.unpack(">HH", pdu[1:5])

    def words(self) -> bytes:
        """The right data: every register holds its own address."""
        return struct.pack(f">{self.count}H", *range(self.address, self.address + self.count))

    def answer(self, data: bytes | None = None) -> bytes:
        """The PDU of a good answer."""
        data = self.words() if data is None else data
        return bytes((self.function, len(data))) + data

    def tcp(
        self, pdu: bytes | None = None, transaction: int | None = None, unit: int | None = None, **head: int
    ) -> bytes:
        """A TCP frame, right unless told otherwise (`protocol`, `length` in the header)."""
        pdu = self.answer() if pdu is None else pdu
        return (
            struct.pack(
                ">HHHB",
                self.transaction if transaction is None else transaction,
                head.get("protocol", 0),
                head.get("length", len(pdu) + 1),
                self.unit if unit is None else unit,
            )
            + pdu
        )

    def rtu(self, pdu: bytes | None = None, unit: int | None = None) -> bytes:
        body = bytes((self.unit if unit is None else unit,)) + (self.answer() if pdu is None else pdu)
        return body + struct.pack("<H", crc16(body))


Reply = Callable[[Question, Callable[[bytes], None]], Awaitable[None] | None]


class RawTcp:
    """A TCP server that hands every question to `reply(question, send)`, exchangeable at any time."""

    def __init__(self, reply: Reply):
        self.reply = reply
        self.port = 0
        self.questions: list[Question] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> RawTcp:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._server.close()
        self.close_connections()
        for task in self._tasks:
            task.cancel()

    def close_connections(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                question = Question(int.from_bytes(head[:2], "big"), head[6], pdu)
                self.questions.append(question)
                outcome = self.reply(question, writer.write)
                if asyncio.iscoroutine(outcome):
                    task = asyncio.create_task(outcome)
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class RawRtu:
    """A pty whose far end is an RS-485 line: every question goes to `reply(question, send)`."""

    def __init__(self, reply: Reply):
        self.reply = reply
        self.questions: list[Question] = []
        self._tasks: set[asyncio.Task] = set()
        self._rest = b""

    async def __aenter__(self) -> RawRtu:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.unplug()
        for task in self._tasks:
            task.cancel()

    def unplug(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    def send(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)

    def _read(self) -> None:
        self._rest += os.read(self._master, 4096)
        while len(self._rest) >= 8:
            frame, self._rest = self._rest[:8], self._rest[8:]
            assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
            question = Question(0, frame[0], frame[1:-2])
            self.questions.append(question)
            outcome = self.reply(question, self.send)
            if asyncio.iscoroutine(outcome):
                task = asyncio.create_task(outcome)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def never_wrong(sink: Sink, addresses: list[int]) -> None:
    """Every value that came is its channel's own: each register holds its own address."""
    for channel, address in enumerate(addresses):
        assert set(sink.values(channel)) <= {float(address)}, (channel, sink.values(channel))


def all_ok(sink: Sink, channel: int) -> bool:
    return all(q == OK for q in sink.qualities(channel))
