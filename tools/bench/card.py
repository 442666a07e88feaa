"""What the gateway writes to its memory card: a card dies of that, and of nothing else.

One station at work: 20 readings a second in two frames, five-minute windows, all of it durable. Counted by
the kernel for the gateway's process (/proc/PID/io, write_bytes: whole pages, all its files), against the
bytes of the entries that it kept. Give it ten minutes (`--seconds 600`): windows, logs and
SQLite's own checkpoints belong to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from simulator.device_load import ROWS, LoadDevice
from tools.bench.ingest import write_config
from tools.bench.measure import cost_of, machine, written_by
from tools.demo.site import free_port
from tools.gateway_process import GatewayProcess

FRAMES_S = 2.0
CARD_BYTES = 32e9 * 1000
"""What a 32 GB card bears: a thousand times its size (3D TLC; vendors say 1,000 to 3,000)."""
AMPLIFICATION = 10
"""What a card writes for each byte that it is given in small pieces. Measured on none; a usual assumption."""
YEAR_S = 365.25 * 86400


def run(seconds: float) -> dict[str, Any]:
    """`value` is bytes written per second."""
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-", dir=Path.cwd()) as folder:
        path = Path(folder)
        keys = {"load-0": secrets.token_bytes(32)}
        ports = {device: free_port() for device in keys}
        config = write_config(path, keys, ports)
        device = LoadDevice("load-0", keys["load-0"], ports["load-0"], 0)
        gateway = GatewayProcess(config, None, path)
        await gateway.start()
        await asyncio.wait_for(gateway.notifications.ready.wait(), 30)
        assert gateway.process is not None
        pid = gateway.process.pid
        cost, written, began = cost_of(pid), written_by(pid), time.monotonic()
        await asyncio.to_thread(device.run_live, seconds, FRAMES_S)
        took = time.monotonic() - began
        after, written = cost_of(pid), written_by(pid) - written
        await gateway.stop()
        with contextlib.closing(sqlite3.connect(path / "gateway" / "journal.db")) as journal:
            entries, held = journal.execute("SELECT SUM(LENGTH(body)), COUNT(*) FROM entry").fetchone()
            frames = journal.execute("SELECT COUNT(*) FROM entry WHERE kind = 1").fetchone()[0]
    times = [at for at, _ in device.times]
    waits = [after - before for before, after in pairwise(times)]
    return {
        "name": "card", "value": round(written / took), "unit": "B/s written", "seconds": round(took, 1),
        "cpu_seconds": round(after.cpu_s - cost.cpu_s, 2), "rss_mib": after.peak_mib, "machine": machine(),
        "readings_per_second": ROWS * FRAMES_S, "entries": held,
        "entry_bytes_per_second": round(entries / took),
        "written_per_entry_byte": round(written / entries, 1),
        "longest_between_acknowledgements_s": round(max(waits, default=0.0), 2),
        "card_years": round(CARD_BYTES / AMPLIFICATION / (written / took) / YEAR_S, 1),
        "lost": device.acknowledged - frames,
    }  # fmt: skip
