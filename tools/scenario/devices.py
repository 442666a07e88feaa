"""A light station device: the real protocol and session, readings of the plant, in whatever loop it runs.

Rule 1: what it measured it keeps until the gateway has said that it is on disk, through outages and power
        cuts (its flash). The session (protocol/session.py) says what is sent, and what again.
Rule 2: a power cut takes everything but the flash and the clock; it starts under the next boot number.
Rule 3: it measures when it is time in truth, and writes down what its own clock shows. The gateway's time
        sets that clock when it is off by more than STEP_MS.
Rule 4: it sends readings and nothing else, so that record n of a boot is its n-th reading: the ledger's rule.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from protocol import framing, messages, quality
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.messages import ROWS_FIT, Hello, Readings
from protocol.reading import float_bits
from protocol.session import LIVE, DeviceSession
from simulator.ledger import Ledger
from simulator.plant import Plant
from tools.demo.site import HOST

STEP_MS = 2000
NAP_S = 2.0
"""How often the session's own clocks (repetition, time-out) are looked at."""
WRITE_S_MAX = 10.0
WAITS_MS = 60_000
"""What is younger is on its way."""
SILENT_S = 60.0
"""Nothing from the gateway for so long, while it owes an answer: the link is opened anew."""
BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0)
OFFSET_MS_MAX = 1 << 30
"""Between the first and another row of a frame; the clock may have been set by years in between."""

Row = tuple[int, int, int | None, int]
"""(channel, time, value's bits or None, quality)"""


class Quantity(NamedTuple):
    """What it measures."""

    symbol: str  # as the gateway calls it,
    id: str  # the wire,
    channel: str  # and the plant
    unit: int  # of its bus


class Flash:
    """Readings, oldest first, as the session's store. `released(boot, seq)` is called with what may go."""

    def __init__(self, released: Callable[[int, int], None]) -> None:
        self.boot = 1
        self._rows: dict[int, list[Row]] = {1: []}
        self._gone: dict[int, int] = {1: 0}  # of each boot, so many are gone
        self._released = released

    def begin(self, boot: int) -> None:
        """Another boot; what it holds of the ones before stays."""
        self.boot = boot
        self._rows[boot], self._gone[boot] = [], 0

    def add(self, row: Row) -> int:
        """Its sequence number."""
        rows = self._rows[self.boot]
        rows.append(row)
        return self._gone[self.boot] + len(rows)

    @property
    def held(self) -> int:
        return sum(map(len, self._rows.values()))

    def oldest_ms(self) -> int | None:
        """When the oldest of what it holds was measured, by its own clock."""
        return next((rows[0][1] for rows in self._rows.values() if rows), None)

    def first(self) -> tuple[int, int]:
        for boot, rows in self._rows.items():
            if rows:
                return boot, self._gone[boot] + 1
        return self.boot, self._gone[self.boot] + 1

    def batch(self, boot: int, seq: int) -> Readings | None:
        rows = self._rows.get(boot, [])
        place = seq - self._gone.get(boot, 0) - 1
        if not 0 <= place < len(rows):
            return None
        base_ms = rows[place][1]
        taken = []
        for channel, t_ms, bits, found in rows[place : place + ROWS_FIT]:
            if abs(t_ms - base_ms) > OFFSET_MS_MAX:
                break
            taken.append((channel, t_ms - base_ms, bits, found, 0))
        return Readings(boot, seq, base_ms, 1, tuple(taken))

    def release(self, boot: int, seq: int) -> None:
        for kept in list(self._rows):
            upto = self._gone[kept] + len(self._rows[kept]) if kept < boot else seq
            if kept > boot or upto <= self._gone[kept]:
                continue
            del self._rows[kept][: upto - self._gone[kept]]
            self._gone[kept] = upto
            self._released(kept, upto)
            if kept < self.boot and not self._rows[kept]:
                del self._rows[kept], self._gone[kept]


class Trouble:
    """What is wrong with its wires at the moment; probabilities."""

    def __init__(self) -> None:
        self.silent_units: set[int] = set()
        self.no_answer = self.damaged = 0.0  # of a read
        self.lost = self.doubled = 0.0  # of a frame to or from the gateway


