"""Many light station devices on one event loop: the load of `quantrac simulate fleet`.

Each one speaks as the firmware does (firmware/uplink.py): it greets, makes a reading of each of its channels
every `interval_ms`, sends a frame when FULL rows are there or when the oldest has waited HOLD_MS, is never
more than WINDOW frames ahead, keeps every frame until it is acknowledged, and after a broken link greets
again and sends from what the gateway says it holds.

Rule 1: a value is a function of the device and the sequence number (bits_of), so whoever reads a journal can
        say of every stored reading whether it was ever measured.
Rule 2: what is sent costs as little as it can: the devices share two cores with the gateway that is
        measured. One timer a device, no task; a frame is encoded once, whatever becomes of it.
Rule 3: devices are not in step. Real ones were switched on at different moments.

A delay runs from a reading's own time to the moment at which its acknowledgement is here: the journal's
commit lies before that, so the figure is never too good.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from protocol import framing
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.messages import Ack, Hello, Readings, Welcome, decode, encode
from simulator.device_load import FULL, HOLD_MS, WINDOW, quantity

BOOT = 1
REOPEN_S = 0.5
"""Before a link that broke, or was refused, is tried again."""
ACK_TIMEOUT_S = 8.0
"""Without progress for so long, what is unacknowledged is sent again (protocol/session.py)."""
DRAIN_S_MAX = 60.0
"""How long the last acknowledgements are waited for."""
_VALUE_BITS = 20
_VALUE_ONE = 0x41200000
"""Float32 10.0: with twenty bits more in its fraction, a number from 10.0 on."""


def bits_of(device: int, seq: int) -> int:
    """The Float32 bits of reading `seq` of device number `device`: noise, and always the same."""
    mixed = (seq * 2_654_435_761 ^ (device + 1) * 2_246_822_519) & 0xFFFFFFFF
    return _VALUE_ONE + (mixed >> (32 - _VALUE_BITS))


class Delays:
    """Delays of readings, in ms: of each, from its own time; and of each frame, from when it left."""

    def __init__(self) -> None:
        self.open = True  # until a mark is set: Fleet.mark()
        self.readings = array("d")
        self.weights = array("l")  # readings that share a delay
        self.frames = array("d")

    def figures(self) -> dict[str, float]:
        """p50, p99 and max in ms, of readings (from their time) and of frames (from their departure)."""
        pairs = sorted(zip(self.readings, self.weights, strict=True))
        frames = [(delay, 1) for delay in sorted(self.frames)]
        found = {}
        for name, ordered in (("reading", pairs), ("frame", frames)):
            total = sum(weight for _, weight in ordered)
            for share, word in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
                found[f"{name}_{word}_ms"] = round(_at(ordered, share * total), 1)
        return found


def _at(ordered: Sequence[tuple[float, int]], place: float) -> float:
    seen = 0
    for delay, weight in ordered:
        seen += weight
        if seen >= place:
            return delay
    return 0.0


class FleetDevice(asyncio.Protocol):
    """Device number `number` of a fleet; start() it, and it lives until stop()."""

    def __init__(
        self, number: int, name: str, key: bytes, port: int, channels: int, interval_ms: int, delays: Delays,
        hold_ms: int = HOLD_MS,
    ):  # fmt: skip
        self.number, self.name, self.channels, self.interval_ms = number, name, channels, interval_ms
        self.emitted = 0  # sequence number of the last reading that was made
        self.acknowledged = 0
        self.counted = 0  # readings up to this one count among the delays, once there is a mark
        self.links = 0  # how often it got through to a greeting
        self.refused = 0  # frames that came in and were not of this link
        self.resent = 0  # frames
        self._port, self._hold_ms, self._delays = port, hold_ms, delays
        self._mac = Mac0(name, key)
        self._table = tuple((quantity(i), interval_ms, 0, ()) for i in range(channels))
        self._kept: deque[tuple[int, bytes, float, list[float]]] = deque()  # last seq, wire, left, row times
        self._flying = 0  # of those, from the left, that left on this link
        self._waiting: list[float] = []  # Unix s of rounds that no frame has yet
        self._transport: Any = None
        self._decoder = framing.Decoder()
        self._nonce, self._greetings = bytes(8), 0
        self._live = self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task | None = None
        self._paused_until = self._progress = 0.0

    # Life ---------------------------------------------------------------------------------------------------

    def start(self, after_s: float) -> None:
        """Switch on: link now, first reading after `after_s`."""
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(self._open())
        self._next = time.time() + after_s
        self._timer = loop.call_later(after_s, self._rounds)

    def finish(self) -> None:
        """Measure no more; what is held goes at once."""
        if self._timer is not None:
            self._timer.cancel()
        self._frame()

    def stop(self) -> None:
        self._ended = True
        for each in (self._timer, self._opening):
            if each is not None:
                each.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._ended:
            with contextlib.suppress(OSError):
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
                return
            await asyncio.sleep(REOPEN_S)

    # The link -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport, self._decoder = transport, framing.Decoder()
        self._greetings += 1
        self._nonce = (self.number << 32 | self._greetings).to_bytes(8, "big")
        first = (
            self._kept[0][0] - len(self._kept[0][3]) * self.channels + 1 if self._kept else self.emitted + 1
        )
        hello = Hello(
            1, "fleet", self.name, BOOT, self._nonce, bytes(8), self._table, BOOT, first, 1, 0, "fleet"
        )  # fmt: skip
        transport.write(b"\0" + framing.encode(self._mac.seal(encode(hello))))

    def data_received(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            try:
                message = decode(self._mac.open(body), True)
            except ProtocolError:
                self.refused += 1
                continue
            if getattr(message, "nonce", None) != self._nonce:
                self.refused += 1
            elif type(message) is Welcome:
                self._live, self._flying = True, 0
                self.links += 1
                self._heard(message.boot, message.seq)
            elif type(message) is Ack:
                self._paused_until = time.monotonic() + message.pause_ms / 1000
                self._heard(message.boot, message.seq)

    def connection_lost(self, exc: Exception | None) -> None:
        self._live, self._flying, self._transport = False, 0, None
        if not self._ended:
            self._opening = asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        await asyncio.sleep(REOPEN_S)
        await self._open()

    def _heard(self, boot: int, seq: int) -> None:
        """All up to seq is on disk: free it, and send what had to wait."""
        now, mono = time.time(), time.monotonic()
        if boot == BOOT and seq > self.acknowledged:
            self.acknowledged, self._progress = seq, mono
            while self._kept and self._kept[0][0] <= seq:
                last, _, left, rounds = self._kept.popleft()
                self._flying = max(self._flying - 1, 0)
                if not self._delays.open and last > self.counted:
                    continue
                for at in rounds:
                    self._delays.readings.append((now - at) * 1000)
                    self._delays.weights.append(self.channels)
                self._delays.frames.append((mono - left) * 1000)
        self._send()

    # Readings -----------------------------------------------------------------------------------------------

    def _rounds(self) -> None:
        """A timer's call: the rounds that are due, a frame where one is, and when to call again."""
        now, step = time.time(), self.interval_ms / 1000
        self._again_when_late()
        while self._next <= now:
            self._waiting.append(self._next)
            self._next += step
            if len(self._waiting) * self.channels + self.channels > FULL:
                self._frame()
        due = self._waiting[0] + self._hold_ms / 1000 if self._waiting else self._next
        if self._waiting and due <= now:
            self._frame()
            due = self._next
        elif self._waiting and self._full_at() < due:
            due = self._full_at()
        self._timer = asyncio.get_running_loop().call_later(max(due - now, 0.001), self._rounds)

    def _full_at(self) -> float:
        """When the round comes with which a frame is as full as it gets."""
        rounds = max(FULL // self.channels, 1)
        return self._next + (rounds - len(self._waiting) - 1) * self.interval_ms / 1000

    def _frame(self) -> None:
        """All rounds that wait, as a frame: encoded once, kept until it is acknowledged."""
        rounds, self._waiting = self._waiting, []
        if not rounds:
            return
        first, base_ms = self.emitted + 1, round(rounds[0] * 1000)
        rows, seq = [], first
        for at in rounds:
            offset_ms = round(at * 1000) - base_ms
            for channel in range(self.channels):
                rows.append((channel, offset_ms, bits_of(self.number, seq), 0, 0))
                seq += 1
        self.emitted = seq - 1
        wire = framing.encode(self._mac.seal(encode(Readings(BOOT, first, base_ms, 1, rows))))
        self._kept.append((self.emitted, wire, 0.0, rounds))
        self._send()

    def _again_when_late(self) -> None:
        if self._live and self._flying and time.monotonic() - self._progress > ACK_TIMEOUT_S:
            self.resent += self._flying
            self._flying = 0
            self._send()

    def _send(self) -> None:
        if self._live and not self._flying:
            self._progress = time.monotonic()
        while self._live and self._flying < min(len(self._kept), WINDOW):
            if (wait_s := self._paused_until - time.monotonic()) > 0:
                asyncio.get_running_loop().call_later(wait_s, self._send)
                return
            last, wire, left, rounds = self._kept[self._flying]
            self._kept[self._flying] = last, wire, left or time.monotonic(), rounds
            self._transport.write(wire)
            self._flying += 1


class Fleet:
    """All devices of one gateway: `devices` are (name, key, port)."""

    def __init__(
        self,
        devices: Sequence[tuple[str, bytes, int]],
        channels: int,
        interval_ms: int,
        hold_ms: int = HOLD_MS,
    ):
        if not 1 <= channels <= FULL:
            raise ValueError(f"a device of a fleet has 1 to {FULL} channels: they go into one frame")
        self.delays = Delays()
        self.interval_ms = interval_ms
        self.devices = [
            FleetDevice(n, name, key, port, channels, interval_ms, self.delays, hold_ms)
            for n, (name, key, port) in enumerate(devices)
        ]

    @property
    def emitted(self) -> int:
        return sum(device.emitted for device in self.devices)

    @property
    def acknowledged(self) -> int:
        return sum(device.acknowledged for device in self.devices)

    def start(self) -> None:
        """Switch all of them on, spread over three intervals (rule 3)."""
        spread_s = 3 * self.interval_ms / 1000
        for n, device in enumerate(self.devices):
            device.start(spread_s * n / len(self.devices))

    async def finish(self, seconds: float = DRAIN_S_MAX) -> bool:
        """Count no further readings among the delays, go on until those are acknowledged, then measure no
        more and wait for the rest: whether all came. (When all devices stop at once, the last frames have
        no company in their commit; that is no delay of a facility at work.)
        """
        self.delays.open = False
        for device in self.devices:
            device.counted = device.emitted
        deadline = time.monotonic() + seconds
        await self._until(lambda d: d.acknowledged >= d.counted, deadline)
        for device in self.devices:
            device.finish()
        return await self._until(lambda d: d.acknowledged >= d.emitted, deadline)

    async def _until(self, done: Callable[[FleetDevice], bool], deadline: float) -> bool:
        while not (all_of_them := all(done(device) for device in self.devices)):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        return all_of_them

    def stop(self) -> None:
        for device in self.devices:
            device.stop()
