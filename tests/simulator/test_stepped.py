"""Virtual time: the controller, the line, the link, and the board of the firmware that lives in it."""

from __future__ import annotations

import pytest

from protocol import messages, modbus, modbus_requests
from simulator.stepped import HOUR, SECOND, Died, Port, Stepped
from simulator.stepped_line import BAD_BUS, RtuLine, number_bits, origin
from simulator.stepped_link import GatewayEnd
from tests.firmware.bench import DEVICE, KEY, T
from tests.firmware.stepped_rig import Rig, directory, quantities
from tests.protocol.test_runtimes import ROOT, interpreter

BOARD = """
import asyncio, json, sys
from firmware.boards import stepped
board = stepped.Board(sys.argv[1], sys.argv[2:])
def tell(**what):
    board.report(json.dumps(what))
"""


def script(tmp_path, text: str, **more) -> tuple[Stepped, list[dict]]:
    """A device that runs this instead of the firmware; what it reports."""
    world = Stepped(interpreter(), tmp_path, "256k", prelude=BOARD + text + "\nsys.exit(0)\n", **more)
    told: list[dict] = []
    world.on_report = told.append
    return world, told


class Echo:
    """A peer that says what it hears, a second later."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.open = 0
        self.flashes = 0

    def opened(self, port: Port) -> bool:
        self.open += 1
        return True

    def received(self, port: Port, data: bytes) -> None:
        self.heard.append((port.world.now_us, data))
        port.world.after(SECOND, lambda: port.send(data))

    def closed(self, port: Port) -> None:
        self.open -= 1

    def flashed(self) -> None:
        self.flashes += 1


def test_time_passes_only_by_waiting(tmp_path):
    world, told = script(tmp_path, """
async def nap(ms):
    await board.sleep_ms(ms)
async def main():
    a = board.ticks_ms()
    await board.sleep_ms(3600000)
    n = sum(range(10000))
    tell(slept=board.ticks_diff(board.ticks_ms(), a), station=board.station_ticks())
    try:
        await asyncio.wait_for_ms(asyncio.Event().wait(), 250)
    except asyncio.TimeoutError:
        tell(timeout=board.station_ticks())
    await asyncio.gather(nap(30), nap(20))
    tell(both=board.station_ticks())
asyncio.run(main())
""")  # fmt: skip
    world.start().run(2 * HOUR)
    assert told == [{"slept": 3600000, "station": 3600000}, {"timeout": 3600250}, {"both": 3600280}]
    assert world.ended and world.now_us == 3600280_000


def test_ticks_wrap_and_their_differences_do_not(tmp_path):
    world, told = script(tmp_path, """
async def main():
    a = board.ticks_ms()
    for _ in range(40):
        await board.sleep_ms(60000)
    b = board.ticks_ms()
    tell(wrapped=b < a, passed=board.ticks_diff(b, a))
asyncio.run(main())
""")  # fmt: skip
    world.start().run(HOUR)
    assert told == [{"wrapped": True, "passed": 40 * 60000}]


def test_streams_carry_bytes_both_ways_and_break(tmp_path):
    world, told = script(tmp_path, """
async def main():
    stream = await board.open_rtu({"path": "echo", "baud": 9600})
    began = board.station_ticks()
    await stream.write(b"12345678")
    tell(sent=board.station_ticks() - began)
    tell(early=(await stream.read(100, 500)).decode(), at=board.station_ticks() - began)
    tell(heard=(await stream.read(5, 600)).decode(), rest=stream.read_now().decode())
    try:
        await stream.read(1)
    except OSError:
        tell(broke=board.station_ticks())
    stream.close()
    try:
        await board.open_tcp("10.0.0.1", 502)
    except OSError as error:
        tell(refused=error.errno)
asyncio.run(main())
""")  # fmt: skip
    echo = Echo()
    world.peers["echo"] = echo
    world.at(60 * SECOND, lambda: world._ports[1].hang_up())
    world.start().run(HOUR)
    assert told == [
        {"sent": 8},  # 8 x 10 bits at 9,600 baud
        {"early": "", "at": 508},
        {"heard": "12345", "rest": "678"},
        {"broke": 60000},
        {"refused": 111},
    ]
    assert echo.heard == [(0, b"12345678")] and echo.open == 0


def test_a_cancelled_reader_does_not_come_back(tmp_path):
    world, told = script(tmp_path, """
async def reader(stream, timeout_ms):
    try:
        tell(got=(await stream.read(9, timeout_ms)).decode())
    except asyncio.CancelledError:
        tell(cancelled=timeout_ms)
        raise
