"""What one station's load of 20 readings a second takes of the machine: memory, and the share of a core.

Two gateways, each in full: journal with full durability, evidence, and the page, which is looked at.

device: ten channels every 500 ms, framed as the firmware frames them, over TCP; windows as files to an SFTP
        server and to an MQTT broker, checkpoints to a witness.
wired:  ten quantities every 500 ms of an instrument on Modbus TCP, each reading to an MQTT broker (QoS 1):
        the work that gateways of other makers are used for.

The process is looked at from outside. `peak_mib` is its highest resident memory since it began, its start
included; `at_ready` is what it had when it was ready, `core` what it used from then on, of one core.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from simulator.device_load import POLL_MS, ROWS, LoadDevice
from simulator.modbus_load import serve
from simulator.receivers import SftpReceiver
from simulator.witness_server import WitnessProcess
from tools.bench.broker import running_broker
from tools.bench.ingest import write_config
from tools.bench.measure import cost_of
from tools.bench.poll import modbus_config
from tools.demo.site import HOST, SFTP_USER, free_port, secret, table
from tools.gateway_process import GatewayProcess

DEVICE = "st-01"
WITNESS_NAME = "witness.quantrac.example/bench"
SETTLE_S = 3.0
"""After the start: connections are made. Then each page is looked at once, before what is measured begins."""
LOOK_S = 5.0
"""A page is asked for so often, one after the other."""
PAGES = ("/", "/history", "/alerts", "/destinations", "/instruments", "/evidence", "/events", "/health",
         "/metrics", "/api/v1/current")  # fmt: skip


def run(seconds: float) -> dict[str, Any]:
    """Both, one after the other."""
    return {"device": asyncio.run(_device(seconds)), "wired": asyncio.run(_wired(seconds))}


async def _device(seconds: float) -> dict[str, Any]:
    key, link = secrets.token_bytes(32), free_port()
    device = LoadDevice(DEVICE, key, link, 0)
    async with _folder() as path, _department(path) as department:
        web = free_port()
        gateway = {"web": {"host": HOST, "port": web}}
        config = write_config(path, {DEVICE: key}, {DEVICE: link}, gateway=gateway, more=[department])
        load = lambda: asyncio.to_thread(device.run_live, SETTLE_S + seconds)  # noqa: E731
        return {**await _measured(path, config, web, seconds, load), "frames": device.acknowledged}


async def _wired(seconds: float) -> dict[str, Any]:
    async with _folder() as path:
        with serve(1, ROWS) as ports, running_broker(path) as (_, mqtt):
            web, config = free_port(), path / "config.toml"
            national = table("[[destination]]", {
                "id": "national", "kind": "mqtt", "host": HOST, "port": mqtt, "send": ["readings"],
            })  # fmt: skip
            config.write_text(modbus_config(ports, ROWS, POLL_MS, web, [national]), encoding="utf-8")
            return await _measured(path, config, web, seconds, lambda: asyncio.sleep(SETTLE_S + seconds))


async def _measured(
    path: Path, config: Path, web: int, seconds: float, load: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    gateway = GatewayProcess(config, None, path)
    await gateway.start()
    try:
        await asyncio.wait_for(gateway.notifications.ready.wait(), 60)
        assert gateway.process is not None
        pid = gateway.process.pid
        ready, loading = cost_of(pid), asyncio.ensure_future(load())
        await asyncio.sleep(SETTLE_S)
        await asyncio.to_thread(_look, web, 0.0)
        before, began = cost_of(pid), time.monotonic()
        await asyncio.gather(loading, asyncio.to_thread(_look, web, seconds))
        took, after = time.monotonic() - began, cost_of(pid)
    finally:
        await gateway.stop()
    return {
        "peak_mib": after.peak_mib, "rss_mib": after.rss_mib, "at_ready": ready._asdict(),
        "seconds": round(took, 1), "cpu_seconds": round(after.cpu_s - before.cpu_s, 2),
        "core": round((after.cpu_s - before.cpu_s) / took, 4),
    }  # fmt: skip


def _look(port: int, seconds: float) -> None:
    """Each page once, one every LOOK_S when there is time for it."""
    began = time.monotonic()
    for number, page in enumerate(PAGES):
        with urllib.request.urlopen(f"http://{HOST}:{port}{page}", timeout=30) as answer:
            answer.read()
        if seconds:
            if (number + 1) * LOOK_S > seconds:
                return
            time.sleep(max(0.0, began + (number + 1) * LOOK_S - time.monotonic()))


@contextlib.asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def _department(path: Path) -> AsyncIterator[str]:
    """Runs the receivers; their tables in the configuration."""
    password = secrets.token_urlsafe(12)
    sftp = SftpReceiver(path / "province", HOST, 0, SFTP_USER, password, path / "hostkey")
    witness = WitnessProcess(path / "witness", WITNESS_NAME, [path / "gateway" / "log.vkey"], path / "w.log")
    await sftp.start()
    await witness.start()
    try:
        secret(path / "password", password)
        secret(path / "host.pub", sftp.public_line)
        secret(path / "witness.vkey", witness.vkey)
        with running_broker(path) as (_, mqtt):
            yield "\n".join([
                table("[[destination]]", {
                    "id": "province", "kind": "sftp", "host": HOST, "port": sftp.port, "user": SFTP_USER,
                    "password_file": "password", "host_key_file": "host.pub", "send": ["windows"],
                }),
                table("[[destination]]", {
                    "id": "national", "kind": "mqtt", "host": HOST, "port": mqtt, "send": ["windows"],
                }),
                table("[[witness]]", {"url": witness.url, "vkey_file": "witness.vkey"}),
            ])  # fmt: skip
    finally:
        await witness.stop()
        await sftp.stop()
