"""An RS-485 line whose units have settings of their own, in real time, with the faults of a real cable.

Rule 1: a unit understands a request only when baud, parity and stop bits are its own. Everybody else hears
        garbage and keeps silent, as on a real line.
Rule 2: bytes take their time. An answer begins when the line was silent for 3.5 characters and the unit has
        thought, and is handed over byte by byte. Whoever sends meanwhile destroys it, and does not hear what
        comes while he sends (an adapter's receiver is off then).
Rule 3: what two units say at once, and what is heard at other settings than it was said, is worked out bit
        by bit: the two levels are ANDed, and the host's own settings sample them.
Rule 4: a busy machine is no fault of the line. When this thread came late, what had piled up meanwhile is
        taken one after the other, as it was sent.

Requests are decoded and answered by pymodbus (see bus.py). The line's ends are in mixed_ends.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from pymodbus.exceptions import ModbusException, NoSuchIdException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.simulator import SimDevice
from pymodbus.simulator.simcore import SimCore

from protocol.modbus import EXCEPTION_LENGTH, silence_us
from protocol.profile import Profile

READS = (1, 2, 3, 4)
LAG_S = 0.003  # later than planned by more: this thread was not given the processor
BESIDE_S = 0.02  # an answer that begins so soon is never run over by what had only piled up
REQUEST_BYTES_MAX = 256
FLIPS_AT_9600 = 0.03  # bytes damaged by reflections; more at higher speeds, less at lower


class Serial(NamedTuple):
    """How a UART is set. `parity`: N, E, O."""

    baud: int = 9600
    parity: str = "N"
    stopbits: float = 1

    @property
    def char_s(self) -> float:
        return (9 + (self.parity != "N") + self.stopbits) / self.baud


@dataclass
class MixedUnit:
    """An instrument on the line: its registers, how it is set, and its manners.

    `latency_s`: thinking time before an answer. `quiet`: no answer where others send an exception.
    `silent_s`: no answer so long after the line was started, as after power-up.
    """

    device: SimDevice
    serial: Serial = field(default_factory=Serial)
    latency_s: float = 0.004
    quiet: bool = False
    silent_s: float = 0.0
    core: SimCore = field(init=False)

    def __post_init__(self) -> None:
        self.core = SimCore([self.device])


@dataclass
class MixedFaults:
    """What is wrong with the wiring. May be changed while the line runs.

    `swapped`: A and B of the host: nobody is understood, and every change of direction looks like a break.
    `no_termination`: reflections damage bytes of the answers, more of them at higher speeds.
    `echo`: the adapter hears what it sends. Two units on one address, a wrong word order (`reordered`) and
    silence after power-up are faults of units: give the line such units.
    """

    swapped: bool = False
    no_termination: bool = False
    echo: bool = False


@dataclass
class _Answer:
    """Bytes as the host hears them, the moment of the first one's end, and the time of each."""

    first_s: float
    char_s: float
    data: bytes
    given: int = 0  # bytes handed over, or lost

    def at(self, i: int) -> float:
        return self.first_s + i * self.char_s

    @property
    def start_s(self) -> float:
        return self.first_s - self.char_s


def reordered(profile: Profile, order: str) -> Profile:
    """The profile of the same instrument with another word order: what a wrongly set one serves."""
    other = Profile.__new__(Profile)
    other.__dict__.update(profile.__dict__)
    other.quantities = tuple(q._replace(word_order=order) for q in profile.quantities)
    return other


