"""Counters balance after a run with faults, and the intake's other half: late data, buses, restarts."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from random import Random

import pytest

from gateway.counters import Counters, LinkCounters
from gateway.errors import JournalError
from gateway.ingest.intake import Intake
from gateway.ingest.polls import encode as encode_poll
from gateway.ingest.polls import parse_configuration
from gateway.journal import writer
from gateway.journal.journal import Journal
from gateway.journal.kinds import CONFIGURATION, EVENT, FRAME, POLL
from gateway.journal.reader import Reader
from gateway.windows import EMPTY_MS, LATE, Channel, Settings, Window
from protocol import cbor, messages
from protocol import quality as q
from protocol.cose import payload_of
from protocol.messages import Readings, decode
from protocol.reading import float_bits
from tests.gateway.intake_rig import (
    CHANNELS,
    INTERVAL_MS,
    KEY,
    NOW,
    START,
    Device,
    Rig,
    channels,
    hello,
    readings,
    wire,
)
from tests.gateway.journal_rig import Disk, io_error

LENGTH = 300_000


def balanced(intake: Intake) -> dict[str, dict[str, int]]:
    """The channels' counters, after checking that they add up."""
    found = intake.count().snapshot()["channels"]
    for symbol, c in found.items():
        assert c["read"] == c["journaled"], symbol
        assert c["read"] == c["windowed"] + c["open"] + c["late"] + c["unplaced"], symbol
    return found


def stored_readings(path) -> dict[str, int]:
    """Readings in the journal by source, counted from the entries themselves."""
    found: dict[str, int] = {}
    reader = Reader(path)
    for entry in reader.entries():
        if entry.kind in (FRAME, POLL):
            message = decode(payload_of(entry.body) if entry.kind == FRAME else entry.body)
            found[entry.source] = found.get(entry.source, 0) + len(message.rows)
    reader.close()
    return found


