"""How long readings wait for company on their way to the disk, and who does not wait: gateway and firmware
agree.
"""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest

from firmware import station, store, uplink
from gateway.ingest import intake as intakes
from gateway.ingest.devices import DeviceIngest
from gateway.ingest.intake import Intake
from gateway.journal import database, writer
from gateway.journal.journal import Journal
from gateway.windows import Channel, Settings
from protocol.messages import DOOR, Event, Seal
from protocol.reading import float_bits
from protocol.session import DeviceSession
from simulator import device_load
from tests.gateway.intake_rig import KEY, START, Rig, channels, hello, readings, until, wire
from tools.station import wiring

WAIT_S = 0.3


def _feed(intake: Intake, *messages) -> None:
    for message in messages:
        intake.feed(intake.devices["st-01"], wire(message), lambda: None)


async def _fed(rig: Rig, *messages) -> int:
    """Feed these when all else is written; the number of transactions before them."""
    await rig.journal.commit()
    commits = rig.journal.commits
    _feed(rig.intake, *messages)
    return commits


def _event(seq: int) -> Event:
    return Event(1, seq, START, 1, DOOR, "open")


def _with_rig(path: Path, use) -> None:
    async def main():
        async with Rig(path / "journal.db") as rig:
            await _fed(rig, hello())
            await use(rig)

    asyncio.run(main())


@pytest.fixture
def endless(monkeypatch):
    """Whoever waits does so until somebody takes it along."""
    monkeypatch.setattr(intakes, "FRAME_PATIENCE_S", 600.0)
    monkeypatch.setattr(intakes, "POLL_PATIENCE_S", 600.0)


def test_readings_and_seals_wait_and_an_event_takes_them_along_at_once(tmp_path, endless):
    async def use(rig: Rig):
        seal = Seal(1, 41, START, 1, 1, 1, bytes(32), bytes(32))
        commits = await _fed(rig, readings(1, 1, 40), seal)
        await asyncio.sleep(WAIT_S)
        assert rig.journal.commits == commits
        _feed(rig.intake, _event(42))
        await until(lambda: rig.intake.devices["st-01"].session.durable == (1, 42))
        assert rig.journal.commits == commits + 1

    _with_rig(tmp_path, use)


def test_control_an_event_that_is_not_urgent_would_wait(tmp_path, endless, monkeypatch):
    monkeypatch.setattr(DeviceIngest, "urgent", property(lambda _: False, lambda *_: None), raising=False)

    async def use(rig: Rig):
        commits = await _fed(rig, _event(1))
        await asyncio.sleep(WAIT_S)
        assert rig.journal.commits == commits

    _with_rig(tmp_path, use)


def test_who_waits_how_long_in_station_time(tmp_path):
    """At thirty times the speed a thirtieth: windows close in time there as well. A bus's first answers go at
    once: people wait for them after a start.
    """
    asked: list[float] = []

    class Listening(Journal):
        def submit(self, *arguments, patience_s=0.0, **work):
            asked.append(patience_s)
            return super().submit(*arguments, patience_s=patience_s, **work)

    async def main():
        journal = Listening(tmp_path / "journal.db", database.connect)
        flow = Channel("Flow", "m3/h", "bus/tank", "Flow", 1000)
        rig = Rig(tmp_path / "unused.db")
        intake = Intake(
            journal, [*channels("st-01"), flow], Settings(), {"st-01": KEY}, rig.moment,
            real_s=lambda station_s: station_s / 30,
        )  # fmt: skip
        intake.open()
        journal.start()
        await intake.begin()
        asked.clear()
        for message in (hello(), readings(1, 1), _event(11), readings(1, 12)):
            _feed(intake, message)
        for turn in range(2):
            intake.poll("tank", [(len(channels("st-01")), START + turn, float_bits(1.0), 0)])
        await journal.close()

    asyncio.run(main())
    assert asked == [0.0, 5.0 / 30, 0.0, 5.0 / 30, 0.0, 2.0 / 30]


def test_the_device_waits_longer_than_the_gateway_collects():
    """Or it would repeat itself, or wear its flash, while all is well."""
    patience_ms = intakes.FRAME_PATIENCE_S * 1000
    slack_ms = 1000  # of a slow line, a slow disk
    ack_timeout_ms = inspect.signature(DeviceSession).parameters["ack_timeout_ms"].default
    assert patience_ms + slack_ms <= ack_timeout_ms
    assert uplink.HOLD_MS + patience_ms + slack_ms <= store.SILENT_MS < store.AGE_MS
    # All that a crowd waits for, the frame that completes it, and a second of twenty readings:
    most = writer.CROWD_RECORDS - 1 + store.ROWS_MAX
    assert most + 20 <= station.MEMORY_RECORDS_MIN // 2


def test_the_load_of_the_bench_is_the_firmwares():
    assert (device_load.FULL, device_load.HOLD_MS) == (store.ROWS_MAX, uplink.HOLD_MS)
    assert wiring.HOLD_MS == uplink.HOLD_MS
    assert inspect.signature(DeviceSession).parameters["window_frames"].default == device_load.WINDOW
    assert device_load.ROWS * 1000 / device_load.POLL_MS == 20
