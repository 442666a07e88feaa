"""What stands around a device under test: process, serial lines, instruments, a gateway's end of the link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import tty
from pathlib import Path

from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from protocol import framing, messages
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.gateway_session import ACCEPT, GAP, GREET, REPEAT, STALE, GatewaySession
from tests.protocol.test_runtimes import interpreter

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = ("micropython", "cpython")
HEAP = "384k"  # from source, whose compiling takes more than running: test_memory.py has the true figures
KEY = bytes(range(32))
REST = {  # of a station.json: nothing wired to the device itself
    "memory_records": 0,
    "inputs": [],
    "outputs": [],
    "analogs": [],
    "counters": [],
    "alarms": [],
    "store": {"thin_at": 0.5, "hold_ms": 2400},
}
DEVICE = "st-01"
T = 1_760_000_000_000  # Unix ms: what the gateway's clock shows when a test begins
WAIT_S = (
    120.0  # for a condition that has to come true; far more than it takes, so that a slow machine only waits
)


async def until(condition, what: str, seconds: float = WAIT_S) -> None:
    """Wait for condition() to hold; AssertionError with `what` when it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"never came true: {what}"
        await asyncio.sleep(0.01)


class Device:
    """The firmware in a process of its own. `lines` are the JSON lines it printed, `last` the newest."""

    def __init__(self, runtime: str, directory: Path, heap: str = HEAP) -> None:
        self.lines: list[dict] = []
        self.errors = ""
        self._runtime = runtime
        self._directory = directory
        self._heap = heap
        self._process = None

    async def start(self, environment: dict | None = None) -> Device:
        if self._runtime == "cpython":
            command = [sys.executable, "-m", "firmware.main"]
        else:
            command = [interpreter(), "-X", f"heapsize={self._heap}", "-m", "firmware.main"]
        self._process = await asyncio.create_subprocess_exec(
            *command,
            str(self._directory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "MICROPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), **(environment or {})},
        )
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]
        return self

    @property
    def last(self) -> dict:
        return self.lines[-1] if self.lines else {}

    async def _read(self) -> None:
        async for line in self._process.stdout:
            self.lines.append(json.loads(line))

    async def _read_errors(self) -> None:
        async for line in self._process.stderr:
            self.errors += line.decode()

    async def stop(self, text: bytes | None = b"stop\n") -> dict:
        """Ask it to end; its last line. It must have ended by itself, without an error of its own."""
        if text:
            self._process.stdin.write(text)
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), 40)
        await asyncio.gather(*self._readers)
        assert self._process.returncode == 0, self.errors
        assert self.last["final"] and self.last["crashes"] == 0, (self.last, self.errors)
        assert self.last["emitted"] == self.last["acked"] + self.last["held"] or self.last["discarded"]
        return self.last

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._readers)


