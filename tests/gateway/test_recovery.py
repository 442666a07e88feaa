"""kill -9 under load: every acknowledged record is in the journal exactly once, and the windows do not show
it.

QUANTRAC_LONG=1 makes it 200 kills (`make promises`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path
from random import Random

import pytest

from gateway.errors import JournalError
from gateway.journal.kinds import FRAME, WINDOW
from gateway.journal.reader import Reader
from gateway.windows import Settings, Windows, parse_body
from protocol.cose import payload_of
from protocol.messages import decode
from tests.gateway.intake_rig import (
    CHANNELS,
    INTERVAL_MS,
    NOW,
    START,
    Device,
    Rig,
    channels,
    hello,
    readings,
    record,
    wire,
)
from tests.gateway.victim import DEVICES, documents
from tests.promises.counted import counted

KILLS = 200 if os.environ.get("QUANTRAC_LONG") else 10
READY_S = 60.0
LONG_S = 1800 if KILLS > 10 else 120


async def start(path: Path, ports: list[int], *options: str) -> tuple[asyncio.subprocess.Process, list[int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.gateway.victim",
        str(path),
        *map(str, ports),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(READY_S):
        while not (line := await process.stdout.readline()).startswith(b"ready"):
            assert line, "the gateway ended before it was ready"
    return process, [int(port) for port in line.split()[1:]]


async def kills(path: Path, count: int, seed: int, *options: str) -> list[Device]:
    """Two devices under full load against a gateway that is killed `count` times; then all is delivered."""
    rng = Random(seed)
    held = Held()
    process, ports = await start(path, [0, 0], *options)
    devices = [Device(10**9, device) for device in DEVICES]
    running = [asyncio.create_task(device.run(port)) for device, port in zip(devices, ports, strict=True)]
    try:
        for _ in range(count):
            before = [len(device.acks) for device in devices]
            async with asyncio.timeout(60):
                while any(len(device.acks) <= known for device, known in zip(devices, before, strict=True)):
                    await asyncio.sleep(0.005)
            await asyncio.sleep(rng.random() * 0.25)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            check_acknowledged(path, devices, held)
            process, _ = await start(path, ports, *options)
        total = max(device.store.handed for device in devices) // 150 * 150 + 450
        for device in devices:
            device.store.total = total
        async with asyncio.timeout(90):
            await asyncio.gather(*running)
        await asyncio.sleep(1.0)  # windows close, five times a second
    finally:
        for task in running:
            task.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    return devices


class Held:
    """What was read of a journal so far: its entries only grow, so each look reads on from the last one."""

    def __init__(self) -> None:
        self.entries = 0
        self.records = {f"device/{device}": 0 for device in DEVICES}

    def look(self, path: Path) -> None:
        """Read on, from the frames themselves. Each device's records must be 1, 2, 3, ... in this order."""
        reader = Reader(path)
        for entry in reader.entries(self.entries):
            self.entries += 1
            if entry.kind == FRAME:
                message = decode(payload_of(entry.body))
                assert (message.first_seq, message.boot) == (entry.first_seq, entry.boot)
                known = self.records[entry.source]
                assert message.first_seq == known + 1, "a record twice, missing or out of order"
                self.records[entry.source] = known + len(message.rows)
        assert self.entries == reader.size()
        reader.close()


def check_acknowledged(path: Path, devices: list[Device], held: Held | None = None) -> None:
    """What the kill left holds all that was acknowledged, once. `held` is how far they were read."""
    held = held or Held()
    held.look(path)
    for device in devices:
        count = held.records[f"device/{device.device}"]
        assert count >= device.acked[1], f"acknowledged {device.acked[1]}, on disk {count}"


def uninterrupted(total: int) -> dict[tuple[int, str], tuple]:
    """The windows of the same records through the same arithmetic, with no journal and no kill."""
    windows = Windows(channels(*DEVICES), Settings())
    rows = {}
    for device in DEVICES:
        windows.lanes[f"device/{device}"].describe(1, [(name, INTERVAL_MS, 0, ()) for name in CHANNELS])
    for first in range(1, total, 10):
        for device in DEVICES:
            windows.lanes[f"device/{device}"].add(readings(1, first, min(10, total - first + 1)), NOW, 0.0)
        while (start_ms := windows.due(START, 0.0)) is not None:
            rows.update({(w.start_ms, w.symbol): w for w in windows.close(start_ms)})
    return rows


