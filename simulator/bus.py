"""Serial lines: an RS-485 line with several Modbus RTU instruments, and a null-modem cable.

Requests are taken apart and answered by pymodbus (RTU framer, decoder, data store). Its serial server is
not used whole, for two reasons: in 3.16 it answers for a unit that is not there with exception 4, whatever
`ignore_missing_devices` says, while on a real line nobody answers; and a line needs faults of its own.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException, NoSuchIdException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
)
from pymodbus.simulator import SimDevice
from pymodbus.simulator.simcore import SimCore

from simulator.pty import Pty

FRAME_PAUSE_S = 0.1  # an unfinished request this old is noise; on a busy machine a pty pauses for tens of ms
REQUEST_BYTES_MAX = 256  # Modbus over Serial Line V1.02, 2.5.1
QUEUE_MAX = 16  # requests waiting; a master that sends more does not wait for answers
BITS_PER_BYTE = 10  # start, eight data, stop


@dataclass
class LineFaults:
    """What is wrong with the line. May be changed while it runs; chances are per answer, 0 to 1."""

    baud: int | None = None  # answer at the speed of this rate; None = at once
    delay_s: tuple[float, float] = (0.0, 0.0)  # thinking time, drawn between the two
    split_bytes: int = 0  # hand answers over in pieces of this size, a few ms apart
    flip: float = 0.0  # one bit of the answer is turned
    drop: float = 0.0  # the answer is lost
    late: float = 0.0  # the answer comes late_s later than it should
    late_s: float = 1.0
    echo: bool = False  # the master hears its own request, as on a two-wire adapter without suppression


class RtuLine:
    """One RS-485 line under `path` with the given units.

    A unit that is not there, or whose data store raises NoSuchIdException, stays silent.
    Counters: requests, answers, silent (nobody answered), noise_bytes (not a whole valid request).
    """

    def __init__(
        self, path: Path | str, devices: list[SimDevice], faults: LineFaults | None = None, seed: int = 0
    ) -> None:
        self.path = Path(path)
        self.faults = faults or LineFaults()
        self.requests = self.answers = self.silent = self.noise_bytes = 0
        self._store = SimCore(devices)
        self._framer = FramerRTU(DecodePDU(True))
        self._random = Random(seed)
        self._buffer = b""
        self._last_byte_s = 0.0
        self._queue: asyncio.Queue[tuple[ModbusPDU | ZeroRead | ZeroWrite, bytes]] = asyncio.Queue(QUEUE_MAX)
        self._pty: Pty | None = None
        self._task: asyncio.Task | None = None

    async def start(self) -> RtuLine:
        """Open the line. Raises OSError when there is no pty to be had or `path` is not writable."""
        self._pty = Pty(self.path, self._received)
        self._task = asyncio.create_task(self._serve(), name=f"line {self.path.name}")
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._pty is not None:
            self._pty.close()
            self._pty = None

    def _received(self, data: bytes) -> None:
        now = time.monotonic()
        if self._buffer and now - self._last_byte_s > FRAME_PAUSE_S:
            self.noise_bytes += len(self._buffer)
            self._buffer = b""
        self._last_byte_s = now
        self._buffer += data
        while self._buffer:
            try:
                used, request = self._framer.handleFrame(self._buffer, 0, 0)
            except ModbusException:  # a valid check sum around something that is no standard request
                used, request = len(self._buffer), _zero_read(self._buffer)
            if isinstance(request, WriteMultipleRegistersRequest) and not request.count:
                request = ZeroWrite(request.dev_id, request.address)
            if not used and len(self._buffer) > REQUEST_BYTES_MAX:
                used = len(self._buffer)
            if not used:
                return
            frame, self._buffer = self._buffer[:used], self._buffer[used:]
            if request is None:
                self.noise_bytes += len(frame)
            elif not self._queue.full():
                self._queue.put_nowait((request, frame))

    async def _serve(self) -> None:
        while True:
            request, frame = await self._queue.get()
            self.requests += 1
            if self.faults.echo:
                self._pty.write(frame)
            response = await self._answer(request)
            if response is None:
                self.silent += 1
                continue
            response.dev_id, response.transaction_id = request.dev_id, 0
            await self._send(self._framer.buildFrame(response))

    async def _answer(self, request: ModbusPDU | ZeroRead | ZeroWrite) -> ModbusPDU | None:
        units = [request.dev_id] if request.dev_id else self._store.device_ids()
        answer = None
        for unit in units:
            if unit not in self._store.devices:
                continue
            try:
                answer = await request.datastore_update(self._store, unit)
            except NoSuchIdException:
                continue
        return answer if request.dev_id else None  # a broadcast is obeyed and never answered

    async def _send(self, frame: bytes) -> None:
        faults, random = self.faults, self._random
        wait_s = random.uniform(*faults.delay_s)
        if faults.baud:
            wait_s += len(frame) * BITS_PER_BYTE / faults.baud
        if faults.late and random.random() < faults.late:
            wait_s += faults.late_s
        if wait_s:
            await asyncio.sleep(wait_s)
        if faults.drop and random.random() < faults.drop:
            self.silent += 1
            return
        if faults.flip and random.random() < faults.flip:
            bit = random.randrange(len(frame) * 8)
            frame = bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(frame))
        self.answers += 1
        size = faults.split_bytes or len(frame)
        for i in range(0, len(frame), size):
            if i:
                await asyncio.sleep(0.002)
            self._pty.write(frame[i : i + size])


class ZeroRead:
    """A read of no registers: against the standard, and how some sensors are told to start measuring."""

    def __init__(self, unit: int, function: int, address: int) -> None:
        self.dev_id, self.function_code, self.address = unit, function, address

    async def datastore_update(self, store: SimCore, unit: int) -> ModbusPDU:
        values = await store.async_getValues(unit, self.function_code, self.address, 1)
        if isinstance(values, ExcCodes):
            return ExceptionResponse(self.function_code, values)
        kind = ReadHoldingRegistersResponse if self.function_code == 3 else ReadInputRegistersResponse
        return kind(registers=[])


class ZeroWrite:
    """A write of no registers: the same, for others."""

    def __init__(self, unit: int, address: int) -> None:
        self.dev_id, self.function_code, self.address = unit, 16, address

    async def datastore_update(self, store: SimCore, unit: int) -> ModbusPDU:
        refused = await store.async_setValues(unit, self.function_code, self.address, [])
        if refused:
            return ExceptionResponse(self.function_code, refused)
        return WriteMultipleRegistersResponse(address=self.address, count=0)


def _zero_read(frame: bytes) -> ZeroRead | None:
    if len(frame) == 8 and frame[1] in (3, 4) and frame[4:6] == b"\0\0":
        return ZeroRead(frame[0], frame[1], frame[2] << 8 | frame[3])
    return None


class PtyPair:
    """A null-modem cable: what is written to one name is read from the other.

    `flip` is the chance of one turned bit per byte. Counters: bytes_a_to_b, bytes_b_to_a (carried),
    bytes_cut (written while the cable was cut), bits_flipped, lost_bytes (not read in time).
    """

    def __init__(self, path_a: Path | str, path_b: Path | str, flip: float = 0.0, seed: int = 0) -> None:
        self.flip = flip
        self.connected = True
        self.bytes_a_to_b = self.bytes_b_to_a = self.bytes_cut = self.bits_flipped = 0
        self._random = Random(seed)
        self._paths = Path(path_a), Path(path_b)
        self._a: Pty | None = None
        self._b: Pty | None = None

    async def start(self) -> PtyPair:
        self._a = Pty(self._paths[0], self._from_a)
        self._b = Pty(self._paths[1], self._from_b)
        return self

    async def stop(self) -> None:
        for pty in (self._a, self._b):
            if pty is not None:
                pty.close()

    @property
    def lost_bytes(self) -> int:
        return self._a.lost_bytes + self._b.lost_bytes

    def cut(self) -> None:
        """Pull the plug: what is written from now on is gone. Neither side notices."""
        self.connected = False

    def restore(self) -> None:
        self.connected = True

    def inject(self, to_b: bytes = b"", to_a: bytes = b"") -> None:
        """Bytes that neither side sent: noise, replayed or forged frames."""
        self._b.write(to_b)
        self._a.write(to_a)

    def _from_a(self, data: bytes) -> None:
        self.bytes_a_to_b += self._carry(data, self._b)

    def _from_b(self, data: bytes) -> None:
        self.bytes_b_to_a += self._carry(data, self._a)

    def _carry(self, data: bytes, to: Pty) -> int:
        if not self.connected:
            self.bytes_cut += len(data)
            return 0
        if self.flip:
            out = bytearray(data)
            for i in range(len(out)):
                if self._random.random() < self.flip:
                    out[i] ^= 1 << self._random.randrange(8)
                    self.bits_flipped += 1
            data = bytes(out)
        to.write(data)
        return len(data)
