"""The facility's scale: many station devices against one real gateway process, watched from outside.

The gateway runs as a facility runs it, with its page, its windows and a destination; windows close every
minute, five times as often as by regulation, so that a short run has them in it. The devices live in this
process (simulator/fleet.py). Processor time and memory are those of the gateway's process, as the kernel
counts them, from the moment at which every device is linked; what was kept is read from the journal after its
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.fleet import Fleet
from tools.bench.ingest import write_config
from tools.bench.measure import cost_of, machine, written_by
from tools.demo.site import HOST, table
from tools.fleet.ledger import count
from tools.gateway_process import GatewayProcess
from tools.people import Failure

LINKED_S_MAX = 120.0
STATIONS_MAX = 250
PORTS = range(11_000, 32_000)
CPU_SHARE_MAX, PEAK_MIB_MAX, ON_DISK_MS_MAX = 0.60, 200.0, 2000.0
"""The aims at 250 devices of ten channels at 1 Hz."""


@dataclass(frozen=True)
class FacilityOptions:
    """What is asked for; `module` is what runs as `quantrac`.

    `hold_ms`: `store.hold_ms` of the devices. A gateway of so many is no matter of a memory card: they need
    not wait as long as a single one does by default (2,400 ms).
    """

    stations: int
    channels: int = 10
    interval_s: float = 1.0
    seconds: float = 60.0
    hold_ms: int = 1000
    module: str = "tools.cli"


def run_facility(options: FacilityOptions) -> dict[str, Any]:
    """Measure; the report as one object. Failure when the gateway does not start, or a device finds none."""
    return asyncio.run(_run(options))


async def _run(options: FacilityOptions) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quantrac-fleet-") as folder:
        path = Path(folder)
        names = [f"st-{n:03}" for n in range(options.stations)]
        keys = [secrets.token_bytes(32) for _ in names]
        devices = list(zip(names, keys, free_ports(len(names)), strict=True))
        config = _configuration(path, options, devices)
        gateway = GatewayProcess(config, None, path, options.module)
        await gateway.start()
        fleet = Fleet(devices, options.channels, round(options.interval_s * 1000), options.hold_ms)
        try:
            await asyncio.wait_for(gateway.notifications.ready.wait(), LINKED_S_MAX)
            fleet.start()
            await _linked(fleet, gateway)
            measured = await _watch(fleet, gateway, options)
        except FileNotFoundError as error:  # of /proc: its process is gone
            raise Failure(f"The gateway ended meanwhile. Its last words:\n{gateway.last_words()}") from error
        finally:
            fleet.stop()
            await gateway.stop()
        ledger = count(path / "gateway" / "journal.db", fleet.devices, keys)
        measured["windows"], measured["entry_bytes"] = _kept(path / "gateway" / "journal.db")
    return measured | {"ledger": ledger.as_dict(), "holds": ledger.holds, "machine": machine()}


async def _linked(fleet: Fleet, gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + LINKED_S_MAX
    while not all(device.links for device in fleet.devices):
        if time.monotonic() > deadline or gateway.given_up:
            away = sum(not device.links for device in fleet.devices)
            raise Failure(
                f"{away} of {len(fleet.devices)} devices found no gateway. Its last words:\n"
                f"{gateway.last_words()}"
            )
        await asyncio.sleep(0.1)


async def _watch(fleet: Fleet, gateway: GatewayProcess, options: FacilityOptions) -> dict[str, Any]:
    assert gateway.process is not None
    pid = gateway.process.pid
    before, own, emitted, began = cost_of(pid), time.process_time(), fleet.emitted, time.monotonic()
    written = written_by(pid)
    await asyncio.sleep(options.seconds)
    took = time.monotonic() - began
    after, own = cost_of(pid), time.process_time() - own
    emitted, written = fleet.emitted - emitted, written_by(pid) - written
    complete = await fleet.finish()
    peak = max(after.peak_mib, cost_of(pid).peak_mib)
    delays = fleet.delays.figures()
    cpu_share = round((after.cpu_s - before.cpu_s) / took, 3)
    return {
        "name": "fleet-facility", "value": round(emitted / took), "unit": "readings/s",
        "seconds": round(took, 1), "cpu_seconds": round(after.cpu_s - before.cpu_s, 2),
        "rss_mib": after.rss_mib,
        "stations": options.stations, "channels": options.channels, "interval_s": options.interval_s,
        "hold_ms": options.hold_ms, "cpu_share": cpu_share, "peak_mib": peak, "delays": delays,
        "senders_cpu_share": round(own / took, 3), "written_bytes_per_second": round(written / took),
        "complete": complete, "restarts": gateway.restarts,
        "links": sum(device.links for device in fleet.devices),
        "resent_frames": sum(device.resent for device in fleet.devices),
        "refused_answers": sum(device.refused for device in fleet.devices),
        "aims": [
            _aim("processor, share of one core", cpu_share, CPU_SHARE_MAX),
            _aim("memory at its highest, MiB", peak, PEAK_MIB_MAX),
            _aim("a reading's time to disk, the latest, ms", delays["reading_max_ms"], ON_DISK_MS_MAX),
            _aim("a frame's departure to disk, the latest, ms", delays["frame_max_ms"], ON_DISK_MS_MAX),
        ],
    }  # fmt: skip


def _aim(what: str, value: float, most: float) -> dict[str, Any]:
    return {"what": what, "value": value, "at_most": most, "holds": value <= most}


def _kept(journal: Path) -> tuple[int, int]:
    """(windows, bytes of entries as they lie) of a journal."""
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        return connection.execute(
            "SELECT (SELECT COUNT(*) FROM window), (SELECT COALESCE(SUM(LENGTH(body)), 0) FROM entry)"
        ).fetchone()


def free_ports(count: int) -> list[int]:
    """So many ports that nobody uses, below those that the system gives away by itself: one of those could be
    taken, by anybody's connection, before the gateway listens there.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise Failure(f"This machine has no {count} free ports between {PORTS[0]} and {PORTS[-1]}.")


def _configuration(path: Path, options: FacilityOptions, devices: list[tuple[str, bytes, int]]) -> Path:
    (path / "province").mkdir()
    kept = {"id": "province", "kind": "directory", "path": "province", "send": ["windows"]}
    return write_config(
        path,
        {name: key for name, key, _ in devices},
        {name: port for name, _, port in devices},
        options.channels,
        {"window_minutes": 1},
        [table("[[destination]]", kept)],
    )