class Line:
    """A pty whose user side is found at `path`. close() hangs up, open() makes a new one at the same path."""

    def __init__(self, path: Path, on_data) -> None:
        self.path = path
        self._on_data = on_data
        self._fd = None
        self.open()

    def open(self) -> None:
        self._fd, user = os.openpty()
        tty.setraw(user)
        os.set_blocking(self._fd, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(user))
        self._user = user  # held open: a pty that nobody has open yet reads as hung up
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self._on_data(os.read(self._fd, 4096))

    def write(self, data: bytes) -> int:
        """Bytes taken; those that do not fit are lost, as on a UART."""
        try:
            return os.write(self._fd, data) if self._fd is not None else 0
        except BlockingIOError:
            return 0

    def close(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            os.close(self._user)
            self._fd = None
            self.path.unlink(missing_ok=True)


class Cable:
    """Two ptys joined: what a program writes to one path, the other one reads."""

    def __init__(self, near: Path, far: Path) -> None:
        self.near = Line(near, lambda data: self.far.write(data))
        self.far = Line(far, lambda data: self.near.write(data))

    def close(self) -> None:
        self.near.close()
        self.far.close()


def instruments(units: dict[int, list[int]]) -> list[SimDevice]:
    """Instruments with holding registers from address 0: unit -> words. Any other unit stays silent.

    pymodbus 3.16 asks device 0 for an absent unit, and answers exception 4 when there is none, whatever
    ignore_missing_devices says: so device 0 is the one that is not there.
    """
    devices = [
        SimDevice(number, simdata=[SimData(0, values=words, datatype=DataType.REGISTERS)])
        for number, words in units.items()
    ]
    nobody = SimData(0, count=1000, values=0, datatype=DataType.REGISTERS)
    return [*devices, SimDevice(0, simdata=[nobody], action=_absent)]


async def _absent(*_) -> None:
    raise NoSuchIdException("no such unit on this line")


@contextlib.asynccontextmanager
async def serial_server(tmp_path: Path, units: dict[int, list[int]], baud: int = 9600):
    """pymodbus serving several units on one RS-485 line; the device's end is tmp_path/bus."""
    cable = Cable(tmp_path / "bus", tmp_path / "bus-far")
    server = ModbusSerialServer(
        instruments(units), port=str(tmp_path / "bus-far"), baudrate=baud, ignore_missing_devices=True
    )
    task = asyncio.create_task(server.serve_forever())
    try:
        yield server
    finally:
        await server.shutdown()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        cable.close()


@contextlib.asynccontextmanager
async def tcp_server(units: dict[int, list[int]], port: int = 0):
    """pymodbus over TCP. Yields its port."""
    server = ModbusTcpServer(instruments(units), address=("127.0.0.1", port), ignore_missing_devices=True)
    task = asyncio.create_task(server.serve_forever())
    try:
        await until(lambda: server.transport is not None, "the Modbus server listens")
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Gateway:
    """The gateway's end: takes frames, keeps records as a journal would, answers through `write`.

    records: (boot, seq) -> ("row", time_ms, clock, channel, raw_bits, quality, calibration)
                         or ("event", time_ms, clock, kind, detail), or ("seal", time_ms, clock, ...).
    taken: the messages that hold them, in order, as a journal keeps them.
    """

    def __init__(self, now_ms=None, trusted: bool = True) -> None:
        self.records: dict[tuple[int, int], tuple] = {}
        self.taken: list = []
        self.doubled = 0
        self.broken = 0
        self.frames: list[bytes] = []  # what was sent to the device
        self.hellos: list[messages.Hello] = []
        self.mute = False  # takes nothing, answers nothing
        self.write = lambda data: None
        self.trusted = trusted
        began = time.monotonic()
        self._now_ms = now_ms or (lambda: T + int(1000 * (time.monotonic() - began)))
        self.restart(0, 0)

    def restart(self, boot: int, seq: int) -> None:
        """As after a restart on a journal that ends at (boot, seq)."""
        self.session = GatewaySession(DEVICE, boot, seq)
        self._decoder = framing.Decoder()
        self._mac = Mac0(DEVICE, KEY)

    def feed(self, data: bytes) -> None:
        if self.mute:
            return
        for body in self._decoder.feed(data):
            try:
                message = messages.decode(self._mac.open(body))
            except ProtocolError:
                self.broken += 1
                continue
            self._take(message)

    def _take(self, message) -> None:
        verdict = self.session.receive(message)
        if verdict == GREET:
            self.hellos.append(message)
            self.send(self.session.welcome(self._now_ms(), self.trusted))
        elif verdict == ACCEPT:
            self._journal(message)
            self._accepted(message)
        elif verdict in (REPEAT, GAP):
            self.send(self.session.ack(self._now_ms(), self.trusted))
        elif verdict == STALE and isinstance(message, messages.Hello):
            told = self.session.ahead(message, self._now_ms(), self.trusted)
            if told:
                self.send(told)

    def _accepted(self, message) -> None:
        self.commit()

    def commit(self) -> None:
        self.session.committed(*self.session.pending)
        self.send(self.session.ack(self._now_ms(), self.trusted))

    def _journal(self, message) -> None:
        self.taken.append(message)
        if isinstance(message, messages.Seal):
            new = {(message.boot, message.seq): ("seal", *message[2:])}
        elif isinstance(message, messages.Event):
            new = {
                (message.boot, message.seq): (
                    "event",
                    message.time_ms,
                    message.clock,
                    message.kind,
                    message.detail,
                )
            }
        else:
            new = {
                (message.boot, message.first_seq + i): (
                    "row",
                    message.base_ms + offset_ms,
                    message.clock,
                    channel,
                    raw_bits,
                    quality,
                    calibration,
                )
                for i, (channel, offset_ms, raw_bits, quality, calibration) in enumerate(message.rows)
            }
        self.doubled += len(new.keys() & self.records.keys())
        self.records.update(new)

    def send(self, message) -> None:
        frame = framing.encode(self._mac.seal(messages.encode(message)))
        self.frames.append(frame)
        self.write(frame)

    def rows(self, channel: int | None = None) -> list[tuple]:
        """(time_ms, clock, channel, raw_bits, quality) in order."""
        return [
            (time_ms, clock, *rest[:3])
            for _, (kind, time_ms, clock, *rest) in sorted(self.records.items())
            if kind == "row" and channel in (None, rest[0])
        ]

    def events(self, kind: int) -> list[tuple]:
        """(time_ms, clock, detail) in order."""
        return [
            (record[1], record[2], record[4])
            for _, record in sorted(self.records.items())
            if record[0] == "event" and record[3] == kind
        ]

    def complete(self, boot: int | None = None, first: int = 1) -> int:
        """How many records of a boot are here, from `first` on; AssertionError when one is missing.

        Without a boot there must be only one: a device picks the number of its first start by chance.
        """
        if boot is None:
            boots = {b for b, _ in self.records}
            assert len(boots) == 1, boots
            (boot,) = boots
        numbers = sorted(seq for b, seq in self.records if b == boot)
        assert numbers == list(range(first, first + len(numbers))), numbers
        assert self.doubled == 0
        return len(numbers)


class SerialLink:
    """A gateway on a pty. cut() hangs up, back() makes the same path work again."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._line = Line(path, gateway.feed)
        gateway.write = self._line.write
        self.settings = {"kind": "serial", "path": str(path), "baud": 115200}

    async def cut(self) -> None:
        self._line.close()

    async def back(self) -> None:
        self._line.open()

    close = cut


class TcpLink:
    """A gateway that listens on a loopback port."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._writers: list[asyncio.StreamWriter] = []
        gateway.write = self._write

    async def start(self) -> TcpLink:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.settings = {"kind": "tcp", "host": "127.0.0.1", "port": port}
        return self

    async def _serve(self, reader, writer) -> None:
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                self._gateway.feed(data)
        writer.close()

    def _write(self, data: bytes) -> None:
        if self._writers and not self._writers[-1].is_closing():
            self._writers[-1].write(data)

    async def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def back(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.settings["port"])

    close = cut


async def open_link(kind: str, gateway: Gateway, tmp_path: Path):
    return SerialLink(gateway, tmp_path / "link") if kind == "serial" else await TcpLink(gateway).start()


def value(channel: int, at: int, type: str = "float32", order: str = "ABCD", **more) -> dict:
    scale = {"multiply": 1, "divide": 1, "offset": 0, "min": None, "max": None, "status": None}
    return {"channel": channel, "read": 0, "at": at, "type": type, "order": order, **scale, **more}


def unit(number: int, values: list[dict], bus: str = "rs485", count: int = 8, **more) -> dict:
    """A unit with one read of `count` holding registers, polled ten times a second."""
    return {
        "bus": bus,
        "unit": number,
        "profile": "bench",
        "poll_ms": 100,
        "phase_ms": 0,
        "timeout_ms": 100,
        "retries": 2,
        "gap_ms": 0,
        "start": [],
        "reads": [{"function": 3, "address": 0, "count": count}],
        "values": values,
        "statuses": [],
        **more,
    }


def station(tmp_path: Path, link: dict, units: list[dict], tcp_port: int | None = None, **more) -> Path:
    """A device's directory: RS-485 at tmp_path/bus, and a TCP bus "lan" when a port is given."""
    buses = [
        {
            "id": "rs485",
            "kind": "rtu",
            "path": str(tmp_path / "bus"),
            "baud": 9600,
            "parity": "N",
            "stopbits": 1,
        }
    ]
    if tcp_port is not None:
        buses.append({"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": tcp_port})
    channels = max((v["channel"] for u in units for v in u["values"]), default=-1) + 1
    directory = tmp_path / "device"
    directory.mkdir(exist_ok=True)
    (directory / "identity.json").write_text(json.dumps({"id": DEVICE, "link": link}))
    (directory / "link.key").write_text(KEY.hex() + "\n")
    content = {
        "buses": [bus for bus in buses if any(u["bus"] == bus["id"] for u in units)],
        "units": units,
        "channels": [{"name": f"c{i}", "calibration": i, "points": []} for i in range(channels)],
        **REST,
        **more,
    }
    (directory / "station.json").write_text(json.dumps(content))
    return directory
