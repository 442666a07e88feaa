"""An instrument on a line, and two readers of it: a naive one, and the one that a profile makes.

The second reads what tools/station/build.py makes of the profile, and decodes as the device does. Neither
waits for a timeout: the line says when nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os

from firmware import config
from firmware.values import judge
from protocol import modbus, modbus_requests, quality, reading, registers
from protocol.errors import ExceptionReply
from protocol.instruments import load
from protocol.profile import answered, ratio
from protocol.profile_ask import examples
from simulator.bus import RtuLine
from simulator.clock import SimClock
from simulator.instruments import Instrument, Served
from simulator.signals import Shape
from simulator.truth import Truth
from tests.simulator._rig import T0_MS, open_raw, read_some, until
from tools.station.build import build

WAIT_S = 60.0  # for an answer that comes; only a broken test waits so long
UNIT = 9


class StillClock(SimClock):
    """Station time that moves when told."""

    def __init__(self, now_ms=T0_MS):
        super().__init__()
        self.now = now_ms

    def now_ms(self):
        return self.now


def ready(name):
    """The profile of that name, its questions answered by examples."""
    profile = load(name)
    return answered(profile, examples(profile.asks))


def polled(name):
    """config.Unit of a device that polls all quantities of the profile."""
    asks = load(name).asks
    unit = {"bus": "bus", "unit": UNIT, "profile": name, "poll_ms": 3_600_000}
    site = {
        "id": "st-01",
        "key": "0f" * 32,
        "link": {"kind": "tcp", "host": "127.0.0.1", "port": 7311},
        "buses": [{"id": "bus", "kind": "rtu", "path": "/dev/ttyUSB0"}],
        "units": [unit | ({"answers": examples(asks)} if asks else {})],
    }
    return config.parse(json.dumps(build(site)).encode()).units[0]


class Rig:
    """One instrument, on a line of its own, at `shapes` around the middle of each plausible range."""

    def __init__(self, tmp_path, name, level=None):
        self.profile, self.unit = ready(name), polled(name)
        self.clock, self.truth = StillClock(), Truth(tmp_path / "truth.jsonl")
        wired = []
        for q in self.profile.quantities:
            low, high = q.plausible
            middle = (low + high) / 2 if level is None else level
            shape = Shape(level=middle, noise=0 if level else (high - low) / 20)
            wired.append(Served(q.id, q.id, shape, q.update_s))
        self.instrument = Instrument(self.profile, UNIT, wired, self.clock, self.truth, seed=3)
        self.line = RtuLine(tmp_path / "rs485", [self.instrument.device])
        self.step_ms = round(1000 * max(q.update_s for q in self.profile.quantities))

    async def __aenter__(self):
        await self.line.start()
        self._fd = open_raw(self.line.path)
        return self

    async def __aexit__(self, *_):
        os.close(self._fd)
        await self.line.stop()
        self.truth.close()

    def go_on(self):
        """Until every quantity has a new value, or would have one."""
        self.clock.now += self.step_ms

    async def ask(self, pdu, patience_s=WAIT_S):
        """The answer's registers, ExceptionReply, or None when nobody answers (within `patience_s`)."""
        silent = self.line.silent
        expected, got = modbus.rtu_reply_length(pdu), b""
        os.write(self._fd, modbus.rtu(UNIT, pdu))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while len(got) < expected:
                    got += read_some(self._fd)
                    if len(got) == modbus.EXCEPTION_LENGTH and got[1] & 0x80:
                        break
                    if self.line.silent != silent:
                        return None
                    await asyncio.sleep(0.001)
                return modbus.parse_rtu(got, UNIT, pdu)
        if patience_s == WAIT_S:
            raise AssertionError(f"neither an answer nor silence: {pdu.hex()} {got.hex()}")
        return None

    async def late(self):
        """Wait for the answer that ask() did not wait for, and forget it."""
        await until(lambda: self.line.answers + self.line.silent == self.line.requests, "an answer", WAIT_S)
        got = b""

        def whole():
            nonlocal got
            got += read_some(self._fd)
            return len(got) >= modbus.EXCEPTION_LENGTH and not modbus.crc16(got)

        await until(whole, "its last byte", WAIT_S)

    # ---- the naive reader

    async def raw(self, q, function=None, register=None, count=None):
        """The registers of one quantity, asked for with nothing else."""
        table = modbus_requests.TABLES[q.table] if function is None else function
        count = registers.words_of(q.type) if count is None else count
        return await self.ask(
            modbus_requests.read_pdu(table, q.register if register is None else register, count)
        )

    def number(self, q, words):
        """What the registers mean when nothing is asked of their state."""
        multiply, divide = ratio(q.scale)
        return reading.bits_float(registers.raw_bits(words, q.type, q.word_order, multiply, divide, q.offset))

    async def naive(self, q):
        return self.number(q, await self.raw(q))

    # ---- the profile's reader

    async def poll(self):
        """{quantity: (number or None, quality)}, as the device polls: starts, waits, pauses, retries."""
        replies = {}
        for i, (pdu, wait_ms) in enumerate(self.unit.requests):
            words = None
            for _ in range(self.unit.retries + 1):
                if self.unit.gap_ms and i:
                    await asyncio.sleep(self.unit.gap_ms / 1000)
                with contextlib.suppress(ExceptionReply):
                    words = await self.ask(pdu)
                if words is not None:
                    break
            self.clock.now += wait_ms
            if i >= self.unit.starts and words is not None:
                replies[i - self.unit.starts] = words
        judged = {}
        for q, value in zip(self.profile.quantities, self.unit.values, strict=True):
            bits, why = judge(value, self.unit.statuses, replies, quality.TIMEOUT)
            judged[q.id] = (None if bits is None else reading.bits_float(bits), why)
        return judged

    async def qualities(self):
        return {why for _, why in (await self.poll()).values()}


async def refused(request):
    """Whether a request meets an exception or silence."""
    try:
        return await request is None
    except ExceptionReply:
        return True
