"""How long the disk will do: numbers that are right, and sentences long before it is too late."""

from __future__ import annotations

import asyncio
from collections import namedtuple

import pytest

from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.journal.reader import Reader
from gateway.journal.retention import Retention
from gateway.journal.room import DAYS_MIN, FREE_BYTES_MIN, RATE_FROM_MS, Room, look
from gateway.metrics import exporter
from tests.gateway import app_rig as rig
from tests.gateway.retention_rig import HOUR_MS, Log
from tests.gateway.test_status import HandTimeline

Usage = namedtuple("Usage", "total used free")


def disk(free: float):
    return lambda path: Usage(1 << 40, 0, int(free))


def looked(log: Log, free: float, gone: int = 0) -> Room:
    reader = Reader(log.path)
    try:
        return look(reader, log.now_ms, gone, disk(free))
    finally:
        reader.close()


def test_the_forecast_comes_true(tmp_path):
    """What the file takes after 30 days more is what was said for 30 days, within a tenth."""
    log = Log(tmp_path)
    log.use(lambda journal, retention: log.days_pass(journal, 30, 200))
    then = looked(log, FREE_BYTES_MIN + 10e6)
    assert then.entries_per_day == pytest.approx(201, rel=0.02) and then.held_days == pytest.approx(
        30, rel=0.01
    )
    log.use(lambda journal, retention: log.days_pass(journal, 30, 200))
    now = looked(log, 0)
    took = now.journal_bytes - now.unused_bytes - then.journal_bytes + then.unused_bytes
    assert then.left_days == pytest.approx(10e6 / (took / 30), rel=0.1)
    assert then.fits_days == then.held_days + then.left_days
    assert now.left_days == now.unused_bytes / (now.entries_per_day * now.bytes_per_entry)


def test_room_of_what_was_pruned_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.journal.retention.PATIENCE_S", 0.0)
    log = Log(tmp_path)

    async def chapter(journal, retention: Retention):
        await log.days_pass(journal, 120, 100)
        await retention.prune()
        await retention.look()
        return retention.room, retention.gone

    room, gone = log.use(chapter)
    assert gone > 3000 and room.unused_bytes > 0.2 * room.journal_bytes and 67 < room.held_days < 75
    full = looked(log, 0, gone)
    assert full.left_days == pytest.approx(full.unused_bytes / (full.entries_per_day * full.bytes_per_entry))
    assert 30 < full.left_days < 60, "the room of the 50 days that went"


def test_nothing_is_said_of_the_first_hour(tmp_path):
    log = Log(tmp_path)
    log.use(lambda journal, retention: journal.commit(entries=log.raw(journal, 10, 60_000)))
    for at_ms, known in ((RATE_FROM_MS // 2, False), (RATE_FROM_MS * 2, True)):
        log.now_ms += at_ms
        found = looked(log, 0)
        assert (found.fits_days is not None) == known
        assert bool(found.problem(400)) == known
    empty = tmp_path / "empty"
    empty.mkdir()
    other = Log(empty)

    async def nothing(journal, retention):
        pass

    other.use(nothing)
    assert looked(other, 0).problem(400) == ""


def room(held: float, left: float) -> Room:
    return Room(1, 1, 1, held, 1.0, 1.0, left)


@pytest.mark.parametrize(
    "held, left, says",
    [
        (0.1, 10.0, "The disk will hold 10 days of readings at the present rate, and 60 must be kept"),
        (50.0, 9.0, "the journal cannot store in 9 days"),
        (90.0, 29.0, "The disk will be full in 29 days, with 119 days of readings"),
        (90.0, 29.0, "or set retention_days to 107 (it is 400)"),
        (58.0, 5.0, "or set retention_days to 60 (it is 400)"),
        (90.0, 31.0, ""),  # there is time
        (0.1, DAYS_MIN + 1, ""),
        (395.0, 13.0, ""),  # pruning begins before it is full
    ],
)
def test_sentences(held, left, says):
    said = room(held, left).problem(400)
    assert says in said and bool(says) == bool(said)


def test_a_disk_of_little_room_is_a_problem_on_all_pages(tmp_path):
    """The real gateway over a journal of two hours, on a disk with room for some days."""
    config = rig.write_config(
        tmp_path, rig.bus("tank", "modbus-tcp://127.0.0.1:1"), rig.bus_channel("Flow", "tank", 0)
    )
    clock = Clock(HandTimeline())
    gateway = Gateway(load(config), clock)
    status = gateway.status
    assert status.current()["disk"] == {"retention_days": 400, "pruned": 0}

    async def main() -> list[str]:
        gateway.journal.start()
        log = Log(tmp_path)
        log.now_ms = clock.now_ms() - 2 * HOUR_MS
        source = gateway.journal.source("gateway")
        entries = [entry._replace(source=source) for entry in await events(log, gateway)]
        await gateway.journal.commit(entries=entries)
        found = []
        for room in (1 << 40, 1 << 30, 1 << 10):
            gateway.retention._disk = disk(FREE_BYTES_MIN + room)
            await gateway.retention.look()
            found.append(" ".join(p for p in status.problems() if "The disk will" in p))
        await gateway.journal.close()
        return found

    async def events(log: Log, gateway: Gateway):
        made = []
        for _ in range(100):
            log.now_ms += 2 * HOUR_MS // 100
            made.append(log.event(gateway.journal, "x", "gateway", 1))
        return made

    plenty, some, little = asyncio.run(main())
    assert plenty == "" == some and "The disk will hold" in little
    shown = status.current()["disk"]
    assert shown["fits_days"] < DAYS_MIN and shown["entries_per_day"] == pytest.approx(1200, rel=0.1)
    page = exporter(status.families)().decode()
    for name in ("fits_days", "left_days", "held_days", "free_bytes", "unused_bytes", "entries_per_day"):
        [line] = [line for line in page.splitlines() if line.startswith(f"quantrac_disk_{name} ")]
        assert float(line.split()[1]) == pytest.approx(shown[name])
    assert "# TYPE quantrac_disk_fits_days gauge" in page and "quantrac_disk_pruned_total 0.0" in page
