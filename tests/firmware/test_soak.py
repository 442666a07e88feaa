"""Days of a station in virtual time: bad line, flapping link, small heap. Nothing grows, nothing is lost.

QUANTRAC_LONG makes it 72 hours; QUANTRAC_SOAK_HEAP is the heap.
"""

from __future__ import annotations

import os

import pytest

from simulator.stepped import HOUR, SECOND
from simulator.stepped_line import BAD_BUS
from tests.firmware.stepped_rig import Rig, compiled, hourly
from tests.promises.counted import counted

LONG = bool(os.environ.get("QUANTRAC_LONG"))
HOURS = 72 if LONG else 12
HEAP = os.environ.get("QUANTRAC_SOAK_HEAP", "184k")
WARM_HOURS = 2  # lists grow to their usual size, event texts and segments appear
GROWTH_MAX = 1024  # bytes in all, not per hour: tables that are being resized, texts of another length
ROWS_UNDER_WAY = 8 * 24  # frames of the session's window, rows in each
WATCHDOG_MS = 8_388  # the longest that an RP2040 can be set to


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """As on a device."""
    return compiled(tmp_path_factory.mktemp("bytecode"), short_names=True)


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """For those who reach into it."""
    return compiled(tmp_path_factory.mktemp("long_names"))


def grown(heaps) -> int:
    """Bytes by which the heap in use has grown: the least in the last third of the hours and in the first."""
    hours = hourly(heaps)[WARM_HOURS:]
    assert len(hours) >= 3, f"weighed in only {len(hours)} hours"
    third = len(hours) // 3
    return min(hours[-third:]) - min(hours[:third])


def account(rig: Rig, last: dict) -> None:
    """Every record is here or counted as discarded, none doubled, no value that nobody gave."""
    gateway, world = rig.gateway, rig.world
    assert rig.wrong == [] and rig.twice == 0
    assert gateway.doubled == 0
    missing = gateway.missing()
    assert last["emitted"] == gateway.records + missing, last  # the newest one is here
    # What is dropped while its acknowledgement is on the way is counted, and is here all the same.
    assert missing <= last["discarded"] <= missing + ROWS_UNDER_WAY * len(gateway.hellos), (missing, last)
    assert rig.unseen() <= last["discarded"] + rig.summed
    assert world.crashes == [] and last["crashes"] == 0, world.crashes
    assert world.bites == 0 and world.resets == [] and world.starts == 1
    assert world.longest_feed_ms < WATCHDOG_MS and rig.line.flash_hits == 0


@pytest.mark.timeout(3600 if LONG else 300)
def test_days_of_a_station_that_is_treated_badly(tmp_path, code):
    with Rig(tmp_path, code, HEAP, seed=4, chances=BAD_BUS) as rig:
        rig.flap((1, HOURS * 300), (10, HOURS * 300))  # seconds to hours
        rig.watch_heap(5 * 60 * SECOND)
        for hour in range(HOURS):
            rig.line.dead = {1 + hour % 8}  # one unit or none is dead
            rig.world.run((hour + 1) * HOUR)
        last = rig.drained()
        assert grown(rig.world.heaps) <= GROWTH_MAX, hourly(rig.world.heaps)
        account(rig, last)
        assert rig.downs > 20 and all(rig.line.hurt.values())
        assert rig.gateway.readings > 3600 * HOURS * 12 / 10 / 2  # more than half of all came as readings
    counted("hours", HOURS)
    print(f"\n{HOURS} h: {last['emitted']} records, {last['discarded']} discarded, {rig.downs} outages,"
          f" {rig.line.requests} requests, {sum(rig.line.hurt.values())} bad answers,"
          f" heap by hour {hourly(rig.world.heaps)}, {rig.world.cpu_s:.0f} s of CPU")  # fmt: skip


LEAKS = """
from firmware.boards import stepped
_held = []
_report = stepped.Board.report
def report(self, text):
    if self.station_ticks() // 300000 > len(_held):
        _held.append(bytearray(20))
    _report(self, text)
stepped.Board.report = report
"""


def test_control_a_leak_is_seen(tmp_path, long_names):
    """Twenty bytes every five minutes."""
    with Rig(tmp_path, long_names, "256k", poll_ms=60_000, prelude=LEAKS) as rig:
        rig.watch_heap(5 * 60 * SECOND)
        rig.world.run(8 * HOUR)
        assert grown(rig.world.heaps) > GROWTH_MAX


LOSES = """
from firmware import store
_put = store.Store.put
_n = [0]
def put(self, *record):
    _n[0] += 1
    if _n[0] % 500:
        _put(self, *record)
store.Store.put = put
"""


def test_control_a_lost_reading_is_seen(tmp_path, long_names):
    """One in five hundred never gets into the store; not even the firmware knows."""
    with Rig(tmp_path, long_names, "256k", prelude=LOSES) as rig:
        rig.world.run(HOUR)
        last = rig.drained()
        with pytest.raises(AssertionError, match="unseen"):
            account(rig, last)


def test_control_a_doubled_reading_and_a_wrong_one_are_seen(tmp_path, long_names):
    more = "    if _n[0] % 500 == 0:\n        _put(self, *record)\n    if 1:\n"
    twice = LOSES.replace("    if _n[0] % 500:\n", more)
    with Rig(tmp_path, long_names, "256k", prelude=twice) as rig:
        rig.world.run(HOUR // 2)
        rig.drained()
        assert rig.twice > 0 and rig.wrong == []
    (tmp_path / "again").mkdir()
    wrong = LOSES.replace("_put(self, *record)", "_put(self, *record[:2], record[2] ^ 2, *record[3:])")
    with Rig(tmp_path / "again", long_names, "256k", prelude=wrong) as rig:
        rig.world.run(HOUR // 2)
        rig.drained()
        assert rig.wrong
