"""Readings a second through authentication, order, journal (fully durable) and acknowledgement.

The real gateway process, with its windows; four devices on loopback TCP in this one, their frames encoded
beforehand. At the end the journal is read back: every acknowledged record has to be in it, once.
The same load goes to a gateway without evidence (without_evidence.py), in turns, because machines are noisy.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator.device_load import ROWS, LoadDevice, quantity, run_all
from tools.bench.measure import cost_of, machine
from tools.demo.audit import count_journal
from tools.demo.site import HOST, free_port, secret, table
from tools.gateway_process import GatewayProcess
from tools.people import Failure

DEVICES = 4
ROUNDS = 3
"""Pairs of runs with and without evidence."""
WITHOUT = "tools.bench.without_evidence"
PROBE_FRAMES = 4000
"""Frames of each device in the first, short run, which says how many fill the time asked for."""


def run(seconds: float) -> dict[str, Any]:
    """`value` is acknowledged readings a second over about `seconds`; `evidence_share` the part of the
    throughput, and of the processor time, that leaves, trees and checkpoints cost (medians of ROUNDS each).
    """
    probe = asyncio.run(_measure(PROBE_FRAMES))
    frames = max(int(probe["value"] * seconds / ROWS / DEVICES), PROBE_FRAMES)
    result = asyncio.run(_measure(frames))
    part = max(frames // 4, PROBE_FRAMES)
    rounds = [
        [asyncio.run(_measure(part, module)) for module in ("tools.cli", WITHOUT)] for _ in range(ROUNDS)
    ]
    speed = [1 - with_it["value"] / without["value"] for with_it, without in rounds]
    cpu = [1 - without["cpu_seconds"] / with_it["cpu_seconds"] for with_it, without in rounds]
    result["without_evidence"] = round(statistics.median(without["value"] for _, without in rounds))
    result["evidence_share"] = round(statistics.median(speed), 3)
    result["evidence_share_cpu"] = round(statistics.median(cpu), 3)
    return result


async def _measure(frames: int, module: str = "tools.cli") -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        path = Path(folder)
        keys = {f"load-{n}": secrets.token_bytes(32) for n in range(DEVICES)}
        ports = {device: free_port() for device in keys}
        config = write_config(path, keys, ports)
        devices = [LoadDevice(device, key, ports[device], frames) for device, key in keys.items()]
        for device in devices:
            device.encode()
        gateway = GatewayProcess(config, None, path, module)
        await gateway.start()
        await asyncio.wait_for(gateway.notifications.ready.wait(), 30)
        assert gateway.process is not None
        before, began = cost_of(gateway.process.pid), time.monotonic()
        wrong = await asyncio.to_thread(run_all, devices)
        took, after = time.monotonic() - began, cost_of(gateway.process.pid)
        await gateway.stop()
        if wrong:
            raise Failure(
                f"The load broke off: {wrong[0]}. The gateway's last words:\n{gateway.last_words()}"
            )
        held, windows = 0, 0
        for device, key in keys.items():
            count = count_journal(path / "gateway" / "journal.db", device, key, f"device/{device}")
            held += len(count.held.get((f"device/{device}", 1), ())) if not count.duplicated else -1
            windows = count.windows
        checkpoints = _checkpoints(path / "gateway" / "journal.db")
    acknowledged = sum(device.acknowledged for device in devices) * ROWS
    return {
        "name": "ingest", "value": round(acknowledged / took), "unit": "readings/s",
        "seconds": round(took, 1),
        "cpu_seconds": round(after.cpu_s - before.cpu_s, 2), "rss_mib": after.peak_mib, "machine": machine(),
        "acknowledged": acknowledged, "journaled": held, "lost": acknowledged - held, "windows": windows,
        "checkpoints": checkpoints, "devices": DEVICES, "readings_per_frame": ROWS,
    }  # fmt: skip


def _checkpoints(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as journal:
        return journal.execute("SELECT COUNT(*) FROM checkpoint").fetchone()[0]


def write_config(
    path: Path,
    keys: Mapping[str, bytes],
    ports: Mapping[str, int],
    channels: int = ROWS,
    gateway: Mapping[str, Any] = {},
    more: Sequence[str] = (),
) -> Path:
    """A gateway's configuration in the folder `path`, with the keys of its devices: so many channels of each.

    `gateway`: further settings of it; `more`: further tables.
    """
    web = {"host": HOST, "port": free_port()}
    parts = [
        table(
            "[station]",
            {"province": "LCa", "facility": "LOAD", "code": "NUO001", "name": "load", "kind": "wastewater"},
        ),
        table("[gateway]", {"state_dir": "gateway", "web": web, **gateway}),
    ]
    for device, key in keys.items():
        file = path / f"{device}.link"
        secret(file, key.hex())
        link = f"tcp-listen://{HOST}:{ports[device]}"
        parts.append(table("[[device]]", {"id": device, "link": link, "key_file": file.name}))
        parts += [
            table("[[channel]]", {
                "symbol": f"{device}/{quantity(i)}", "unit": "mg/l",
                "source": {"device": device, "quantity": quantity(i)},
            })
            for i in range(channels)
        ]  # fmt: skip
    config = path / "config.toml"
    config.write_text("\n".join([*parts, *more]), encoding="utf-8")
    return config