class MixedLine:
    """The line itself; no threads in here. `write` is called with what the host hears.

    Counters: requests (understood by somebody or not), writes (and reads of nothing, which start some
    instruments), answers, noise_bytes (no request), run_over (answers that the host did not wait for) and
    busy_s: the line's time for requests, thinking and answers.
    """

    def __init__(self, units: list[MixedUnit], faults: MixedFaults | None = None, seed: int = 0) -> None:
        self.units = units
        self.faults = faults or MixedFaults()
        self.serial = Serial()  # how the host's UART is set
        self.requests = self.writes = self.answers = self.noise_bytes = self.run_over = 0
        self.busy_s = 0.0
        self.write: Callable[[bytes], None] = lambda data: None
        self._framer = FramerRTU(DecodePDU(True))
        self._loop = asyncio.new_event_loop()  # pymodbus's data store is asynchronous, without ever waiting
        self._random = Random(seed)
        self._began_s = time.monotonic()
        self._held = b""
        self._pending: list[_Answer] = []
        self._sending = (0.0, 0.0)  # the host's newest transmission

    def close(self) -> None:
        self._loop.close()

    # ---- time

    def due_s(self) -> float | None:
        """When the next byte is to be handed over; None when none is on its way."""
        return min((answer.at(answer.given) for answer in self._pending), default=None)

    def deliver(self, now_s: float) -> None:
        """Hand over what has come by now. A byte that came while the host was sending is lost."""
        for answer in self._pending:
            heard = bytearray()
            while answer.given < len(answer.data) and answer.at(answer.given) <= now_s:
                at = answer.at(answer.given)
                if not (at > self._sending[0] and at - answer.char_s < self._sending[1]):
                    heard.append(answer.data[answer.given])
                answer.given += 1
            if heard:
                self.write(bytes(heard))
        self._pending = [answer for answer in self._pending if answer.given < len(answer.data)]

    def settle(self, begun_by_s: float = float("inf")) -> None:
        """Wait for the answers that begin by then, and hand them over."""
        while True:
            ends = [a.at(len(a.data) - 1) for a in self._pending if a.start_s <= begun_by_s]
            if not ends:
                return
            wait_s = max(ends) - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            self.deliver(time.monotonic())

    # ---- the host's side

    def set(self, **changes: object) -> None:
        """The host sets its UART, once the line is silent."""
        new = self.serial._replace(**changes)
        if new != self.serial:
            self.settle()
            self.serial = new

    def sent(self, data: bytes, lag_s: float = 0.0) -> None:
        """The host has begun to send this; `lag_s`: how late this thread looks at it."""
        piled = lag_s > LAG_S
        self._held += data
        while self._held:
            frame = self._held[: _request_bytes(self._held)]  # pymodbus drops what follows a request
            try:
                used, request = self._framer.handleFrame(frame, 0, 0)
            except ModbusException:  # a check sum around something that is no standard request
                used, request = len(frame), None
                self.writes += 1
            if not used and len(self._held) > REQUEST_BYTES_MAX:
                used = len(self._held)
            if not used:
                return
            frame, self._held = self._held[:used], self._held[used:]
            self._transmit(frame, request, piled)
            piled = True  # what else came together with it

    def _transmit(self, frame: bytes, request: ModbusPDU | None, piled: bool) -> None:
        if piled:
            self.settle(self._sending[1] + BESIDE_S)
        start_s = max(time.monotonic(), self._sending[1])
        end_s = start_s + len(frame) * self.serial.char_s
        self.deliver(start_s)
        over = [answer for answer in self._pending if answer.start_s < end_s]
        self.run_over += len(over)
        self._sending = start_s, end_s
        self.busy_s += end_s - start_s
        if self.faults.echo:
            self._pending.append(_Answer(end_s, 0.0, frame))
            self._sending = start_s, start_s  # its receiver is never off
        if self.faults.swapped:
            rubbish = bytes(self._random.choice((0x00, 0x00, 0xFF, 0xFE)) for _ in range(2))
            self._pending.append(_Answer(end_s + self.serial.char_s, self.serial.char_s, rubbish))
            self._sending = start_s, end_s
        if request is None:
            self.noise_bytes += len(frame)
            return
        self.requests += 1
        self.writes += request.function_code not in READS
        if not over and not self.faults.swapped:
            self._answer(request, end_s)

    def _answer(self, request: ModbusPDU, end_s: float) -> None:
        said = []
        for unit in self.units:
            if unit.device.id != request.dev_id or unit.serial != self.serial:
                continue
            if time.monotonic() - self._began_s < unit.silent_s:
                continue
            frame = self._frame(unit, request)
            if frame is not None:
                said.append((silence_us(unit.serial.baud) / 1e6 + unit.latency_s, frame))
        if not said:
            return
        self.answers += len(said)
        said.sort(key=lambda one: one[0])
        first_s = said[0][0]
        waves = [(round((after_s - first_s) * self.serial.baud), wave(f, self.serial)) for after_s, f in said]
        data = said[0][1] if len(said) == 1 else heard(both(waves), self.serial.baud, self.serial)
        data = self._damaged(data)
        char_s = self.serial.char_s
        self._pending.append(_Answer(end_s + first_s + char_s, char_s, data))
        # a frame is followed by silence, too
        self.busy_s += first_s + len(data) * char_s + silence_us(self.serial.baud) / 1e6

    def _frame(self, unit: MixedUnit, request: ModbusPDU) -> bytes | None:
        try:
            answer = self._loop.run_until_complete(request.datastore_update(unit.core, unit.device.id))
        except NoSuchIdException:
            return None
        answer.dev_id, answer.transaction_id = request.dev_id, 0
        frame = self._framer.buildFrame(answer)
        return None if unit.quiet and len(frame) == EXCEPTION_LENGTH else frame

    def _damaged(self, data: bytes) -> bytes:
        if not self.faults.no_termination:
            return data
        chance = min(0.5, FLIPS_AT_9600 * self.serial.baud / 9600)
        return bytes(
            byte ^ (1 << self._random.randrange(8)) if self._random.random() < chance else byte
            for byte in data
        )


def _request_bytes(held: bytes) -> int | None:
    """How long the request is that begins there, by its function; None when that cannot be said."""
    if len(held) < 8 or held[1] in range(1, 7):
        return 8
    return 9 + held[6] if held[1] in (15, 16) else None


def wave(data: bytes, serial: Serial) -> list[int]:
    """The line's levels while these bytes are sent, one a bit: 0 is a start bit's."""
    levels = []
    for byte in data:
        bits = [byte >> i & 1 for i in range(8)]
        levels += [0, *bits]
        if serial.parity != "N":
            levels.append((sum(bits) + (serial.parity == "O")) % 2)
        levels += [1] * round(serial.stopbits)
    return levels


def both(waves: list[tuple[int, list[int]]]) -> list[int]:
    """What is on the line when several send, each from its own bit on."""
    merged = [1] * max(at + len(levels) for at, levels in waves)
    for at, levels in waves:
        for i, level in enumerate(levels, at):
            merged[i] &= level
    return merged


def heard(levels: list[int], baud: int, serial: Serial) -> bytes:
    """The bytes that a UART set to `serial` makes of levels that last 1/baud each. Errors do not stop it."""
    per_bit = baud / serial.baud
    width = 10 + (serial.parity != "N")

    def level(at: float) -> int:
        return levels[int(at)] if 0 <= int(at) < len(levels) else 1

    data, at = bytearray(), 0.0
    while at < len(levels):
        if level(at):
            at = int(at) + 1.0
            continue
        data.append(sum(level(at + (1.5 + i) * per_bit) << i for i in range(8)))
        at += (width - 0.5) * per_bit
        while at < len(levels) and not level(at):  # a break lasts until the line rises
            at = int(at) + 1.0
    return bytes(data)
