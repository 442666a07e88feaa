"""How much of an RS-485 line the firmware uses, in virtual time: transactions against what physics allows.

Physics: request, 3.5 characters of silence (1.75 ms above 19,200 baud), answer, the same silence again. Eight
units, of which one is dead; every other one is asked again as soon as the line is free. The device's own
computing costs nothing here: `quantrac bench bus` measures in real time.
"""

from __future__ import annotations

import pytest

from simulator.stepped import SECOND, Stepped
from simulator.stepped_line import RtuLine
from simulator.stepped_link import GatewayEnd
from tests.firmware.bench import DEVICE, KEY, T, unit, value
from tests.firmware.stepped_rig import compiled, directory
from tests.protocol.test_runtimes import interpreter

UNITS, DEAD = tuple(range(1, 9)), 8
REGISTERS = 10
TIMEOUT_MS = 500
POLL_MS = {9600: 200, 19200: 100, 115200: 30}  # more often than the line can serve seven units
SETTLE_S = 70  # by then a dead unit is asked once a minute
MEASURE_S = 60
SHARE_MIN = 0.9


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("bytecode"))


def measure(tmp_path, code, baud: int, prelude: str = "", settle_s=SETTLE_S, measure_s=MEASURE_S) -> dict:
    units = [
        unit(
            u,
            [value(u - 1, 0)],
            count=REGISTERS,
            poll_ms=1000 if u == DEAD else POLL_MS[baud],
            timeout_ms=TIMEOUT_MS,
        )
        for u in UNITS
    ]
    world = Stepped(interpreter(), directory(tmp_path, units, baud), "256k", code, prelude=prelude)
    line = RtuLine(world, UNITS, baud)
    line.dead = {DEAD}
    world.peers |= {"bus": line, "link": GatewayEnd(world, DEVICE, KEY, T, baud=921600)}
    try:
        world.start()
        world.run(settle_s * SECOND)
        good, busy_us, asked_dead = line.good, line.busy_us, line.asked[DEAD]
        world.run((settle_s + measure_s) * SECOND)
    finally:
        world.close()
    assert world.last["discarded"] == 0
    limit = 1_000_000 / line.transaction_us(8, 5 + 2 * REGISTERS)
    return {
        "baud": baud,
        "per_s": (line.good - good) / measure_s,
        "limit_per_s": limit,
        "share": (line.busy_us - busy_us) / (measure_s * SECOND),
        "dead_asked_per_min": (line.asked[DEAD] - asked_dead) / (measure_s / 60),
        "too_soon": line.too_soon,
        "collisions": line.collisions,
        "bad": world.last["bad_replies"],
    }


@pytest.mark.parametrize("baud", POLL_MS)
def test_nine_tenths_of_what_physics_allows(tmp_path, code, baud):
    found = measure(tmp_path, code, baud)
    print("\n{baud:>6} baud: {per_s:6.2f}/s of {limit_per_s:6.2f}, {share:.1%};"
          " dead unit asked {dead_asked_per_min:.1f} times a minute".format(**found))  # fmt: skip
    assert found["share"] >= SHARE_MIN, found
    assert found["dead_asked_per_min"] <= 1, found
    assert found["too_soon"] == found["collisions"] == found["bad"] == 0, found


SLOW = """
from firmware import bus
collect = bus.RtuLine._collect
async def slow(self, *arguments):
    answer = await collect(self, *arguments)
    await self._board.sleep_ms(2)
    return answer
bus.RtuLine._collect = slow
"""

HASTY = """
from firmware import bus
from protocol import modbus
modbus.silence_us = lambda baud: 100
"""

NEVER_LOST = """
from firmware import poller
finish = poller.Poller._finish
def hopeful(self, entry):
    finish(self, entry)
    entry.unit.dead = 0
    entry.unit.lost = False
poller.Poller._finish = hopeful
"""


def test_control_two_milliseconds_too_many_are_seen(tmp_path, code):
    assert measure(tmp_path, code, 115200, SLOW, 10, 10)["share"] < SHARE_MIN


def test_control_a_silence_that_is_too_short_is_seen(tmp_path, code):
    assert measure(tmp_path, code, 9600, HASTY, 5, 5)["too_soon"] > 0


def test_control_a_dead_unit_that_is_asked_like_the_others_is_seen(tmp_path, code):
    found = measure(tmp_path, code, 9600, NEVER_LOST, 5, 30)
    assert found["dead_asked_per_min"] > 1 and found["share"] < SHARE_MIN