class LightDevice:
    """Measures and sends between power_on() and power_off(). `true_ms()` is the true time; `died(part,
    error)` is told when a task of it ends by itself.
    """

    def __init__(
        self,
        name: str,
        key: bytes,
        port: int,
        plant: Plant,
        ledger: Ledger,
        quantities: Sequence[Quantity],
        poll_ms: int,
        true_ms: Callable[[], int],
        random: Random,
        died: Callable[[str, BaseException], None] = lambda part, error: None,
    ) -> None:
        self.name, self.port = name, port
        self.clock_offset_ms = 0
        self.trouble = Trouble()
        self.measuring = True
        self.flash = Flash(lambda boot, seq: ledger.acknowledged(name, boot, seq))
        self._plant, self._ledger, self._random = plant, ledger, random
        self._quantities, self._poll_ms, self._true_ms = quantities, poll_ms, true_ms
        self._mac = Mac0(name, key)
        self._greetings = 0
        self._died = died
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    def now_ms(self) -> int:
        """What its clock shows."""
        return self._true_ms() + self.clock_offset_ms

    def waiting(self) -> int:
        """How many readings wait for the gateway, when the oldest does for longer than WAITS_MS; else 0."""
        oldest_ms = self.flash.oldest_ms()
        return self.flash.held if oldest_ms is not None and self.now_ms() - oldest_ms > WAITS_MS else 0

    # ---- power

    def power_on(self) -> None:
        self._session = DeviceSession(self._hello, self.flash, lambda later, earlier: later - earlier)
        self._tasks = [
            asyncio.create_task(self._measure(), name=f"{self.name} measures"),
            asyncio.create_task(self._talk(), name=f"{self.name} talks"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died(task.get_name(), error)

    async def power_off(self) -> None:
        """In the middle of whatever it does."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self.flash.begin(self.flash.boot + 1)

    async def finish(self) -> None:
        """Before the gateway ends for good: what is held was waited for (run.py, rule 2)."""

    # ---- measuring

    async def _measure(self) -> None:
        while True:
            now_ms = self._true_ms()
            await asyncio.sleep((self._poll_ms - now_ms % self._poll_ms) / 1000)
            if self.measuring:
                self._poll(self._true_ms())
                self._wake.set()

    def _poll(self, true_ms: int) -> None:
        if not self.flash.held:  # from here on the gateway owes an answer
            self._heard_s = asyncio.get_running_loop().time()
        for number, one in enumerate(self._quantities):
            value, found = self._read(one, true_ms)
            bits = None if value is None else float_bits(value)
            seq = self.flash.add((number, true_ms + self.clock_offset_ms, bits, found))
            self._ledger.emitted(self.name, self.flash.boot, seq, true_ms, one.symbol, value)

    def _read(self, one: Quantity, true_ms: int) -> tuple[float | None, int]:
        trouble = self.trouble
        if one.unit in trouble.silent_units or self._hit(trouble.no_answer):
            return None, quality.TIMEOUT
        if self._hit(trouble.damaged):
            return None, quality.BAD_REPLY
        return self._plant.reading(one.channel, true_ms)

    def _hit(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    # ---- talking

    async def _talk(self) -> None:
        attempt = 0
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(HOST, self.port)
                if await self._serve(reader, self._writer):
                    attempt = 0
            except OSError:
                pass
            finally:
                if self._writer is not None:
                    self._writer.transport.abort()
                    self._writer = None
                self._session.link_down(self._ticks())
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * self._random.uniform(0.5, 1.0))
            attempt += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Until the link is of no use any more; whether it ever was."""
        session = self._session
        session.link_up(self._ticks())
        was_live = False
        self._heard_s = asyncio.get_running_loop().time()
        reading = asyncio.create_task(self._hear(reader), name=f"{self.name} hears")
        try:
            writer.write(b"\0")
            while not reading.done() and not self._silent():
                self._wake.clear()
                was_live |= session.state == LIVE
                message = session.next(self._ticks())
                if message is not None:
                    self._send(writer, framing.encode(self._mac.seal(messages.encode(message))))
                    async with asyncio.timeout(WRITE_S_MAX):
                        await writer.drain()
                    continue
                busy = session.state != LIVE or self.flash.held
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(NAP_S if busy else None):
                        await self._wake.wait()
        except TimeoutError:
            pass  # the other side takes nothing
        finally:
            reading.cancel()
        return was_live

    def _send(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        if not self._hit(self.trouble.lost):
            writer.write(frame * (2 if self._hit(self.trouble.doubled) else 1))

    def _silent(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if not self.flash.held:
            self._heard_s = now_s
        return now_s - self._heard_s > SILENT_S

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        decoder = framing.Decoder()
        try:
            while data := await reader.read(4096):
                for body in decoder.feed(data):
                    if not self._hit(self.trouble.lost):
                        self._receive(body)
        except OSError:
            pass
        finally:
            self._wake.set()

    def _receive(self, body: bytes) -> None:
        try:
            message = messages.decode(self._mac.open(body), True)
        except ProtocolError:
            return
        self._heard_s = asyncio.get_running_loop().time()
        told = None
        moved = self._session.state != LIVE
        for happening in self._session.receive(message, self._ticks()):
            if happening[0] == "time":
                told = happening
            elif happening[0] == "acked":
                moved = True
            elif happening[0] == "ahead":
                self.flash.begin(happening[1] + 1)
                self._session.link_up(self._ticks())
        if told is not None and moved and told[2]:
            self._tell(told[1])
        self._wake.set()

    def _tell(self, time_ms: int) -> None:
        if abs(time_ms - self.now_ms()) > STEP_MS:
            self.clock_offset_ms = time_ms - self._true_ms()

    def _ticks(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

    def _hello(self) -> Hello:
        self._greetings += 1
        nonce = self.flash.boot.to_bytes(4, "big") + self._greetings.to_bytes(4, "big")
        channels = tuple((one.id, self._poll_ms, 0, ()) for one in self._quantities)
        boot, seq = self.flash.first()
        return Hello(
            1, "scenario", self.name, self.flash.boot, nonce, bytes(8), channels, boot, seq, 1,
            self._ticks(), "power",
        )  # fmt: skip