async def main():
    stream = await board.open_rtu({"path": "echo", "baud": 9600})
    for timeout_ms in (None, 5000):
        task = asyncio.create_task(reader(stream, timeout_ms))
        await board.sleep_ms(10)
        task.cancel()
    await stream.write(b"x")
    await board.sleep_ms(3000)
    tell(left=stream.read_now().decode())
asyncio.run(main())
""")  # fmt: skip
    world.peers["echo"] = Echo()
    world.start().run(HOUR)
    assert told == [{"cancelled": None}, {"cancelled": 5000}, {"left": "x"}]


def test_pins_clock_console_and_files(tmp_path):
    world, told = script(tmp_path, """
async def main():
    door, pulses = board.input(5, "up"), board.counter("p1")
    relay = board.output(7, 0)
    tell(door=door(), pulses=pulses(), uv=board.adc_uv(26), rtc=board.rtc())
    await board.sleep_ms(2000)
    relay(True)
    tell(door=door(), pulses=pulses(), uv=board.adc_uv(26), line=await board.command())
    board.files.replace("note", b"kept")
    board.set_rtc(1760000000000)
    await board.sleep_ms(1000)
    tell(rtc=board.rtc(), reason=board.reset_reason, none=await board.command())
    board.reset("as asked")
if board.reset_reason == "as asked":
    note = board.files.read("note").decode()
    tell(rtc=board.rtc(), note=note, why=board.reset_reason, pulses=board.counter("p1")())
else:
    asyncio.run(main())
""", rtc_ms=5000)  # fmt: skip

    def act() -> None:
        world.pin(5, 0)
        world.pin("p1", 42)
        world.pin(26, 1_000_000)
        world.say("hello")

    world.at(SECOND, act)
    world.at(9 * SECOND, lambda: world.post(b"c"))
    world.start().run(HOUR)
    assert told == [
        {"door": 1, "pulses": 0, "uv": 0, "rtc": 5000},
        {"door": 0, "pulses": 42, "uv": 1_000_000, "line": "hello"},
        {"rtc": 1760000001000, "reason": "power", "none": None},
        {"rtc": 1760000007000, "note": "kept", "why": "as asked", "pulses": 42},
    ]
    assert world.outputs == {"7": 0} and world.resets == ["as asked"] and world.flash_writes >= 2


def test_a_watchdog_that_is_not_fed_bites_at_its_time(tmp_path):
    world, told = script(tmp_path, """
async def main():
    board.watchdog(8000)
    for _ in range(5):
        await board.sleep_ms(7000)
        board.feed()
    await board.sleep_ms(100000)
if board.reset_reason == "watchdog":
    tell(at=board.us)
else:
    asyncio.run(main())
""")  # fmt: skip
    world.start().run(HOUR)
    assert told == [{"at": 43 * SECOND}] and world.bites == 1 and world.starts == 2


def test_a_device_that_dies_says_how(tmp_path):
    world, _ = script(tmp_path, "raise ValueError('broken on purpose')")
    with pytest.raises(Died, match="broken on purpose"):
        world.start().run(SECOND)
    world.close()


def test_a_loop_without_waiting_lets_time_pass(tmp_path):
    world, told = script(tmp_path, """
async def main():
    n = 0
    while board.station_ticks() < 3:
        await board.sleep_ms(0)
        n += 1
    a = board.ticks_us()
    while board.ticks_diff(board.ticks_us(), a) < 500:
        pass
    tell(turns=n)
asyncio.run(main())
""")  # fmt: skip
    world.start().run(SECOND)
    assert 2900 < told[0]["turns"] <= 3000


# ---- the line


class Listener:
    """A device's end of a line without a device: (us, bytes) as they come."""

    def __init__(self, tmp_path, **more) -> None:
        self.world = Stepped("none", tmp_path)
        self.line = RtuLine(self.world, (1, 2), 9600, **more)
        self.heard: list[tuple[int, bytes]] = []
        port = Port(self.world, 1, self.line)
        port.send = lambda data: self.heard.append((self.world.now_us, data))
        self.line.opened(port)
        self._port = port

    def ask(self, us: int, unit: int, count: int = 2, address: int = 0) -> None:
        request = modbus.rtu(unit, modbus_requests.read_pdu(3, address, count))
        self.world.at(us, lambda: self.line.received(self._port, request))


def test_bits_and_silences_take_their_time(tmp_path):
    end = Listener(tmp_path)
    end.ask(SECOND, 2)
    end.world.run(2 * SECOND)
    byte_us = 10_000_000 / 9600
    ((at, answer),) = end.heard
    assert at == round(SECOND + 8 * byte_us + 4011 + 9 * byte_us)
    words = modbus.parse_rtu(answer, 2, modbus_requests.read_pdu(3, 0, 2))
    assert words[0] << 16 | words[1] == number_bits(2, 0, 1) and origin(number_bits(2, 6, 77)) == (2, 6, 77)
    assert end.line.transaction_us(8, 9) == pytest.approx(17 * byte_us + 2 * 4011)


