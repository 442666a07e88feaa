"""Station devices that send as fast as a gateway acknowledges: the load of `quantrac bench ingest`.

Everything is encoded beforehand, so that what is measured is the gateway. The frames are authentic, ten
readings each, and their station time runs a second a frame, so that windows close all along; it begins 50
days ago, which is as far back as a gateway believes readings, with room.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from random import Random

from protocol import framing
from protocol.cose import Mac0
from protocol.messages import Ack, Hello, Readings, Welcome, decode, encode
from protocol.reading import float_bits

ROWS = 10
"""Readings in a frame: one of each of a device's channels."""
STEP_MS = 1000
"""Station time between two frames of a device."""
IN_FLIGHT = 2048
"""Frames kept unacknowledged, so that one commit's delay does not idle the link."""
WINDOW = 8
"""The same of a device at work: its session's window."""
POLL_MS = 500
"""A device at work measures all of its channels so often: 20 readings a second."""
FULL = 48
"""Rows of its full frames; tests hold both figures against the firmware's own."""
HOLD_MS = 2400
"""How long its readings wait for company."""
JITTER_MS = 5
"""An answer of an instrument comes up to so much later than another time."""
SPAN_MS = 50 * 86_400_000
READ_BYTES = 65536
CONNECT_S_MAX = 10.0
SEND_FRAMES = 256


def quantity(number: int) -> str:
    """The name of a device's channel."""
    return f"q{number}"