def test_counters_balance_after_a_run_with_faults(tmp_path, monkeypatch):
    """Disk errors, reconnects, repeats, another device's frames, garbage; and at the end everything adds
    up.
    """
    monkeypatch.setattr(writer, "RETRY_S", (0.01,))
    rng = Random(42)
    path = tmp_path / "journal.db"
    disk = Disk(
        lambda sql, commits: io_error() if sql == "COMMIT" and commits > 3 and rng.random() < 0.2 else None
    )
    total = 6000

    async def main():
        rig = Rig(path, ("st-01", "st-02"), connect=disk, start_grace_s=60.0)
        async with rig:
            ticking = asyncio.create_task(rig.intake.run())
            devices = [Device(total, name, window_frames=16) for name in ("st-01", "st-02")]

            async def vandal():
                while True:
                    for link in rig.links.values():
                        if link.live is not None and rng.random() < 0.2:
                            link.live.transport.abort()
                        elif link.live is not None:
                            noise = rng.choice(
                                [
                                    b"\0garbage\0",
                                    wire(readings(1, 1), device="st-77"),
                                    wire(readings(1, 1), link.device.device),
                                ]
                            )
                            rig.intake.feed(link.device, b"\0" + noise, link.flush_soon)
                    await asyncio.sleep(0.01)

            wild = asyncio.create_task(vandal())
            await asyncio.gather(*(device.run(rig.port(device.device)) for device in devices))
            wild.cancel()
            await asyncio.gather(wild, return_exceptions=True)
            await asyncio.sleep(0.5)
            await rig.settle()
            ticking.cancel()
            found = balanced(rig.intake)
            assert {c["read"] for c in found.values()} == {total // len(CHANNELS)}
            assert all(c["windowed"] > 0 and c["late"] == 0 for c in found.values())
            links = rig.intake.counters.snapshot()["links"]
            for name in ("st-01", "st-02"):
                assert links[name]["readings"] == total
                assert (
                    links[name]["connections"] > 1 and links[name]["repeats"] and links[name]["wrong_device"]
                )
            assert disk.failed > 0 and rig.journal.faults == disk.failed

    asyncio.run(main())
    assert stored_readings(path) == {"device/st-01": total, "device/st-02": total}


def test_every_frame_is_counted_under_one_name(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            device = rig.intake.devices["st-01"]
            data = [
                wire(hello()),
                wire(readings(1, 1)),
                wire(readings(1, 1)),
                wire(readings(1, 41)),
                wire(readings(1, 1), device="st-02"),
                wire(readings(1, 1), key=KEY[::-1]),
                wire(messages.Ack(bytes(8), 1, 1, 1, True, 0)),
                b"junk\0",
                wire(hello(nonce=2)),
                wire(hello(nonce=1)),
            ]
            rig.intake.feed(device, b"".join(data), lambda: None)
            await rig.settle()
            c = device.counters
            named = (
                c.hellos
                + c.repeats
                + c.gaps
                + c.wrong_device
                + c.bad_tag
                + c.refused
                + c.stale
                + c.undecodable
            )
            assert named + 1 == c.frames == len(data) - 1 and c.noise == 1
            assert c.journaled == 2 and c.readings == 10  # the greeting with its table, and one frame

    asyncio.run(main())


def test_snapshots_are_plain():
    counters = Counters()
    counters.link("st-01").frames += 3
    counters.channel("COD").read += 1
    counters.destination("province").queued += 2
    found = counters.snapshot()
    assert found["links"]["st-01"]["frames"] == 3 and found["channels"]["COD"]["read"] == 1
    assert found["destinations"]["province"]["waiting"] == 2
    assert LinkCounters().snapshot().keys() == set(LinkCounters.__slots__)


# Late data --------------------------------------------------------------------------------------------------


def revisions(path, symbol: str = "cod") -> list[tuple[int, int, int, str]]:
    reader = Reader(path)
    found = [
        ((w.start_ms - START) // LENGTH, w.revision, w.count, w.reason)
        for w in reader.windows(0, 1 << 62, symbol)
    ]
    reader.close()
    return found


def give(rig: Rig, device: str, first: int, count: int, boot: int = 1) -> None:
    """Records first.. of a device, ten in a frame, through its ingest."""
    ingest = rig.intake.devices[device]
    for seq in range(first, first + count, 10):
        rig.intake.feed(ingest, wire(readings(boot, seq), device), lambda: None)


def late_run(tmp_path, restart: bool):
    """st-02 stays away for three windows while st-01 goes on; then it delivers what it kept."""
    path = tmp_path / "journal.db"
    sent: list[Window] = []

    def documents(windows):
        sent.extend(windows)
        return []

    async def before():
        async with Rig(path, ("st-01", "st-02"), documents, now_ms=START + 3 * LENGTH + 120_000) as rig:
            for device in ("st-01", "st-02"):
                rig.intake.feed(rig.intake.devices[device], wire(hello(device), device), lambda: None)
            give(rig, "st-01", 1, 450)
            give(rig, "st-02", 1, 60)
            await rig.settle()
            if not restart:
                await catch_up(rig)

    async def catch_up(rig: Rig, greet: bool = False):
        if greet:
            for device in ("st-01", "st-02"):
                rig.intake.feed(
                    rig.intake.devices[device], wire(hello(device, nonce=2), device), lambda: None
                )
        give(rig, "st-02", 61, 390)
        if restart == "again":
            await rig.journal.commit()  # and killed before it was computed again
            return
        async with asyncio.timeout(20):
            while rig.intake.windows.late_waiting:
                await asyncio.sleep(0.2)
                await rig.intake.tick()
        await rig.settle()
        found = balanced(rig.intake)
        assert found["cod1"]["late"] == 0

    async def after():
        async with Rig(path, ("st-01", "st-02"), documents, now_ms=START + 3 * LENGTH + 120_000) as rig:
            await catch_up(rig, greet=True)

    async def third():
        async with Rig(path, ("st-01", "st-02"), documents, now_ms=START + 3 * LENGTH + 120_000) as rig:
            assert rig.intake.windows.late_waiting
            async with asyncio.timeout(20):
                while rig.intake.windows.late_waiting:
                    await asyncio.sleep(0.2)
                    await rig.intake.tick()
            await rig.settle()

    asyncio.run(before())
    if restart:
        asyncio.run(after())
    if restart == "again":
        asyncio.run(third())
    return path, sent


@pytest.mark.parametrize("restart", [False, True, "again"])
def test_late_readings_make_revisions_and_old_rows_stay(tmp_path, restart, monkeypatch):
    monkeypatch.setattr(
        "gateway.lane.LIVELY_S", -1.0
    )  # nobody is waited for: the windows close without st-02
    path, sent = late_run(tmp_path, restart)
    assert revisions(path, "cod") == [(0, 1, 30, ""), (1, 1, 30, ""), (2, 1, 30, "")]
    assert revisions(path, "cod1") == [
        (0, 1, 12, ""),
        (0, 2, 30, LATE),
        (1, 1, 0, ""),
        (1, 2, 30, LATE),
        (2, 1, 0, ""),
        (2, 2, 30, LATE),
    ]
    reader = Reader(path)
    rows = {(w.symbol, w.start_ms, w.revision): w for w in reader.windows(0, 1 << 62)}
    reader.close()
    for (symbol, start_ms, revision), window in rows.items():
        if (
            symbol.endswith("1") and revision == 2
        ):  # the other device's windows of the same records were complete at once
            other = rows[symbol[:-1], start_ms, 1]
            assert (window.value, window.minimum, window.maximum, window.status) == (
                other.value,
                other.minimum,
                other.maximum,
                "00",
            )
    assert {w for w in sent} == set(rows.values())


# The gateway's own buses ------------------------------------------------------------------------------------


def bus_intake(path, count: int, moment, **settings) -> Intake:
    wired = [
        Channel(f"Q{i}", "", "bus/tank" if i < 256 else "bus/tank.1", f"Q{i}", 10_000) for i in range(count)
    ]
    return Intake(
        Journal(path),
        [*channels("st-01"), *wired],
        Settings(start_grace_s=0.0, back_grace_s=0.0, **settings),
        {"st-01": KEY},
        moment,
    )


def test_a_bus_of_many_channels_and_a_restart(tmp_path):
    """300 channels on one bus; half of the polls before, half after a restart: the windows do not show it."""
    path = tmp_path / "journal.db"
    count, first_wired = 300, len(CHANNELS)
    rig = Rig(tmp_path / "unused.db")

    def poll(turn: int) -> list[tuple]:
        rows = []
        for i in range(count):
            quality = q.TIMEOUT if (turn + i) % 9 == 0 else q.OK
            rows.append(
                (
                    first_wired + i,
                    START + turn * 10_000 + i,
                    float_bits(i + turn / 4) if quality == q.OK else None,
                    quality,
                )
            )
        return rows

    async def part(turns, last: bool):
        intake = bus_intake(path, count, rig.moment)
        intake.open()
        intake.journal.start()
        await intake.begin()
        for turn in turns:
            assert intake.poll("tank", poll(turn)) is None
        await intake.journal.commit()
        if last:
            await intake.tick()
            await intake.journal.commit()
        balanced(intake)
        await intake.journal.close()

    asyncio.run(part(range(0, 17), False))
    asyncio.run(part(range(17, 31), True))
    reader = Reader(path)
    rows = {w.symbol: w for w in reader.windows(START, START + 1)}
    boots = [parse_configuration(e.body or b"")[0] for e in reader.entries(kinds=(CONFIGURATION,))]
    reader.close()
    assert boots == [1, 2]
    for i in range(count):
        good = [i + turn / 4 for turn in range(30) if (turn + i) % 9]
        assert rows[f"Q{i}"].value == pytest.approx(sum(good) / len(good), rel=1e-12)
        assert (rows[f"Q{i}"].count, rows[f"Q{i}"].expected, rows[f"Q{i}"].status) == (len(good), 30, "00")
    assert stored_readings(path) == {"bus/tank": 256 * 31, "bus/tank.1": 44 * 31}


def test_polls_have_the_bytes_of_the_protocol():
    rng = Random(1)
    for _ in range(500):
        rows = tuple(
            (
                rng.randrange(256),
                rng.choice([0, 1, -5, 23, 24, 1000, 70_000]),
                rng.getrandbits(32) if q.has_value(quality) else None,
                quality,
                0,
            )
            for quality in rng.choices(range(10), k=rng.randint(1, 64))
        )
        made = Readings(rng.randint(1, 99), rng.randint(1, 1 << 40), START, 1, rows)
        assert encode_poll(made) == messages.encode(made)


def test_a_clock_that_jumps_within_a_poll_leaves_what_can_be_read_again(tmp_path):
    path = tmp_path / "journal.db"
    rig = Rig(tmp_path / "unused.db")
    times = [START, START + 1, START + 40 * 86_400_000, START + 40 * 86_400_000 + 1, START + 2]

    async def main():
        intake = bus_intake(path, 5, rig.moment)
        intake.open()
        intake.journal.start()
        await intake.begin()
        intake.poll("tank", [(len(CHANNELS) + i, t, float_bits(1.0), q.OK) for i, t in enumerate(times)])
        await intake.journal.commit()
        balanced(intake)
        await intake.journal.close()

    asyncio.run(main())
    assert stored_readings(path) == {"bus/tank": 5}
    reader = Reader(path)
    stored = [e for e in reader.entries() if e.kind == POLL]
    reader.close()
    told = [decode(e.body) for e in stored]
    assert [m.base_ms + row[1] for m in told for row in m.rows] == times and len(told) == 3
    asyncio.run(main())  # and the next start reads them


def test_a_journal_that_has_stopped_ends_the_intake(tmp_path):
    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            running = asyncio.create_task(rig.intake.run())
            ingest = rig.intake.devices["st-01"]
            entry = (FRAME, rig.journal.source("device/st-01"), 1, 1, 10, 1, 1, None, None, b"x")
            rig.journal.submit([entry, entry])
            rig.intake.feed(ingest, wire(hello()) + wire(readings(1, 1)), lambda: None)
            with pytest.raises(JournalError, match="again"):
                await asyncio.wait_for(running, 20)
            assert ingest.acknowledgement(rig.moment(), 0) == b""

    asyncio.run(main())


def test_a_full_journal_makes_lines_wait_and_counts_what_it_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.journal.QUEUE_ENTRIES_FULL", 10)
    monkeypatch.setattr("gateway.journal.journal.QUEUE_ENTRIES_LIMIT", 20)
    rig = Rig(tmp_path / "unused.db")

    async def main():
        intake = bus_intake(tmp_path / "journal.db", 1, rig.moment)
        intake.open()
        intake.journal.start()
        await intake.begin()
        asked = [intake.poll("tank", [(len(CHANNELS), START + i, float_bits(1.0), q.OK)]) for i in range(30)]
        waits = [wait for wait in asked if wait is not None]
        assert len(waits) == 30 - 9 and intake.counters.polls_refused == 10
        async with asyncio.timeout(20):
            await asyncio.gather(*waits)
        assert not intake.journal.full
        found = balanced(intake)["Q0"]
        assert found["read"] == 20
        await intake.journal.close()

    asyncio.run(main())


# Gaps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 7, 30])
def test_windows_of_a_gateway_that_was_off(tmp_path, days):
    """Empty windows up to seven days back, each with a number and status 02; beyond that one event says from
    when to when.
    """
    path = tmp_path / "journal.db"
    later = START + days * 86_400_000

    async def first():
        async with Rig(path, now_ms=START + 400_000) as rig:
            rig.intake.feed(rig.intake.devices["st-01"], wire(hello()), lambda: None)
            give(rig, "st-01", 1, 200)
            await rig.settle()

    async def second():
        async with Rig(path, now_ms=later) as rig:
            while await rig.intake.tick():
                pass
            await rig.settle()

    asyncio.run(first())
    asyncio.run(second())
    reader = Reader(path)
    rows = reader.windows(0, 1 << 62, "cod")
    gaps = [cbor.loads(e.body) for e in reader.entries(kinds=(EVENT,))]
    reader.close()
    assert rows[0].status == "00" and rows[1].count == 10 and rows[2].count == 0  # the second window was open
    assert all(w.status == "02" and w.quality == q.NO_DATA and w.value == rows[1].last for w in rows[2:])
    assert rows[-1].end_ms <= later - 120_000 < rows[-1].end_ms + LENGTH
    if days < 7:
        assert gaps == [] and all(a.end_ms == b.start_ms for a, b in itertools.pairwise(rows))
    if days > 7:
        [[name, source, from_ms, to_ms]] = gaps
        assert (name, source, from_ms, to_ms) == ("gap", "gateway", rows[1].end_ms, rows[2].start_ms)
        assert later - EMPTY_MS - LENGTH <= to_ms <= later - EMPTY_MS


def test_what_a_start_writes_down(tmp_path):
    path = tmp_path / "journal.db"

    async def main():
        async with Rig(path):
            pass

    asyncio.run(main())
    reader = Reader(path)
    [entry] = reader.entries()
    reader.close()
    boot, settings, listed = parse_configuration(entry.body)
    assert (boot, settings[0], listed) == (1, LENGTH, channels("st-01"))


def test_windows_and_documents_are_one_transaction(tmp_path):
    """At every commit that can be seen from outside, a window's documents are there exactly if the window
    is.
    """
    path = tmp_path / "journal.db"

    def documents(windows):
        return [
            ("province", f"window/{windows[0].start_ms}/{windows[0].revision}", "windows", "n", "", 0, b"b")
        ]

    async def main():
        async with Rig(path, documents=documents) as rig:
            rig.intake.feed(rig.intake.devices["st-01"], wire(hello()), lambda: None)
            seen = 0
            for turn in range(40):
                give(rig, "st-01", 1 + 150 * turn, 150)
                await rig.intake.tick()
                with sqlite3.connect(path) as other:
                    row = other.execute(
                        "SELECT (SELECT COUNT(DISTINCT start_ms) FROM window), (SELECT COUNT(*) FROM outbox)"
                    ).fetchone()
                other.close()
                assert row[0] == row[1]
                seen = max(seen, row[0])
            await rig.settle()
            assert seen > 3

    asyncio.run(main())
    assert NOW > START and INTERVAL_MS


def test_records_are_journaled_and_acknowledged_though_the_raw_feed_trips(tmp_path):
    class Tripping:
        def framed(self, lane, entries):
            raise ZeroDivisionError

    async def main():
        async with Rig(tmp_path / "journal.db") as rig:
            rig.intake._raw = Tripping()
            ingest = rig.intake.devices["st-01"]
            rig.intake.feed(ingest, wire(hello()) + wire(readings(1, 1)), lambda: None)
            await rig.settle()
            assert rig.journal.position("device/st-01") == (1, 10) == ingest.session.durable

    asyncio.run(main())
