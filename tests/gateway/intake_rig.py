"""A station device for tests of the intake: the real device session over a store in memory, and the intake
itself.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

from gateway.ingest.devices import Moment
from gateway.ingest.intake import Intake
from gateway.ingest.links import TcpDeviceLink
from gateway.journal import database
from gateway.journal.journal import Journal
from gateway.windows import Channel, Settings
from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Hello, Readings, decode, encode
from protocol.reading import float_bits
from protocol.session import DeviceSession

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
START = 1_774_397_100_000  # 2026-03-25 07:05:00 +07
NOW = START + 50 * 86_400_000
"""The gateway's station time in most tests: long after the readings, so that nothing waits for a clock."""
CHANNELS = ("cod", "ph", "temp", "tss", "nh4")
INTERVAL_MS = 10_000


def value(seq: int) -> float:
    """What record `seq` says: made up, but the same for whoever computes it."""
    return 20.0 + (seq * 7919 % 1000) / 8


def record(seq: int) -> tuple[int, int, float]:
    """(channel, time, value) of record `seq` from 1: every ten seconds one reading of each channel."""
    turn, channel = divmod(seq - 1, len(CHANNELS))
    return channel, START + turn * INTERVAL_MS + channel * 20, value(seq)


def readings(boot: int, first_seq: int, rows: int = 10) -> Readings:
    base_ms = record(first_seq)[1]
    return Readings(
        boot,
        first_seq,
        base_ms,
        1,
        tuple(
            (channel, time_ms - base_ms, float_bits(number), 0, 0)
            for channel, time_ms, number in map(record, range(first_seq, first_seq + rows))
        ),
    )


def hello(
    device: str = "st-01",
    boot: int = 1,
    nonce: int = 1,
    store=(1, 1),
    clock: int = 1,
    ticks_ms: int = 0,
    **changed,
) -> Hello:
    channels = changed.pop("channels", tuple((name, INTERVAL_MS, 0, ()) for name in CHANNELS))
    return Hello(
        1, "test", device, boot, nonce.to_bytes(8, "big"), bytes(8), channels, *store, clock, ticks_ms, "test"
    )


def wire(message, device: str = "st-01", key: bytes = KEY) -> bytes:
    return framing.encode(Mac0(device, key).seal(encode(message)))


def channels(*devices: str) -> list[Channel]:
    return [
        Channel(f"{name}{'' if i == 0 else i}", "mg/l", f"device/{device}", name)
        for i, device in enumerate(devices or ("st-01",))
        for name in CHANNELS
    ]


class Store:
    """What a device holds: `total` records from the start, freed as they are acknowledged."""

    def __init__(self, total: int, boot: int = 1, rows: int = 10):
        self.total, self.boot, self.rows = total, boot, rows
        self.released = 0
        self.handed = 0  # newest record ever given out

    def first(self):
        return self.boot, self.released + 1

    def batch(self, boot, seq):
        if boot != self.boot or seq <= self.released or seq > self.total:
            return None
        rows = min(self.rows, self.total - seq + 1)
        self.handed = max(self.handed, seq + rows - 1)
        return readings(boot, seq, rows)

    def release(self, boot, seq):
        if boot == self.boot:
            self.released = max(self.released, seq)


class Device:
    """A device on TCP: connects, sends all it has, reconnects when the link goes. `acked` is what it was
    told.
    """

    def __init__(self, total: int, device: str = "st-01", boot: int = 1, window_frames: int = 64):
        self.store = Store(total, boot)
        self.device = device
        self._mac = Mac0(device, KEY)
        self._nonces = itertools.count(boot << 32)
        self.session = DeviceSession(
            lambda: hello(device, boot, next(self._nonces), self.store.first()),
            self.store,
            lambda a, b: a - b,
            window_frames=window_frames,
            ack_timeout_ms=2000,
        )
        self.acked = (0, 0)
        self.acks: list[tuple[int, int]] = []

    async def run(self, port: int) -> None:
        """Until all is acknowledged."""
        while self.store.released < self.store.total:
            try:
                await self._connection(port)
            except OSError:
                pass
            await asyncio.sleep(0.02)

    async def _connection(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        decoder = framing.Decoder()
        self.session.link_up(self._ms())
        try:
            while self.store.released < self.store.total:
                while (message := self.session.next(self._ms())) is not None:
                    writer.write(framing.encode(self._mac.seal(encode(message))))
                await writer.drain()
                try:
                    async with asyncio.timeout(0.05):
                        data = await reader.read(65536)
                except TimeoutError:
                    continue
                if not data:
                    return
                for body in decoder.feed(data):
                    for happened, *details in self.session.receive(decode(self._mac.open(body)), self._ms()):
                        if happened == "acked":
                            self.acked = max(self.acked, tuple(details))
                            self.acks.append(self.acked)
        finally:
            self.session.link_down(self._ms())
            writer.close()

    @staticmethod
    def _ms() -> int:
        return time.monotonic_ns() // 1_000_000


class Rig:
    """An intake on its own journal, with a listening link for each device, inside a running loop."""

    def __init__(
        self,
        path: Path,
        devices=("st-01",),
        documents=lambda windows: (),
        now_ms: int = NOW,
        connect=database.connect,
        **settings,
    ):
        self.now_ms = now_ms
        self.journal = Journal(path, connect)
        settings.setdefault("start_grace_s", 0.0)
        settings.setdefault("back_grace_s", 0.0)
        self.intake = Intake(
            self.journal,
            channels(*devices),
            Settings(**settings),
            dict.fromkeys(devices, KEY),
            self.moment,
            documents,
        )
        self.links: dict[str, TcpDeviceLink] = {}

    def moment(self) -> Moment:
        return Moment(self.now_ms, time.monotonic_ns())

    async def __aenter__(self) -> Rig:
        self.intake.open()
        self.journal.start()
        await self.intake.begin()
        for name, device in self.intake.devices.items():
            self.links[name] = TcpDeviceLink(self.intake, device, "127.0.0.1", 0)
            await self.links[name].listen()
        return self

    async def __aexit__(self, *exception) -> None:
        for link in self.links.values():
            link.close()
        await self.journal.close(timeout_s=5.0)

    def port(self, device: str = "st-01") -> int:
        return self.links[device].port

    async def settle(self) -> None:
        """Everything submitted is on disk, and what is due is closed."""
        await self.journal.commit()
        await self.intake.tick()
        await self.journal.commit()


async def until(condition, seconds: float = 30.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
