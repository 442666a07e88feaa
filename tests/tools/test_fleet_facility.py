"""tools/fleet/facility.py and ledger.py: many devices at one real gateway, and a count that can fail."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from gateway.journal.journal import Journal
from gateway.journal.kinds import FRAME
from gateway.journal.writer import CROWD_FRAMES
from simulator.fleet import Fleet
from tests.gateway.intake_rig import KEY, Rig, until
from tools.fleet import facility
from tools.fleet.facility import FacilityOptions, free_ports, run_facility
from tools.fleet.ledger import Ledger, count
from tools.people import Failure

SMALL = FacilityOptions(stations=10, channels=4, interval_s=0.5, seconds=8)


def test_ten_devices_at_a_real_gateway():
    result = run_facility(SMALL)
    ledger = result["ledger"]
    assert result["holds"] and result["complete"] and result["links"] == 10 and result["restarts"] == 0
    assert ledger["attempts"] == ledger["acknowledged"] == ledger["ok"] > 10 * 4 * 8
    assert ledger["lost"] == ledger["unexpected"] == ledger["duplicated"] == ledger["recovered"] == 0
    assert result["cpu_seconds"] > 0 and 20 < result["rss_mib"] <= result["peak_mib"]
    assert 0 < result["delays"]["frame_p50_ms"] <= result["delays"]["reading_max_ms"]
    assert [aim["holds"] for aim in result["aims"]] == [
        aim["value"] <= aim["at_most"] for aim in result["aims"]
    ]


def test_control_a_gateway_that_acknowledges_and_does_not_store_is_found():
    result = run_facility(FacilityOptions(5, 4, 0.5, 6, module="tests.tools.forgetful_gateway"))
    ledger = result["ledger"]
    assert not result["holds"] and ledger["acknowledged"] > ledger["ok"]
    assert ledger["lost"] == ledger["acknowledged"] - ledger["ok"] > 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(journal, devices) of a real intake and one device."""
    path = tmp_path_factory.mktemp("kept") / "journal.db"

    async def main():
        async with Rig(path) as rig:
            fleet = Fleet([("st-01", KEY, rig.port())], 4, 20, 40)
            fleet.start()
            await until(lambda: fleet.emitted >= 40)
            finished = asyncio.create_task(fleet.finish())
            while not finished.done():
                await rig.settle()
                await asyncio.sleep(0.02)
            assert await finished
            fleet.stop()
            return fleet

    return path, asyncio.run(main()).devices


def test_what_is_kept_is_counted_once(kept):
    path, devices = kept
    emitted = devices[0].emitted
    assert count(path, devices, [KEY]) == Ledger(emitted, emitted, emitted)


COLUMNS = "kind, source, boot, first_seq, last_seq, arrived_ms, mono_ms, first_ms, last_ms, body, leaf"
DAMAGE = {
    "doubled": f"INSERT INTO entry (idx, {COLUMNS}) SELECT 1000000, {COLUMNS} FROM entry WHERE idx = ?",
    "taken away": "DELETE FROM entry WHERE idx = ?",
    "changed": "UPDATE entry SET body = CAST(substr(body, 1, 40) || x'00' AS BLOB) WHERE idx = ?",
    "another's": "UPDATE entry SET source = (SELECT id FROM source WHERE name = 'gateway') WHERE idx = ?",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_control_what_is_not_as_it_was_sent_is_counted(kept, tmp_path, what):
    path, devices = kept
    damaged = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path)) as journal, sqlite3.connect(damaged) as copy:
        journal.backup(copy)
    copy.close()
    with sqlite3.connect(damaged) as journal:
        idx, first, last = journal.execute(
            "SELECT idx, first_seq, last_seq FROM entry WHERE kind = ? LIMIT 1 OFFSET 1", (FRAME,)
        ).fetchone()
        for (trigger,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            journal.execute(f"DROP TRIGGER {trigger}")
        journal.execute(DAMAGE[what], (idx,))
    journal.close()
    found, rows = count(damaged, devices, [KEY]), last + 1 - first
    assert not found.holds
    assert found.duplicated == (rows if what == "doubled" else 0)
    assert found.lost == (0 if what == "doubled" else rows)
    assert found.unexpected == (1 if what in ("changed", "another's") else 0)


def test_control_values_that_nobody_measured_are_unexpected(kept):
    path, devices = kept
    devices[0].number, before = 7, devices[0].number
    try:
        found = count(path, devices, [KEY])
    finally:
        devices[0].number = before
    assert found.unexpected == devices[0].emitted and found.ok == 0 and not found.holds


def test_readings_beyond_what_was_acknowledged_are_recovered(kept):
    path, devices = kept
    told = devices[0].acknowledged
    devices[0].acknowledged = told - 4
    try:
        found = count(path, devices, [KEY])
    finally:
        devices[0].acknowledged = told
    assert found.recovered == 4 and found.lost == 0 and found.holds


def test_frames_of_many_devices_wait_for_nobody(tmp_path):
    """What the facility's two seconds rest on: writer.CROWD_FRAMES."""

    async def main():
        names = [f"device/st-{n:03}" for n in range(CROWD_FRAMES)]
        journal = Journal(tmp_path / "journal.db")
        journal.open(["gateway", *names])
        journal.start()
        for n, name in enumerate(names):
            assert journal.commits == 0, "a few have patience"
            entry = (FRAME, journal.source(name), 1, 1, 10, 1000, 5, None, None, b"frame of %d" % n)
            journal.submit([entry], patience_s=600)
            if n == CROWD_FRAMES - 2:
                await asyncio.sleep(0.3)
        await until(lambda: journal.commits == 1)
        await journal.close()

    asyncio.run(main())


def test_a_gateway_that_does_not_start_is_a_failure_with_its_words():
    with pytest.raises(Failure, match="did not start"):
        run_facility(FacilityOptions(2, seconds=1, module="tests.tools.no_such_module"))


def test_a_device_that_finds_no_gateway_is_a_failure(monkeypatch):
    monkeypatch.setattr(facility, "LINKED_S_MAX", 5.0)
    monkeypatch.setattr(facility.Fleet, "start", lambda self: None)
    with pytest.raises(Failure, match="2 of 2 devices found no gateway"):
        run_facility(FacilityOptions(2, seconds=1))


def test_ports_are_different_and_free(monkeypatch):
    assert len(set(free_ports(50))) == 50
    monkeypatch.setattr(facility, "PORTS", range(11_000, 11_002))
    with pytest.raises(Failure, match="no 50 free ports"):
        free_ports(50)
