"""Records of a boot that never greeted are read by the table of its own configuration, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from gateway.ingest import replay, tables
from gateway.ingest.intake import Intake
from gateway.journal.reader import Reader
from gateway.lane import TABLES_MAX, Lane
from gateway.windows import Settings, Windows
from protocol.messages import START, Event, Readings
from protocol.reading import float_bits
from tests.gateway.intake_rig import CHANNELS, INTERVAL_MS, NOW, Rig, channels, hello, wire

ONE = tuple((name, INTERVAL_MS, 0, ()) for name in CHANNELS)
OTHER = tuple(reversed(ONE))  # the same quantities, numbered otherwise
NAMES = {"one": b"\x01" * 8, "other": b"\x02" * 8, "unknown": b"\x03" * 8}


def greeting(boot: int, name: str, store):
    table = ONE if name == "one" else OTHER
    return hello(boot=boot, nonce=boot, store=store, channels=table)._replace(config_hash=NAMES[name])


def brought(name: str) -> list:
    """Boot 6, as it comes from flash: what it was, then 10.0 of channel 0 only."""
    named = f", configuration {NAMES[name].hex()}" if name else ""
    rows = tuple((0, i * 1000, float_bits(10.0), 0, 0) for i in range(20))
    return [
        Event(6, 1, NOW - 60_000, 1, START, "quantrac 0.1.0, power" + named),
        Readings(6, 2, NOW - 60_000, 1, rows),
    ]


def counts(intake: Intake) -> dict[str, int]:
    return {state.channel.quantity: state.open() for state in intake.windows.states if state.open()}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "name, quantity",
    [("one", CHANNELS[0]), ("other", CHANNELS[-1]), ("unknown", None), ("", CHANNELS[0])],
)
def test_a_boot_that_never_greeted(tmp_path, name, quantity, restart):
    """Boot 5 greeted with table one, boot 7 does with the other; boot 6 ran with `name`."""
    path = tmp_path / "journal.db"
    expected = {quantity: 20} if quantity else {}

    async def main():
        async with Rig(path) as rig:
            device = rig.intake.devices["st-01"]

            def feed(message):
                rig.intake.feed(device, wire(message), lambda: None)

            feed(greeting(5, "one", (5, 1)))
            feed(greeting(7, "other", (6, 1)))
            for message in brought(name):
                feed(message)
                if restart and isinstance(message, Event):
                    break
            await rig.journal.commit()
            if not restart:
                assert counts(rig.intake) == expected
                assert device.lane.unrouted == (0 if quantity else 20)
        async with Rig(path) as rig:  # what the journal says
            if restart:
                device = rig.intake.devices["st-01"]
                rig.intake.feed(device, wire(greeting(7, "other", (6, 1))), lambda: None)
                rig.intake.feed(device, wire(brought(name)[1]), lambda: None)
                await rig.journal.commit()
            assert counts(rig.intake) == expected
            start = rig.intake.windows.start_of(NOW - 60_000)
            reader = Reader(path)
            rows = [
                row
                for at in (start, start + 300_000)
                for row in replay.recompute(reader, rig.intake.windows.scratch(at), at)[0]
            ]
            reader.close()
            assert sum(row.count for row in rows) == sum(expected.values())

    asyncio.run(main())


def test_what_is_remembered_is_bounded():
    windows = Windows(channels("st-01"), Settings())
    lane: Lane = windows.lanes["device/st-01"]
    for boot in range(1, 2000):
        greeted = hello(boot=boot)._replace(config_hash=boot.to_bytes(8, "big"))
        tables.greeted(lane, greeted)
        tables.recall(lane, boot + 100_000, bytes(8))
    assert len(lane.configurations) == tables.CONFIGURATIONS_MAX and len(lane.tables) <= TABLES_MAX
    tables.recall(lane, 999_999, (1999).to_bytes(8, "big"))
    assert [row[0] for row in lane.table_of(999_999)] == list(CHANNELS)


@pytest.mark.parametrize("detail", [None, 5, "", "x", ", configuration 00", b", configuration " + b"0" * 16])
def test_what_names_no_configuration(detail):
    assert tables.named(Event(1, 1, 1, 1, START, detail)) is None
