"""Instruments that misbehave in every way a line allows: a reading may be missing, it is never wrong.

In virtual time, where an answer that is late is so by the ms that it was to be; and once more through a tty,
on every runtime, with the faults that need no clock: there a busy machine may make any answer late.
"""

import asyncio
import random
import struct

import pytest

from protocol import messages, modbus, quality
from protocol.registers import words_of_bits
from simulator.stepped import SECOND, Stepped
from simulator.stepped_link import GatewayEnd
from tests.firmware.bench import (
    DEVICE,
    KEY,
    RUNTIMES,
    Device,
    Gateway,
    Line,
    T,
    open_link,
    station,
    unit,
    until,
    value,
)
from tests.firmware.stepped_rig import directory
from tests.protocol.test_runtimes import interpreter

TIMEOUT_MS = 60
LATE_MS = (TIMEOUT_MS + 1, 2 * TIMEOUT_MS - 2)  # when a unit is given up, and still left alone


class BadUnits:
    """Units that answer each request with numbers of their own, or in some wrong way.

    Each register pair holds unit << 24 | address << 16 | n, n being the number of the request: a reading
    tells which request it answers, and `given` tells which answers were given in good order and in time.
    """

    def __init__(self, faults, seed: int, share: float = 0.6, units=None) -> None:
        self.given: set[int] = set()
        self.asked = 0
        self.hurt = {name: 0 for name in faults}
        self._faults = faults
        self._share = share  # of the answers that are hurt, of those of `units` (None: of all)
        self._units = units
        self._random = random.Random(seed)
        self._previous = b""

    def answer(self, request: bytes) -> list[tuple]:
        """What comes on the line, each so many ms after what is before it: bytes, or what gives them then."""
        unit_number, function, address, count, _ = struct.unpack(">BBHHH", request)
        assert modbus.crc16(request[:-2]) == request[-2] | request[-1] << 8, "the device itself sent noise"
        self.asked += 1
        n = self.asked
        words = []
        for at in range(address, address + count, 2):
            words += words_of_bits(unit_number << 24 | at << 16 | n & 0xFFFF, "ABCD")
        answer = modbus.rtu(unit_number, bytes([function, 2 * count]) + struct.pack(f">{count}H", *words))
        previous, self._previous = self._previous, answer
        sound = self._units is not None and unit_number not in self._units
        if sound or self._random.random() >= self._share:
            self.given.add(n)
            return [(0, answer)]
        name = self._random.choice(self._faults)
        self.hurt[name] += 1
        if name == "behind_the_previous_one":
            self._previous = previous
        found = getattr(self, name)(request, answer, n)
        return [(0, found)] if isinstance(found, bytes) else found

    # What is done wrong, given (request, the right answer, its number): bytes, or pieces as of answer()

    def silent(self, request, answer, n):
        return []

    def late(self, request, answer, n):
        return [(self._random.randint(*LATE_MS), answer)]

    def other_unit(self, request, answer, n):
        return modbus.rtu(answer[0] ^ 1, answer[1:-2])

    def other_function(self, request, answer, n):
        return modbus.rtu(answer[0], bytes([4]) + answer[2:-2])

    def too_short(self, request, answer, n):
        return modbus.rtu(answer[0], bytes([answer[1], answer[2] - 2]) + answer[3:-4])

    def too_long(self, request, answer, n):
        return modbus.rtu(answer[0], bytes([answer[1], answer[2] + 2]) + answer[3:-2] + b"\0\1")

    def byte_count(self, request, answer, n):
        return modbus.rtu(answer[0], bytes([answer[1], answer[2] + 2]) + answer[3:-2])

    def flipped(self, request, answer, n):
        bit = self._random.randrange(8 * len(answer))
        hurt = bytearray(answer)
        hurt[bit // 8] ^= 1 << bit % 8
        return bytes(hurt)

    def cut(self, request, answer, n):
        return answer[: self._random.randrange(1, len(answer))]

    def trailing(self, request, answer, n):
        return answer + bytes([self._random.randrange(256)])

    def leading(self, request, answer, n):
        return bytes([self._random.randrange(256)]) + answer

    def babble(self, request, answer, n):
        return [(2, self._random.randbytes(self._random.randrange(1, 60))) for _ in range(10)]

    def echo_only(self, request, answer, n):
        return request

    def echo_and_answer(self, request, answer, n):
        self.given.add(n)
        return request + answer

    def echo_without_its_end(self, request, answer, n):
        return request[: self._random.randrange(1, len(request))] + answer

    def echo_without_its_beginning(self, request, answer, n):
        return request[self._random.randrange(1, len(request)) :] + answer

    def echo_of_another_request(self, request, answer, n):
        other = bytearray(request[:-2])
        other[3] ^= 16
        return modbus.rtu(other[0], bytes(other[1:])) + answer

    def behind_another_units(self, request, answer, n):
        return modbus.rtu(answer[0] ^ 1, answer[1:-2]) + answer

    def behind_the_previous_one(self, request, answer, n):
        return (self._previous if len(self._previous) == len(answer) else answer) + answer

    def before_another_units(self, request, answer, n):
        return answer + modbus.rtu(answer[0] ^ 1, answer[1:-2])

    def late_and_then_silent(self, request, answer, n):
        """The answer to this request meets the next one of the same unit, if that comes too soon."""
        return [(LATE_MS[1], answer)]

    def exception_of_another_function(self, request, answer, n):
        return modbus.rtu(answer[0], bytes([0x84, 2]))

    def in_pieces(self, request, answer, n):
        self.given.add(n)
        at = self._random.randrange(1, len(answer))
        return [(0, answer[:at]), (4, answer[at:])]

    def twice(self, request, answer, n):
        return answer + answer

    def unasked(self, request, answer, n):
        """Into a silence: once that unit is asked, its frame is an answer for all anybody can tell."""
        self.given.add(n)
        other = modbus.rtu(answer[0] ^ 1, answer[1:-2])
        return [(0, answer), (12, lambda: other if self.asked == n else b"")]


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
FAULTS_OF_TIME = ["late", "late_and_then_silent"]


class PtyLine:
    """The units at the far end of a tty."""

    def __init__(self, path, answer) -> None:
        self._answer = answer
        self._held = b""
        self._line = Line(path, self._read)
        self._tasks: set[asyncio.Task] = set()
        self.close = self._line.close

    def _read(self, data: bytes) -> None:
        self._held += data
        while len(self._held) >= 8:
            request, self._held = self._held[:8], self._held[8:]
            task = asyncio.get_running_loop().create_task(self._say(self._answer(request)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say(self, pieces: list[tuple]) -> None:
        for after_ms, data in pieces:
            if after_ms:
                await asyncio.sleep(after_ms / 1000)
            self._line.write(data() if callable(data) else data)


class SteppedLine:
    """The units in virtual time: a peer of the device. A piece is there at once, as from a tty."""

    def __init__(self, world: Stepped, answer, baud: int = 9600) -> None:
        self._world, self._answer = world, answer
        self._byte_us = 10 * SECOND // baud

    def opened(self, port) -> bool:
        return True

    def received(self, port, data: bytes) -> None:
        at_us = self._world.now_us + len(data) * self._byte_us
        for after_ms, piece in self._answer(data):
            at_us += 1000 * after_ms
            self._world.at(at_us, lambda piece=piece: port.send(piece() if callable(piece) else piece))

    def closed(self, port) -> None:
        pass

    def flashed(self) -> None:
        pass


class Bench:
    """A device with such a line in virtual time. rows: (channel, bits, quality) as they came."""

    def __init__(self, tmp_path, units: list[dict], answer, prelude: str = "") -> None:
        self.rows: list[tuple] = []
        self.world = Stepped(interpreter(), directory(tmp_path, units), "512k", prelude=prelude)
        self.gateway = GatewayEnd(self.world, DEVICE, KEY, T, on_message=self._take)
        self.world.peers |= {"bus": SteppedLine(self.world, answer), "link": self.gateway}

    def _take(self, message) -> None:
        if isinstance(message, messages.Readings):
            self.rows += [(channel, bits, why) for channel, _, bits, why, _ in message.rows]

    def run_until(self, condition, what: str) -> dict:
        """The device's last line, after it was stopped."""
        try:
            self.world.start().run_until(condition, what)
            last = self.world.stop()
        finally:
            self.world.close()
        assert self.world.crashes == [] and last["final"]
        assert self.gateway.missing() == self.gateway.doubled == 0
        return last

    def of(self, channel: int) -> list[tuple]:
        return [row[1:] for row in self.rows if row[0] == channel]


def _good(rows, units: BadUnits, channels: dict[int, tuple[int, int]]) -> int:
    """How many of (channel, bits, quality) have a number, each of which is right."""
    good = 0
    for channel, raw, why in rows:
        if why == quality.OK:
            number, address = channels[channel]
            assert (raw >> 24, raw >> 16 & 0xFF) == (number, address), f"channel {channel} shows {raw:08x}"
            assert raw & 0xFFFF in units.given, (
                f"channel {channel} took {raw:08x}, which was no answer in good order"
            )
            good += 1
        else:
            assert raw is None and why in (quality.TIMEOUT, quality.BAD_REPLY)
    return good


def _every_fault(tmp_path, seed: int, prelude: str = "") -> None:
    bad = BadUnits(FAULTS, seed)
    # unit 2 is read in two requests of the same shape, the case in which a late answer could pass
    two = [{"function": 3, "address": 0, "count": 4}, {"function": 3, "address": 16, "count": 4}]
    units = [
        unit(2, [value(0, 0), {**value(1, 2), "read": 1}], reads=two, timeout_ms=TIMEOUT_MS, poll_ms=150),
        unit(3, [value(2, 0)], count=4, timeout_ms=TIMEOUT_MS, poll_ms=100),
        unit(4, [value(3, 6)], count=8, timeout_ms=TIMEOUT_MS, poll_ms=100),
    ]
    bench = Bench(tmp_path, units, bad.answer, prelude)
    last = bench.run_until(
        lambda: min(bad.hurt.values()) >= 8 and len(bench.rows) > 800, "every fault eight times"
    )
    good = _good(bench.rows, bad, {0: (2, 0), 1: (2, 18), 2: (3, 0), 3: (4, 6)})
    assert good > 100
    assert last["bad_replies"] > 50 and last["timeouts"] > 5
    assert last["echoes"] >= 16 and last["strays"] >= 8 and last["noise_bytes"] > 300


@pytest.mark.parametrize("seed", range(3))
def test_no_wrong_reading_whatever_the_line_does(tmp_path, seed):
    _every_fault(tmp_path, seed)


BROKEN = {
    "asks again at once": "from firmware.poller import Poller\nPoller._rested = lambda self, unit: True",
    "takes any unit's answer": """
from protocol import modbus
parse = modbus.parse_rtu
modbus.parse_rtu = lambda answer, unit, pdu: parse(answer, answer[0], pdu)
""",
}


@pytest.mark.parametrize("how", BROKEN)
def test_control_a_device_that_is_not_careful_shows_a_wrong_reading(tmp_path, how):
    with pytest.raises(AssertionError, match=r"channel \d (shows|took)"):
        _every_fault(tmp_path, 0, BROKEN[how])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_wrong_reading_through_a_tty(tmp_path, runtime):
    """Requests of one shape to each unit, and no unit whose name another one's fault takes: so no answer can
    pass for another that this machine was too busy to bring in time.
    """

    async def main():
        gateway = Gateway()
        link = await open_link("tcp", gateway, tmp_path)
        bad = BadUnits([name for name in FAULTS if name not in FAULTS_OF_TIME], seed=7)
        line = PtyLine(tmp_path / "bus", bad.answer)
        units = [
            unit(number, [value(channel, at)], timeout_ms=TIMEOUT_MS, poll_ms=poll_ms)
            for channel, (number, at, poll_ms) in enumerate([(2, 0, 150), (4, 2, 100), (6, 6, 100)])
        ]
        device = await Device(runtime, station(tmp_path, link.settings, units)).start()

        def rows() -> list[tuple]:
            return [row[2:] for row in gateway.rows()]

        def all_of_it() -> bool:
            told = device.last
            return (
                min(bad.hurt.values()) >= 3
                and sum(why == quality.OK for _, _, why in rows()) > 50
                and bool(told)
                and (told["bad_replies"] > 20 and told["timeouts"] > 2)
                and (told["echoes"] >= 6 and told["strays"] >= 3 and told["noise_bytes"] > 100)
            )

        await until(all_of_it, "every fault three times, and all that the device counts")
        await device.stop()
        await link.close()
        line.close()
        gateway.complete()
        assert _good(rows(), bad, {0: (2, 0), 1: (4, 2), 2: (6, 6)}) > 50

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
    bad = BadUnits([fault], seed=1, share=1.0, units=(2,))
    units = [
        unit(2, [value(0, 0)], timeout_ms=TIMEOUT_MS, poll_ms=150),
        unit(8, [value(1, 0)], timeout_ms=TIMEOUT_MS, poll_ms=150),
    ]
    bench = Bench(tmp_path, units, bad.answer)
    bench.run_until(lambda: min(len(bench.of(0)), len(bench.of(1))) > 12, "12 polls of each")
    assert {why for _, why in bench.of(0)} == {quality.BAD_REPLY}
    assert {why for _, why in bench.of(1)} == {quality.OK}
    _good(bench.rows, bad, {0: (2, 0), 1: (8, 0)})


class EchoingUnits:
    """Behind an adapter that hears itself: every request comes back, then the unit's answer.

    Reads of four registers give 25.0.
    """

    def __init__(self, in_pieces: bool) -> None:
        self.started = 0
        self._in_pieces = in_pieces

    def answer(self, request: bytes) -> list[tuple[int, bytes]]:
        if request[1] in (5, 6, 15, 16):
            self.started += 1
            answer = modbus.rtu(request[0], request[1:6])
        else:
            answer = modbus.rtu(request[0], bytes([request[1], 8, 0x41, 0xC8, 0, 0, 0, 0, 0, 0]))
        whole = request + answer
        return [(0, whole[:7]), (4, whole[7:])] if self._in_pieces else [(0, whole)]


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("function, words", [(16, [31]), (16, [1, 2, 3]), (15, [1, 0, 1])])
def test_a_start_command_behind_an_echoing_adapter(tmp_path, function, words, in_pieces):
    echoing = EchoingUnits(in_pieces)
    start = [{"function": function, "address": 1, "words": words, "wait_ms": 10}]
    units = [unit(2, [value(0, 0)], count=4, start=start, timeout_ms=200, poll_ms=300)]
    bench = Bench(tmp_path, units, echoing.answer)
    last = bench.run_until(lambda: len(bench.rows) > 8, "eight polls")
    assert {row[1:] for row in bench.rows} == {(0x41C80000, quality.OK)}
    assert echoing.started >= 8 and last["bad_replies"] == 0
    assert last["echoes"] >= 16 and last["strays"] == 0