class LoadDevice:
    """One device; encode() takes its time, then run() sends all of it in a thread of its own."""

    def __init__(self, device: str, key: bytes, port: int, frames: int) -> None:
        self.device, self.port, self.frames = device, port, frames
        self.acknowledged = 0  # frames
        self.times: list[tuple[float, int]] = []  # (monotonic seconds, frames acknowledged by then)
        self.longest_wait_s = 0.0  # of a frame for its acknowledgement
        self._mac = Mac0(device, key)
        self._wire: list[bytes] = []

    def encode(self) -> None:
        base_ms = time.time_ns() // 1_000_000 - SPAN_MS
        self._wire = [
            framing.encode(self._mac.seal(encode(_readings(i, base_ms)))) for i in range(self.frames)
        ]

    def run(self) -> None:
        """Greet, then send until everything is acknowledged. Raises OSError when the gateway goes away."""
        decoder = framing.Decoder()
        sent = 0
        with _connect(self.port) as link:
            link.sendall(framing.encode(self._mac.seal(encode(_hello(self.device)))))
            while not any(type(m) is Welcome for m in self._heard(decoder, link)):
                pass
            while self.acknowledged < self.frames:
                until = min(self.frames, self.acknowledged + IN_FLIGHT, sent + SEND_FRAMES)
                if until > sent:
                    link.sendall(b"".join(self._wire[sent:until]))
                    sent = until
                waiting = sent == self.frames or sent - self.acknowledged >= IN_FLIGHT
                for message in self._heard(decoder, link, wait=waiting):
                    if type(message) is Ack and message.seq // ROWS > self.acknowledged:
                        self.acknowledged = message.seq // ROWS
                        self.times.append((time.monotonic(), self.acknowledged))

    def run_live(self, seconds: float, boot: int = 1) -> None:
        """As the firmware at work (firmware/uplink.py): ROWS readings every POLL_MS; a frame when FULL are
        there, or when the oldest has waited HOLD_MS; never more than WINDOW frames ahead.
        boot: above that of what the device sent before.
        """
        decoder = framing.Decoder()
        with _connect(self.port) as link:
            link.sendall(framing.encode(self._mac.seal(encode(_hello(self.device, boot)))))
            while not any(type(m) is Welcome for m in self._heard(decoder, link)):
                pass
            link.setblocking(False)
            live = _Live(time.monotonic(), time.time_ns() // 1_000_000, boot)
            while live.acknowledged < live.made or live.age_s() < seconds:
                message = live.message(min(live.age_s(), seconds))
                if message is not None:
                    link.sendall(framing.encode(self._mac.seal(encode(message))))
                    continue
                time.sleep(0.02)
                for message in self._heard(decoder, link, wait=False):
                    if type(message) is Ack:
                        live.acknowledge(message.seq)
            self.acknowledged, self.longest_wait_s = live.frames, live.longest_wait_s

    def _heard(self, decoder: framing.Decoder, link: socket.socket, wait: bool = True) -> list[tuple]:
        try:
            data = link.recv(READ_BYTES, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionError("the gateway closed the link")
        return [decode(self._mac.open(body)) for body in decoder.feed(data)]


class _Live:
    """What a device at work has measured, sent and been told. Numbers are sequence numbers, from 1."""

    def __init__(self, began: float, base_ms: int, boot: int) -> None:
        self._began, self._base_ms, self._boot = began, base_ms, boot
        self.made = self._sent = self.acknowledged = self.frames = 0
        self._held_since = 0.0  # seconds after `began`, of the oldest that is not sent
        self._flying: list[tuple[int, float]] = []  # last number of a frame, when it left
        self.longest_wait_s = 0.0

    def age_s(self) -> float:
        return time.monotonic() - self._began

    def message(self, age_s: float) -> Readings | None:
        """The frame to send at this age, if any."""
        made = int(age_s * 1000 / POLL_MS) * ROWS
        if made > self.made and self.made == self._sent:
            self._held_since = age_s
        self.made = made
        count = min(FULL, made - self._sent)
        held_ms = (self.age_s() - self._held_since) * 1000
        if not count or (count < FULL and held_ms < HOLD_MS) or len(self._flying) >= WINDOW:
            return None
        first = self._sent
        self._sent += count
        self._held_since = age_s
        self._flying.append((self._sent, self.age_s()))
        return _live_readings(self._boot, first, count, self._base_ms)

    def acknowledge(self, number: int) -> None:
        self.acknowledged = max(self.acknowledged, number)
        done = [left for last, left in self._flying if last <= number]
        self.longest_wait_s = max([self.longest_wait_s, *(self.age_s() - left for left in done)])
        self.frames += len(done)
        self._flying = self._flying[len(done) :]


def _live_readings(boot: int, first: int, count: int, base_ms: int) -> Readings:
    """Readings number first + 1 and on: one of each channel every POLL_MS, some 20 ms apart.

    They have noise in all their bits, so that nothing that is written packs better than at work.
    """
    random = Random(first)
    times = [
        base_ms + n // ROWS * POLL_MS + n % ROWS * 20 + random.randrange(JITTER_MS)
        for n in range(first, first + count)
    ]
    rows = tuple(
        (n % ROWS, at - times[0], float_bits(10.0 * (1 + n % ROWS) + random.gauss(0.0, 0.3)), 0, 0)
        for n, at in zip(range(first, first + count), times, strict=True)
    )
    return Readings(boot, first + 1, times[0], 1, rows)


def _connect(port: int) -> socket.socket:
    """Try until it listens, as a device does."""
    deadline = time.monotonic() + CONNECT_S_MAX
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def run_all(devices: Sequence[LoadDevice]) -> list[BaseException]:
    """Run them side by side to their end; returns what went wrong."""
    wrong: list[BaseException] = []

    def run(device: LoadDevice) -> None:
        try:
            device.run()
        except (OSError, ValueError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def _hello(device: str, boot: int = 1) -> Hello:
    channels = tuple((quantity(i), STEP_MS, 0, ()) for i in range(ROWS))
    return Hello(1, "load", device, boot, bytes(7) + b"\x01", bytes(8), channels, 1, 1, 1, 0, "load")


def _readings(frame: int, base_ms: int) -> Readings:
    """Frame number `frame` from 0: ten readings, slowly changing."""
    value = float_bits(20.0 + frame % 512 / 64)
    rows = tuple((i, i * 37, value, 0, 0) for i in range(ROWS))
    return Readings(1, frame * ROWS + 1, base_ms + frame * STEP_MS, 1, rows)
