"""Instruments that misbehave in every way a line allows: a reading may be missing, it is never wrong."""

import asyncio
import random
import struct

import pytest

from protocol import modbus, quality
from protocol.registers import words_of_bits
from tests.firmware.bench import RUNTIMES, Device, Gateway, Line, open_link, station, unit, until, value

TIMEOUT_MS = 60
LATE_MS = (
    TIMEOUT_MS + 10,
    2 * TIMEOUT_MS - 15,
)  # after the time-out, yet within the time a unit is left alone


class BadLine:
    """An RS-485 line whose units answer each request with numbers of their own: bits = unit, address, count.

    Each register pair holds unit << 24 | address << 16 | n, n being the number of the request: a reading
    tells which request it answers, and `given` tells which answers were given in good order and in time.
    """

    def __init__(self, path, faults, seed: int, share: float = 0.6) -> None:
        self.given: set[int] = set()
        self.asked = 0
        self.hurt = {name: 0 for name in faults}
        self._faults = faults
        self._share = share
        self._random = random.Random(seed)
        self._line = Line(path, self._read)
        self._held = b""
        self._previous = b""
        self._tasks: set[asyncio.Task] = set()
        self.close = self._line.close

    def _read(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 8:
            request, self._held = self._held[:8], self._held[8:]
            self._request(request)

    def _request(self, request: bytes) -> None:
        unit_number, function, address, count, _ = struct.unpack(">BBHHH", request[:8])
        assert modbus.crc16(request[:-2]) == request[-2] | request[-1] << 8, "the device itself sent noise"
        self.asked += 1
        n = self.asked
        words = []
        for at in range(address, address + count, 2):
            words += words_of_bits(unit_number << 24 | at << 16 | n & 0xFFFF, "ABCD")
        answer = self._frame(unit_number, bytes([function, 2 * count]) + struct.pack(f">{count}H", *words))
        previous, self._previous = self._previous, answer
        if self._random.random() >= self._share:
            self.given.add(n)
            self._line.write(answer)
        else:
            name = self._random.choice(self._faults)
            self.hurt[name] += 1
            if name == "behind_the_previous_one":
                self._previous = previous
            task = asyncio.get_running_loop().create_task(getattr(self, name)(request, answer, n))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _frame(unit_number: int, pdu: bytes) -> bytes:
        return modbus.rtu(unit_number, pdu)

    async def silent(self, request, answer, n):
        pass

    async def late(self, request, answer, n):
        await asyncio.sleep(self._random.randint(*LATE_MS) / 1000)
        self._line.write(answer)

    async def other_unit(self, request, answer, n):
        self._line.write(self._frame(answer[0] ^ 1, answer[1:-2]))

    async def other_function(self, request, answer, n):
        self._line.write(self._frame(answer[0], bytes([4]) + answer[2:-2]))

    async def too_short(self, request, answer, n):
        self._line.write(self._frame(answer[0], bytes([answer[1], answer[2] - 2]) + answer[3:-4]))

    async def too_long(self, request, answer, n):
        self._line.write(self._frame(answer[0], bytes([answer[1], answer[2] + 2]) + answer[3:-2] + b"\0\1"))

    async def byte_count(self, request, answer, n):
        self._line.write(self._frame(answer[0], bytes([answer[1], answer[2] + 2]) + answer[3:-2]))

    async def flipped(self, request, answer, n):
        bit = self._random.randrange(8 * len(answer))
        hurt = bytearray(answer)
        hurt[bit // 8] ^= 1 << bit % 8
        self._line.write(bytes(hurt))

    async def cut(self, request, answer, n):
        self._line.write(answer[: self._random.randrange(1, len(answer))])

    async def trailing(self, request, answer, n):
        self._line.write(answer + bytes([self._random.randrange(256)]))

    async def leading(self, request, answer, n):
        self._line.write(bytes([self._random.randrange(256)]) + answer)

    async def babble(self, request, answer, n):
        for _ in range(10):
            self._line.write(self._random.randbytes(self._random.randrange(1, 60)))
            await asyncio.sleep(0.002)

    async def echo_only(self, request, answer, n):
        self._line.write(request)

    async def echo_and_answer(self, request, answer, n):
        self.given.add(n)
        self._line.write(request + answer)

    async def echo_without_its_end(self, request, answer, n):
        self._line.write(request[: self._random.randrange(1, len(request))] + answer)

    async def echo_without_its_beginning(self, request, answer, n):
        self._line.write(request[self._random.randrange(1, len(request)) :] + answer)

    async def echo_of_another_request(self, request, answer, n):
        other = bytearray(request[:-2])
        other[3] ^= 16
        self._line.write(modbus.rtu(other[0], bytes(other[1:])) + answer)

    async def behind_another_units(self, request, answer, n):
        self._line.write(self._frame(answer[0] ^ 1, answer[1:-2]) + answer)

    async def behind_the_previous_one(self, request, answer, n):
        self._line.write((self._previous if len(self._previous) == len(answer) else answer) + answer)

    async def before_another_units(self, request, answer, n):
        self._line.write(answer + self._frame(answer[0] ^ 1, answer[1:-2]))

    async def late_and_then_silent(self, request, answer, n):
        """The answer to this request meets the next one of the same unit, if that comes too soon."""
        await asyncio.sleep(LATE_MS[1] / 1000)
        self._line.write(answer)

    async def exception_of_another_function(self, request, answer, n):
        self._line.write(self._frame(answer[0], bytes([0x84, 2])))

    async def in_pieces(self, request, answer, n):
        self.given.add(n)
        at = self._random.randrange(1, len(answer))
        self._line.write(answer[:at])
        await asyncio.sleep(0.004)
        self._line.write(answer[at:])

    async def twice(self, request, answer, n):
        self._line.write(answer + answer)

    async def unasked(self, request, answer, n):
        self.given.add(n)
        self._line.write(answer)
        await asyncio.sleep(0.012)
        self._line.write(self._frame(answer[0] ^ 1, answer[1:-2]))


FAULTS = [
    "silent",
    "late",
    "other_unit",
    "other_function",
    "too_short",
    "too_long",
    "byte_count",
    "flipped",
    "cut",
    "trailing",
    "leading",
    "babble",
    "echo_only",
    "echo_and_answer",
    "echo_without_its_end",
    "echo_without_its_beginning",
    "echo_of_another_request",
    "behind_another_units",
    "behind_the_previous_one",
    "before_another_units",
    "late_and_then_silent",
    "exception_of_another_function",
    "in_pieces",
    "twice",
    "unasked",
]


def _check(gateway: Gateway, line: BadLine, channels: dict[int, tuple[int, int]]) -> int:
    good = 0
    for _, _, channel, raw, why in gateway.rows():
        if why == quality.OK:
            number, address = channels[channel]
            assert (raw >> 24, raw >> 16 & 0xFF) == (number, address), f"channel {channel} shows {raw:08x}"
            assert raw & 0xFFFF in line.given, (
                f"channel {channel} took {raw:08x}, which was no answer in good order"
            )
            good += 1
        else:
            assert raw is None and why in (quality.TIMEOUT, quality.BAD_REPLY)
    return good


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_wrong_reading_whatever_the_line_does(tmp_path, runtime):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        line = BadLine(tmp_path / "bus", FAULTS, seed=7)
        # unit 2 is read in two requests of the same shape, the case in which a late answer could pass
        two = [{"function": 3, "address": 0, "count": 4}, {"function": 3, "address": 16, "count": 4}]
        units = [
            unit(2, [value(0, 0), {**value(1, 2), "read": 1}], reads=two, timeout_ms=TIMEOUT_MS, poll_ms=150),
            unit(3, [value(2, 0)], count=4, timeout_ms=TIMEOUT_MS, poll_ms=100),
            unit(4, [value(3, 6)], count=8, timeout_ms=TIMEOUT_MS, poll_ms=100),
        ]
        device = await Device(runtime, station(tmp_path, link.settings, units)).start()
        await until(
            lambda: min(line.hurt.values()) >= 3 and len(gateway.rows()) > 300, "every fault three times"
        )
        last = await device.stop()
        await link.close()
        line.close()
        gateway.complete()
        good = _check(gateway, line, {0: (2, 0), 1: (2, 18), 2: (3, 0), 3: (4, 6)})
        assert good > 50
        assert last["bad_replies"] > 20 and last["timeouts"] > 2
        assert last["echoes"] >= 6 and last["strays"] >= 3 and last["noise_bytes"] > 100

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault",
    [
        "other_unit",
        "other_function",
        "too_short",
        "too_long",
        "byte_count",
        "flipped",
        "twice",
        "echo_without_its_end",
        "echo_without_its_beginning",
        "echo_of_another_request",
        "behind_another_units",
        "before_another_units",
        "exception_of_another_function",
    ],
)
def test_a_unit_that_only_misbehaves_gives_bad_replies_and_its_neighbour_values(tmp_path, fault):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        line = BadLine(tmp_path / "bus", [fault], seed=1, share=1.0)
        ask = line._request
        line._request = lambda request: (
            setattr(line, "_share", 1.0 if request[0] == 2 else 0.0),
            ask(request),
        )
        units = [
            unit(2, [value(0, 0)], timeout_ms=TIMEOUT_MS, poll_ms=150),
            unit(8, [value(1, 0)], timeout_ms=TIMEOUT_MS, poll_ms=150),
        ]
        device = await Device("micropython", station(tmp_path, link.settings, units)).start()
        await until(lambda: min(len(gateway.rows(0)), len(gateway.rows(1))) > 12, "12 polls of each")
        await device.stop()
        await link.close()
        line.close()
        whys = {row[4] for row in gateway.rows(0)}
        assert whys == {quality.BAD_REPLY}
        assert {row[4] for row in gateway.rows(1)} == {quality.OK}
        _check(gateway, line, {0: (2, 0), 1: (8, 0)})

    asyncio.run(main())


class EchoingLine:
    """A line behind an adapter that hears itself: every request comes back, then the unit's answer.

    Reads of four registers give 25.0 once the start command has come; before it they stay unanswered.
    """

    def __init__(self, path, in_pieces: bool) -> None:
        self.started = 0
        self._in_pieces = in_pieces
        self._held = b""
        self._line = Line(path, self._read)
        self._tasks: set[asyncio.Task] = set()
        self.close = self._line.close

    def _read(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 8:
            size = 9 + self._held[6] if self._held[1] in (15, 16) else 8
            if len(self._held) < size:
                return
            request, self._held = self._held[:size], self._held[size:]
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: bytes) -> None:
        if request[1] in (5, 6, 15, 16):
            self.started += 1
            answer = modbus.rtu(request[0], request[1:6])
        else:
            answer = modbus.rtu(request[0], bytes([request[1], 8, 0x41, 0xC8, 0, 0, 0, 0, 0, 0]))
        whole = request + answer
        for piece in (whole[:7], whole[7:]) if self._in_pieces else (whole,):
            self._line.write(piece)
            await asyncio.sleep(0.004)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("function, words", [(16, [31]), (16, [1, 2, 3]), (15, [1, 0, 1])])
def test_a_start_command_behind_an_echoing_adapter(tmp_path, function, words, in_pieces):
    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        line = EchoingLine(tmp_path / "bus", in_pieces)
        start = [{"function": function, "address": 1, "words": words, "wait_ms": 10}]
        units = [unit(2, [value(0, 0)], count=4, start=start, timeout_ms=200, poll_ms=300)]
        device = await Device("micropython", station(tmp_path, link.settings, units)).start()
        await until(lambda: len(gateway.rows()) > 8, "eight polls")
        last = await device.stop()
        await link.close()
        line.close()
        assert {row[3:] for row in gateway.rows()} == {(0x41C80000, quality.OK)}
        assert line.started >= 8 and last["bad_replies"] == 0
        assert last["echoes"] >= 16 and last["strays"] == 0

    asyncio.run(main())
