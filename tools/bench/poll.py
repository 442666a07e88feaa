"""Modbus TCP to journal to MQTT QoS 1: ten instruments of 100 quantities every 100 ms, then more.

The real gateway process; pymodbus servers in a second process, a broker (Mosquitto where it is installed,
else the simulator's) and a subscriber in this one. Every message is looked at: a reading counts as delivered
once, and only if its value comes from the instrument and quantity that its symbol names. At the end the
journal says how many there should be.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.journal.database import connect_to_read
from gateway.journal.kinds import POLL
from gateway.journal.packed import stored_body
from protocol import messages
from simulator.modbus_load import serve
from tools.bench.broker import Subscriber, running_broker
from tools.bench.measure import cost_of, machine
from tools.demo.site import HOST, free_port, table
from tools.demo.table import fetch_current
from tools.gateway_process import GatewayProcess

QUANTITIES = 100
LOADS = ((10, 100), (10, 50), (20, 50))
"""(instruments, poll_ms): the asked load, twice that, and four times that to find the ceiling."""
WARM_S = 2.0
DRAIN_S_MAX = 60.0


def run(seconds: float) -> dict[str, Any]:
    """`value` is delivered readings a second at the asked load; `loads` has all three.

    `twice_of_possible`: what came at twice the load, of what was offered or of the ceiling if that is less.
    """
    loads = [_load(instruments, poll_ms, seconds) for instruments, poll_ms in LOADS]
    ceiling = max(load["readings_per_s"] for load in loads)
    asked, twice = loads[0], loads[1]
    possible = min(ceiling, twice["offered_per_s"])
    return {
        "name": "poll", "value": asked["readings_per_s"], "unit": "readings/s", "seconds": seconds,
        "cpu_seconds": asked["cpu_seconds"], "rss_mib": asked["rss_mib"], "machine": machine(),
        "lost": sum(load["journaled"] - load["delivered"] for load in loads),
        "wrong": sum(load["wrong"] for load in loads),
        "cores": asked["cores"], "twice_of_possible": round(twice["readings_per_s"] / possible, 3),
        "ceiling_at_least": ceiling, "loads": loads,
    }  # fmt: skip


def _load(instruments: int, poll_ms: int, seconds: float) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder,
        serve(instruments, QUANTITIES) as ports,
        running_broker(Path(folder)) as (broker, mqtt_port),
    ):
        found = asyncio.run(_measure(Path(folder), ports, mqtt_port, poll_ms, seconds))
    return {"instruments": instruments, "poll_ms": poll_ms, "broker": broker, **found}


async def _measure(
    path: Path, ports: list[int], mqtt_port: int, poll_ms: int, seconds: float
) -> dict[str, Any]:
    web_port = free_port()
    config = path / "config.toml"
    config.write_text(_config(ports, mqtt_port, web_port, poll_ms), encoding="utf-8")
    subscriber = Subscriber(mqtt_port, QUANTITIES)
    gateway = GatewayProcess(config, None, path)
    await gateway.start()
    await asyncio.wait_for(gateway.notifications.ready.wait(), 60)
    assert gateway.process is not None
    pid, page = gateway.process.pid, f"http://{HOST}:{web_port}/api/v1/current"
    await asyncio.sleep(WARM_S)
    delivered, before, began = subscriber.readings, cost_of(pid), time.monotonic()
    await asyncio.sleep(seconds / 2)
    half = cost_of(pid)
    await asyncio.sleep(seconds / 2)
    delivered, took, after = subscriber.readings - delivered, time.monotonic() - began, cost_of(pid)
    current = await asyncio.to_thread(fetch_current, page, 30.0)
    await gateway.stop()
    journal = path / "gateway" / "journal.db"
    await _drain(config, path, journal)
    journaled = _journaled(journal)
    await asyncio.to_thread(subscriber.wait_for, journaled, DRAIN_S_MAX)
    subscriber.stop()
    units = [unit for bus in current["buses"].values() for unit in bus["units"].values()] if current else []
    return {
        "readings_per_s": round(delivered / took),
        "offered_per_s": round(len(ports) * QUANTITIES * 1000 / poll_ms),
        "journaled": journaled, "delivered": subscriber.readings,
        "twice": subscriber.twice, "wrong": subscriber.wrong,
        "skipped_polls": sum(unit["skipped_polls"] for unit in units),
        "cores": round((after.cpu_s - before.cpu_s) / took, 2),
        "cpu_seconds": round(after.cpu_s - before.cpu_s, 2),
        "rss_half_way_mib": half.rss_mib, "rss_mib": after.rss_mib,
    }  # fmt: skip


async def _drain(config: Path, path: Path, journal: Path) -> None:
    """What SIGTERM left in the outbox goes at the next start, as it would in the field."""
    last = _pending(journal, 1 << 62)[1]
    if last is None:
        return
    gateway = GatewayProcess(config, None, path)
    await gateway.start()
    deadline = time.monotonic() + DRAIN_S_MAX
    while _pending(journal, last)[0] and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    await gateway.stop()


def _pending(journal: Path, last: int) -> tuple[int, int | None]:
    """(documents not yet confirmed up to number `last`, the newest of them)."""
    connection = connect_to_read(journal)
    try:
        return connection.execute(
            "SELECT count(*), max(id) FROM outbox WHERE state = 0 AND id <= ?", (last,)
        ).fetchone()
    finally:
        connection.close()


def _journaled(journal: Path) -> int:
    """Readings with a value in the journal."""
    connection = connect_to_read(journal)
    try:
        bodies = connection.execute("SELECT body FROM entry WHERE kind = ?", (POLL,))
        found = (messages.decode(stored_body(POLL, body)) for (body,) in bodies)
        return sum(row[2] is not None for message in found for row in message.rows)
    finally:
        connection.close()


def modbus_config(
    ports: list[int], quantities: int, poll_ms: int, web_port: int, destinations: Sequence[str] = ()
) -> str:
    """A gateway with an instrument of `quantities` on each of these ports."""
    parts = [
        table("[station]", {
            "province": "LCa", "facility": "LOAD", "code": "NUO001", "name": "load", "kind": "wastewater",
        }),
        table("[gateway]", {"state_dir": "gateway", "web": {"host": HOST, "port": web_port}}),
        *destinations,
    ]  # fmt: skip
    for i, port in enumerate(ports):
        parts.append(
            table("[[bus]]", {"id": f"b{i}", "link": f"modbus-tcp://{HOST}:{port}", "timeout_ms": 500})
        )
        parts += [
            table("[[channel]]", {
                "symbol": f"I{i}Q{q}", "unit": "mg/l",
                "source": {
                    "bus": f"b{i}", "unit": 1, "register": 2 * q, "type": "float32", "poll_ms": poll_ms,
                },
            })
            for q in range(quantities)
        ]  # fmt: skip
    return "\n".join(parts)


def _config(ports: list[int], mqtt_port: int, web_port: int, poll_ms: int) -> str:
    destination = table("[[destination]]", {
        "id": "national", "kind": "mqtt", "host": HOST, "port": mqtt_port, "send": ["readings"],
    })  # fmt: skip
    return modbus_config(ports, QUANTITIES, poll_ms, web_port, [destination])
