"""What the page costs with a year of data behind it: how long each answer takes, and what the gateway uses
while people look.

The real gateway process on the journal of tools/bench/year.py, one instrument of twelve quantities, once a
second. Each page is asked for a number of times; then LOOKERS keep the first page open, as browsers do.
`value` is the slowest page's 95th percentile; `core` the share of one core that the lookers cost.
"""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from gateway.reports.period import period
from simulator.clock import mono_ms, write_timeline
from simulator.modbus_load import serve
from tools.bench.measure import cost_of, machine
from tools.bench.year import YEAR, make
from tools.demo.site import HOST, free_port, table
from tools.gateway_process import GatewayProcess

PAGES = (
    "/", "/history", "/alerts", "/destinations", "/instruments", "/evidence", "/events", "/reports",
    "/health",
    "/api/v1/current", "/api/v1/chart?symbol=COD", "/api/v1/windows?symbol=COD", "/static/page.css",
)  # fmt: skip
LONG = "/api/v1/chart?symbol=COD&from=2026-01-02&to=2026-12-31"
"""Nobody waits for it: the page is there, and draws when it comes."""
ROUNDS = 40
LOOKERS = 3
SETTLE_S = 5.0


def run(seconds: float, name: str = YEAR) -> dict[str, Any]:
    """`pages`: median and 95th percentile of each, in ms."""
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder, serve(1, 12) as ports:
        return asyncio.run(_measure(Path(folder), ports[0], seconds, name))


async def _measure(folder: Path, modbus_port: int, seconds: float, name: str) -> dict[str, Any]:
    config, port, clock = make(folder, name), free_port(), folder / "timeline.json"
    text = config.read_text(encoding="utf-8").replace("127.0.0.1:5020", f"127.0.0.1:{modbus_port}")
    web = table("[gateway]", {"web": {"host": HOST, "port": port}}).partition("\n")[2]
    config.write_text(text.replace('state_dir = "."\n', f'state_dir = "."\n{web}'), encoding="utf-8")
    write_timeline(clock, [[int(mono_ms()), period(name).to_ms + 1000, 1]])
    gateway = GatewayProcess(config, clock, folder)
    await gateway.start()
    await asyncio.wait_for(gateway.notifications.ready.wait(), 120)
    assert gateway.process is not None
    pid = gateway.process.pid
    try:
        await asyncio.sleep(SETTLE_S)
        took = await asyncio.to_thread(lambda: {path: _asked(port, path, ROUNDS) for path in PAGES})
        long_ms = (await asyncio.to_thread(_asked, port, LONG, 3))[1]
        alone = await _cores(pid, seconds / 2)
        watched = await _watched(pid, port, seconds / 2)
        cost = cost_of(pid)
    finally:
        await gateway.stop()
    pages = {path: {"median_ms": found[len(found) // 2], "p95_ms": found[int(0.95 * len(found))]}
             for path, found in took.items()}  # fmt: skip
    return {
        "name": "page", "value": max(each["p95_ms"] for each in pages.values()), "unit": "ms",
        "seconds": seconds, "cpu_seconds": cost.cpu_s, "rss_mib": cost.peak_mib, "machine": machine(),
        "core": round(watched - alone, 4), "core_unwatched": alone, "lookers": LOOKERS,
        "chart_of_a_year_ms": long_ms, "pages": pages,
    }  # fmt: skip


def _asked(port: int, path: str, rounds: int) -> list[float]:
    """Milliseconds of each answer, sorted; over one connection, as a browser asks."""
    connection, found = http.client.HTTPConnection(HOST, port, timeout=60), []
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            found.append(round((time.perf_counter() - began) * 1000, 1))
            assert answer.status == 200, f"{path} answers {answer.status}"
    finally:
        connection.close()
    return sorted(found)


async def _cores(pid: int, seconds: float) -> float:
    before = cost_of(pid).cpu_s
    await asyncio.sleep(seconds)
    return round((cost_of(pid).cpu_s - before) / seconds, 4)


async def _watched(pid: int, port: int, seconds: float) -> float:
    """... while LOOKERS keep the first page open."""
    stop = threading.Event()
    lookers = [asyncio.create_task(asyncio.to_thread(_look, port, stop)) for _ in range(LOOKERS)]
    await asyncio.sleep(1.0)
    cores = await _cores(pid, seconds)
    stop.set()
    parts = await asyncio.gather(*lookers)
    assert all(parts), "nothing came over a line that was looked at"
    return cores


def _look(port: int, stop: threading.Event) -> int:
    """Parts that came."""
    connection, found = http.client.HTTPConnection(HOST, port, timeout=20), 0
    connection.request("GET", "/api/v1/live?part=now&lang=vi")
    answer = connection.getresponse()
    while not stop.is_set():
        found += answer.readline().startswith(b"data:")
    connection.close()
    return found