def test_a_request_within_the_silence_or_into_an_answer_is_none(tmp_path):
    end = Listener(tmp_path, piece=1)
    end.ask(SECOND, 1)
    end.ask(SECOND + 15_000, 2)  # while unit 1 sends
    end.ask(2 * SECOND, 9)  # nobody
    end.ask(2 * SECOND + 10_000, 1)  # 1.7 ms after the end of the one before
    end.ask(3 * SECOND, 2)
    end.world.run(4 * SECOND)
    line = end.line
    assert (line.requests, line.good, line.collisions, line.too_soon, line.unanswered) == (3, 2, 1, 1, 1)
    assert len(end.heard) == 18


def test_every_kind_of_misbehaviour_happens_and_none_counts_as_good(tmp_path):
    end = Listener(tmp_path, chances=dict.fromkeys(BAD_BUS, 1 / len(BAD_BUS)), seed=3)
    for n in range(300):
        end.ask((n + 1) * 2 * SECOND, 1)
    end.world.run(700 * SECOND)
    assert all(end.line.hurt.values()) and end.line.good == 0 and len(end.heard) > 200
    right = [modbus.rtu(1, bytes([3, 4]) + number_bits(1, 0, n).to_bytes(4, "big")) for n in range(301)]
    late = [data for _, data in end.heard if data in right]
    assert len(late) == end.line.hurt["late"] + end.line.hurt["noise_then_late"]


def test_flash_that_is_written_into_an_answer_is_seen(tmp_path):
    end = Listener(tmp_path)
    end.ask(SECOND, 1)
    end.world.at(SECOND - 10, end.line.flashed)
    end.world.at(SECOND + 15_000, end.line.flashed)
    end.world.at(SECOND + 30_000, end.line.flashed)
    end.world.run(2 * SECOND)
    assert end.line.flash_hits == 1


# ---- the whole firmware in it


def run_twice(tmp_path, name: str) -> tuple:
    folder = tmp_path / name
    folder.mkdir()
    with Rig(folder, ROOT, "512k", seed=9, chances=BAD_BUS) as rig:
        rig.flap((5, 60), (30, 120))
        rig.world.run(15 * 60 * SECOND)
        return rig.line.requests, rig.line.good, rig.line.hurt, rig.gateway.records, rig.downs


def test_the_same_seed_gives_the_same_run(tmp_path):
    first = run_twice(tmp_path, "a")
    assert first == run_twice(tmp_path, "b")
    assert first[0] > 300 and first[4] > 3


def test_power_cuts_between_any_two_moments_give_new_boots_and_no_number_twice(tmp_path):
    with Rig(tmp_path, ROOT, "512k", seed=2, poll_ms=1000) as rig:
        for n in range(8):
            rig.world.run((n + 1) * 20 * SECOND + rig.random.randrange(SECOND))
            rig.world.restart()
        rig.world.run(rig.world.now_us + 20 * SECOND)
        rig.drained()
        boots = sorted(rig.gateway.held)
        assert len(boots) >= 8 and rig.world.starts == 9
        assert rig.wrong == [] and rig.twice == 0 and rig.gateway.doubled == 0
        assert rig.world.crashes == []


@pytest.mark.parametrize("state", ["cut", "gone", "paused"])
def test_a_link_that_is_away_for_a_minute_loses_nothing(tmp_path, state):
    with Rig(tmp_path, ROOT, "512k", seed=3, poll_ms=1000) as rig:
        rig.world.run(30 * SECOND)
        rig.gateway.set_state(state)
        before = rig.gateway.records
        rig.world.run(90 * SECOND)
        assert rig.gateway.records <= before + 12
        last = rig.drained()
        assert last["emitted"] == rig.gateway.records and last["discarded"] == 0
        assert rig.gateway.missing() == rig.gateway.doubled == rig.unseen() == 0


def test_times_that_are_not_trusted_place_nothing(tmp_path):
    world = Stepped(interpreter(), directory(tmp_path, quantities(1000)), "512k")
    clocks: set[int] = set()
    gateway = GatewayEnd(world, DEVICE, KEY, T, on_message=lambda message: clocks.add(message.clock))
    gateway.trusted = False
    world.peers |= {"bus": RtuLine(world, (1, 2, 3, 4)), "link": gateway}
    world.start().run(30 * SECOND)
    assert clocks == {0} and gateway.records > 100
    gateway.trusted = True
    world.run(90 * SECOND)
    world.close()
    assert clocks == {0, 1}
    assert all(isinstance(event, messages.Event) for event in gateway.events)
