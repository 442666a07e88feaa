"""What the gateway writes to its memory card: a card dies of that, and of nothing else.

One station at work: 20 readings a second, framed as the firmware frames them, five-minute windows, their
documents delivered, all of it durable. Counted by the kernel for the gateway's process (/proc/PID/io,
write_bytes: whole pages, all its files), against the bytes of the entries that it kept. What still lies in
SQLite's log at the end has to be moved into the database some time: the bench does it, and counts it too.
Give it ten minutes (`--seconds 600`): windows and logs belong to it.

Measured is what a station does for years: its journal holds entries already, and SQLite's log lies there, as
it does from two hours after a start on, when it was moved for the first time. While it still grows, the file
system's own blocks are written with it, a third as much again.

Then two loads more: the same station with its instruments wired to the gateway (`wired`), whose readings no
device keeps meanwhile, and ten thousand readings a second from such instruments (`busy`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.journal.packed import stored_body
from simulator.device_load import POLL_MS, ROWS, LoadDevice
from simulator.modbus_load import serve
from tools.bench.broker import running_broker
from tools.bench.ingest import write_config
from tools.bench.measure import cost_of, machine, written_by
from tools.bench.poll import modbus_config
from tools.demo.site import HOST, free_port, table
from tools.gateway_process import GatewayProcess

AGED = 40_000
"""Frames of ten readings, of weeks ago: they let the log grow to its size and begin anew."""
REST_S = 3.0
"""Nothing is entered for so long: what AGED left to do is done."""
BUSY = (10, 100, 100)
"""Instruments, quantities of each, poll_ms: 10,000 readings/s, the load of `quantrac bench poll`."""
BUSY_S_MAX = 60.0
WIRED_S_MAX = 300.0
CARD_BYTES = 32e9 * 1000
"""What a 32 GB card bears: a thousand times its size (3D TLC; vendors say 1,000 to 3,000)."""
AMPLIFICATION = 10
"""What a card writes for each byte that it is given in small pieces. Measured on none; a usual assumption."""
YEAR_S = 365.25 * 86400


def run(seconds: float) -> dict[str, Any]:
    """`value` is bytes written per second."""
    with _broker() as port:
        key, link = secrets.token_bytes(32), free_port()
        device = LoadDevice("load-0", key, link, AGED)
        device.encode()

        def configure(path: Path) -> Path:
            config = write_config(path, {"load-0": key}, {"load-0": link})
            with config.open("a", encoding="utf-8") as file:
                file.write("\n" + _destination(port))
            return config

        def age() -> None:
            device.run()
            device.run_live(1.0, 2)  # of today: the weeks between are windows without readings

        found = asyncio.run(_measure(configure, lambda: asyncio.to_thread(device.run_live, seconds, 3), age))
        wired = asyncio.run(_poll(1, ROWS, POLL_MS, min(seconds, WIRED_S_MAX), port))
    busy = asyncio.run(_poll(*BUSY, min(seconds, BUSY_S_MAX)))
    written = found["bytes_per_second"]
    return {
        "name": "card", "value": written, "unit": "B/s written", "seconds": found["seconds"],
        "cpu_seconds": found["cpu_seconds"], "rss_mib": found["rss_mib"], "machine": machine(),
        "readings_per_second": ROWS * 1000 // POLL_MS,
        "moved_later_bytes_per_second": found["moved_later_bytes_per_second"],
        "entry_bytes_per_second": found["entry_bytes_per_second"],
        "written_per_entry_byte": found["written_per_entry_byte"],
        "longest_wait_for_an_acknowledgement_s": round(device.longest_wait_s, 2),
        "card_years": _years(written),
        "lost": device.acknowledged - found["frames"],
        "wired": {**wired, "card_years": _years(wired["bytes_per_second"])}, "busy": busy,
    }  # fmt: skip


def _years(bytes_per_second: float) -> float:
    return round(CARD_BYTES / AMPLIFICATION / bytes_per_second / YEAR_S, 1)


@contextlib.contextmanager
def _broker() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder, running_broker(Path(folder)) as it:
        yield it[1]


def _destination(port: int) -> str:
    return table(
        "[[destination]]",
        {"id": "national", "kind": "mqtt", "host": HOST, "port": port, "send": ["windows"]},
    )


async def _poll(n: int, quantities: int, poll_ms: int, seconds: float, broker: int = 0) -> dict[str, Any]:
    with serve(n, quantities) as ports:

        def configure(path: Path) -> Path:
            config = path / "config.toml"
            more = [_destination(broker)] if broker else []
            config.write_text(modbus_config(ports, quantities, poll_ms, free_port(), more), encoding="utf-8")
            return config

        return await _measure(configure, lambda: asyncio.sleep(seconds))


async def _measure(
    configure: Callable[[Path], Path],
    load: Callable[[], Awaitable[None]],
    age: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """What a gateway of that configuration writes while load() runs, after age(), which is not counted; in a
    folder of this disk, not of a memory file system.
    """
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-", dir=Path.cwd()) as folder:
        path = Path(folder)
        gateway = GatewayProcess(configure(path), None, path)
        await gateway.start()
        await asyncio.wait_for(gateway.notifications.ready.wait(), 30)
        assert gateway.process is not None
        pid, journal = gateway.process.pid, path / "gateway" / "journal.db"
        if age is not None:
            await asyncio.to_thread(age)
            await _at_rest(journal)
        entries, rows, before = _held(journal)
        cost, written, began = cost_of(pid), written_by(pid), time.monotonic()
        await load()
        took = time.monotonic() - began
        after, written = cost_of(pid), written_by(pid) - written
        moved = _move(journal)
        held, rows_held, frames = _held(journal)
        await gateway.stop()
    entries, rows = held - entries, rows_held - rows
    return {
        "bytes_per_second": round((written + moved) / took),
        "moved_later_bytes_per_second": round(moved / took),
        "seconds": round(took, 1), "entry_bytes_per_second": round(entries / took),
        "written_per_entry_byte": round((written + moved) / max(entries, 1), 2),
        "readings_per_second": round(rows / took), "frames": frames - before,
        "cpu_seconds": round(after.cpu_s - cost.cpu_s, 2), "rss_mib": after.peak_mib,
    }  # fmt: skip


async def _at_rest(path: Path) -> None:
    """What came is worked off, and the log moved: the next transaction begins it anew, where it lies."""
    asked = "SELECT (SELECT COUNT(*) FROM entry), (SELECT COUNT(*) FROM outbox WHERE state = 0)"
    before = (-1, -1)
    with contextlib.closing(sqlite3.connect(path)) as journal:
        while (now := journal.execute(asked).fetchone()) != before or now[1]:
            before = now
            await asyncio.sleep(REST_S)
    _move(path)


def _held(path: Path) -> tuple[int, int, int]:
    """(bytes of entries, readings, frames) in a journal."""
    with contextlib.closing(sqlite3.connect(path)) as journal:
        journal.create_function("whole", 2, stored_body)
        return journal.execute(
            "SELECT COALESCE(SUM(LENGTH(whole(kind, body))), 0), "
            "COALESCE(SUM(CASE WHEN kind IN (1, 2) THEN last_seq - first_seq + 1 END), 0), "
            "COALESCE(SUM(kind = 1), 0) FROM entry"
        ).fetchone()


def _move(path: Path) -> int:
    """Bytes written by moving the log into the database: by this process, for once."""
    before = written_by(os.getpid())
    with contextlib.closing(sqlite3.connect(path)) as journal:
        journal.execute("PRAGMA synchronous = FULL")
        journal.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return written_by(os.getpid()) - before
