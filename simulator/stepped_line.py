"""An RS-485 line in virtual time: bits take their time, silences count, and units misbehave by chance.

Rule 1: a character takes ten bits at the line's baud rate. A unit answers 3.5 characters (1.75 ms above
        19,200 baud: protocol.modbus.silence_us) and its thinking time after the request's last bit.
Rule 2: a request that begins before 3.5 characters of silence have passed, or while somebody else sends, is
        no request: nobody answers, and it is counted (too_soon, collisions).
Rule 3: every answer holds numbers that occur once, so that a reading tells which answer it came from: 32
        bits, unit << 28 | register pair << 24 | number of the request to this unit, modulo 2**24. `given`
        are the answers that were right, `sure` those of them that nobody disturbed: a reading is one of
        `given`, and each of `sure` has to become one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping

from protocol import modbus
from protocol.registers import words_of_bits
from simulator.stepped import SECOND, Port, Stepped

BITS_PER_BYTE = 10
NEAR_US = 5_000  # what comes so close to an answer may be taken for a part of it


def number_bits(unit: int, address: int, n: int) -> int:
    """What the register pair at `address` (even, below 32) holds in the n-th answer of a unit (1 to 6)."""
    return unit << 28 | address // 2 << 24 | n & 0xFFFFFF


def origin(bits: int) -> tuple[int, int, int]:
    """(unit, address, n) of a number."""
    return bits >> 28, (bits >> 24 & 15) * 2, bits & 0xFFFFFF


class RtuLine:
    """A line with `units`; one that is not among them, or is in `dead`, never answers.

    `chances` is per request and kind of misbehaviour, see the methods below. `piece` is how many bytes the
    device's UART hands over at a time (0: whole bursts).
    """

    def __init__(
        self,
        world: Stepped,
        units: tuple[int, ...],
        baud: int = 9600,
        chances: Mapping[str, float] | None = None,
        seed: int = 0,
        think_us: tuple[int, int] = (0, 0),
        late_us: tuple[int, int] = (600_000, 900_000),
        piece: int = 0,
        echo: bool = False,
    ) -> None:
        self.units, self.dead = units, set[int]()
        self.baud, self.think_us, self.late_us, self.piece, self.echo = baud, think_us, late_us, piece, echo
        self.chances = dict(chances or {})
        self.requests = self.good = self.unanswered = self.too_soon = self.collisions = self.noise = 0
        self.flash_hits = 0  # times that flash was written between a request and the end of its good answer
        self.busy_us = 0.0  # the line's time that good transactions need by physics, see transaction_us
        self.hurt = {name: 0 for name in self.chances}
        self.asked = dict.fromkeys(units, 0)  # requests to each unit
        self.given: dict[int, set[int]] = {unit: set() for unit in units}  # n of its right answers
        self.sure: dict[int, set[int]] = {unit: set() for unit in units}
        self.byte_us = BITS_PER_BYTE * 1_000_000 / baud
        self.silence_us = modbus.silence_us(baud)
        self._world, self._random = world, random.Random(seed)
        self._port: Port | None = None
        self._answered_us = 0.0  # when the last good answer ends
        self._free_us = -float(self.silence_us)  # when the device's last bit was sent
        self._bursts: list[tuple[float, float]] = []  # of the units, from and to, not long past

    def transaction_us(self, request_bytes: int, answer_bytes: int) -> float:
        """What the line's physics needs: request, silence, answer, silence."""
        return (request_bytes + answer_bytes) * self.byte_us + 2 * self.silence_us

    # ---- as a peer of the device

    def opened(self, port: Port) -> bool:
        self._port = port
        return True

    def closed(self, port: Port) -> None:
        self._port = None

    def received(self, port: Port, data: bytes) -> None:
        began = self._world.now_us
        ends = began + len(data) * self.byte_us
        self._bursts = [burst for burst in self._bursts if burst[1] > began - self.silence_us + 1]
        met = any(start < ends and end > began for start, end in self._bursts)
        too_soon = self._free_us > began - self.silence_us + 1 or any(end <= began for _, end in self._bursts)
        self._free_us = max(self._free_us, ends)
        if self.echo:
            self._deliver_pieces(data, began)
        if met:
            self.collisions += 1
        elif too_soon:
            self.too_soon += 1
        elif len(data) < 8 or modbus.crc16(data[:-2]) != data[-2] | data[-1] << 8:
            self.noise += 1
        else:
            self._request(data, ends)

    def flashed(self) -> None:
        self.flash_hits += self._world.now_us < self._answered_us

    def _request(self, request: bytes, ends: float) -> None:
        self.requests += 1
        unit = request[0]
        if unit not in self.units:
            self.unanswered += 1
            return
        self.asked[unit] += 1
        if unit in self.dead:
            self.unanswered += 1
            return
        n = self.asked[unit]
        answer = self.answer(request, n)
        if answer is None:
            self.unanswered += 1
            return
        start = ends + self.silence_us + self._random.randint(*self.think_us)
        draw = self._random.random()
        for name, chance in self.chances.items():
            if draw < chance:
                self.hurt[name] += 1
                _FAULTS[name](self, request, answer, start)
                return
            draw -= chance
        self.good += 1
        self.busy_us += self.transaction_us(len(request), len(answer))
        self.given[unit].add(n & 0xFFFFFF)
        self._answered_us = start + len(answer) * self.byte_us
        near_us = 2 * self.silence_us + NEAR_US
        if not any(
            begin < self._answered_us + near_us and end > ends - near_us for begin, end in self._bursts
        ):
            self.sure[unit].add(n & 0xFFFFFF)
        self._send(answer, start)

    def answer(self, request: bytes, n: int) -> bytes | None:
        """What its unit says to a sound request, its n-th, with address and check sum; None: nothing."""
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        words: list[int] = []
        for at in range(address, address + count, 2):
            words += words_of_bits(number_bits(unit, at, n), "ABCD")
        data = struct.pack(f">{len(words[:count])}H", *words[:count])
        return modbus.rtu(unit, bytes([function, len(data)]) + data)

    def _send(self, data: bytes, start_us: float) -> None:
        """A unit's bytes on the line from start_us on."""
        self._bursts.append((start_us, start_us + len(data) * self.byte_us))
        self._deliver_pieces(data, start_us)

    def _deliver_pieces(self, data: bytes, start_us: float) -> None:
        """The device gets each piece when its last bit has come."""
        size = self.piece or len(data)
        for at in range(0, len(data), size):
            part = data[at : at + size]
            ends = start_us + (at + len(part)) * self.byte_us
            self._world.at(round(ends), lambda part=part: self._deliver(part))

    def _deliver(self, part: bytes) -> None:
        if self._port is not None:
            self._port.send(part)

    # ---- what units do wrong, given (request, the right answer, when it should start)

    def _silent(self, request: bytes, answer: bytes, start: float) -> None:
        self.unanswered += 1

    def _late(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(answer, start + self._random.randint(*self.late_us))

    def _noise_then_late(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(self._random.randbytes(len(answer)), start)
        self._late(request, answer, start)

    def _other_unit(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(modbus.rtu(answer[0] ^ 1, answer[1:-2]), start)

    def _other_function(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(modbus.rtu(answer[0], bytes([answer[1] ^ 7]) + answer[2:-2]), start)

    def _short(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(modbus.rtu(answer[0], bytes([answer[1], answer[2] - 2]) + answer[3:-4]), start)

    def _long(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(modbus.rtu(answer[0], bytes([answer[1], answer[2] + 2]) + answer[3:-2] + b"\0\1"), start)

    def _flip(self, request: bytes, answer: bytes, start: float) -> None:
        bit = self._random.randrange(8 * len(answer))
        self._send(bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(answer)), start)

    def _cut(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(answer[: self._random.randrange(1, len(answer))], start)

    def _trailing(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(answer + self._random.randbytes(self._random.randrange(1, 5)), start)

    def _leading(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(self._random.randbytes(self._random.randrange(1, 5)) + answer, start)

    def _babble(self, request: bytes, answer: bytes, start: float) -> None:
        for _ in range(self._random.randrange(1, 8)):
            noise = self._random.randbytes(self._random.randrange(1, 60))
            self._send(noise, start)
            start += len(noise) * self.byte_us + self._random.randrange(SECOND // 20)

    def _exception(self, request: bytes, answer: bytes, start: float) -> None:
        self._send(modbus.rtu(answer[0], bytes([answer[1] | 0x80, self._random.choice((1, 2, 4, 6))])), start)


_FAULTS: dict[str, Callable[[RtuLine, bytes, bytes, float], None]] = {
    "silent": RtuLine._silent,
    "late": RtuLine._late,
    "noise_then_late": RtuLine._noise_then_late,
    "other_unit": RtuLine._other_unit,
    "other_function": RtuLine._other_function,
    "short": RtuLine._short,
    "long": RtuLine._long,
    "flip": RtuLine._flip,
    "cut": RtuLine._cut,
    "trailing": RtuLine._trailing,
    "leading": RtuLine._leading,
    "babble": RtuLine._babble,
    "exception": RtuLine._exception,
}
BAD_BUS = dict.fromkeys(_FAULTS, 0.01)
"""Every kind of misbehaviour, each at one request in a hundred."""