@pytest.mark.timeout(LONG_S)
def test_killed_under_load_nothing_acknowledged_is_lost(tmp_path):
    path = tmp_path / "journal.db"
    seed = 20260325
    devices = asyncio.run(kills(path, KILLS, seed))
    held = Held()
    check_acknowledged(path, devices, held)
    total = devices[0].store.total
    assert [device.acked for device in devices] == [(1, total)] * 2
    assert set(held.records.values()) == {total}
    check_windows(path, total)
    counted("kills", KILLS)


def check_windows(path: Path, total: int) -> None:
    expected = uninterrupted(total)
    reader = Reader(path)
    stored = reader.windows(0, 1 << 62)
    assert {(w.start_ms, w.symbol): w for w in stored} == expected, (
        "windows differ from those of an uninterrupted run"
    )
    assert len(stored) == len(expected) and len(expected) > 100
    assert {w.revision for w in stored} == {1}
    # each window is an entry, and says from which entries it was computed: all before it
    entries = [e for e in reader.entries() if e.kind == WINDOW]
    assert [parse_body(e.body)[0] for e in entries] == sorted(
        stored, key=lambda w: (w.start_ms, [c.symbol for c in channels(*DEVICES)].index(w.symbol))
    )
    assert all(parse_body(e.body)[1] <= e.idx for e in entries)
    sent = reader.rows("SELECT key, body FROM outbox ORDER BY id")
    reader.close()
    starts = sorted({w.start_ms for w in stored})
    assert [key for key, _ in sent] == [f"window/{start_ms}/1" for start_ms in starts]
    for start_ms, (_, text) in zip(starts, sent, strict=True):
        rows = [expected[start_ms, c.symbol] for c in channels(*DEVICES)]
        assert documents(rows)[0][6] == text


def test_the_control_acknowledging_before_the_commit_is_caught(tmp_path):
    """The same test against a gateway that acknowledges early must fail."""
    for attempt in range(5):
        try:
            asyncio.run(kills(tmp_path / f"{attempt}.db", 10, attempt, "--early-ack"))
        except AssertionError as error:
            assert "on disk" in str(error)
            return
    raise AssertionError("never caught")


def test_the_control_a_record_taken_twice_is_caught(tmp_path, monkeypatch):
    """Without the session's check the journal itself stops; without both, the check in these tests does."""
    from gateway.journal.fold import Fold
    from protocol import gateway_session as session

    monkeypatch.setitem(session._GATEWAY, (session.OPEN, "held"), (session.OPEN, session.ACCEPT))

    async def repeat(path: Path) -> bool:
        async with Rig(path, DEVICES) as rig:
            ingest = rig.intake.devices["st-01"]
            for data in (hello(), readings(1, 1), readings(1, 1)):
                rig.intake.feed(ingest, wire(data), lambda: None)
            try:
                await rig.journal.commit()
            except JournalError:
                return True
            return rig.journal.stopped

    assert asyncio.run(repeat(tmp_path / "guarded.db"))
    check_acknowledged(tmp_path / "guarded.db", [])
    honest = Fold.take

    def careless(self, idx, kind, source, boot, first_seq, last_seq, first_ms, last_ms):
        self.positions.pop(source, None)
        honest(self, idx, kind, source, boot, first_seq, last_seq, first_ms, last_ms)

    monkeypatch.setattr(Fold, "take", careless)
    assert not asyncio.run(repeat(tmp_path / "careless.db"))
    with pytest.raises(AssertionError, match="twice"):
        check_acknowledged(tmp_path / "careless.db", [])


@pytest.mark.timeout(LONG_S)
def test_a_journal_killed_while_it_is_made(tmp_path):
    """Killed at any moment of the first start, the next one opens it."""
    rng = Random(5)

    async def main():
        path = tmp_path / "journal.db"
        for _ in range(KILLS // 2):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.gateway.victim",
                str(path),
                "0",
                "0",
                stdout=asyncio.subprocess.DEVNULL,
            )
            await asyncio.sleep(0.1 + rng.random() * 0.6)
            process.kill()
            await process.wait()
        process, _ = await start(path, [0, 0])
        process.kill()
        await process.wait()
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()

    asyncio.run(main())


def test_records_are_what_the_rig_says():
    assert [record(seq)[0] for seq in range(1, 7)] == [0, 1, 2, 3, 4, 0]
    assert record(151)[1] == START + 300_000
