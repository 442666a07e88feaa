"""From `quantrac gateway run` to READY=1: ten starts of the demo's gateway, on one journal."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from simulator.receivers import SftpReceiver
from simulator.scene import load_scene
from tools.bench.measure import cost_of, machine
from tools.demo import site as sites
from tools.demo.clock import fix_timeline
from tools.gateway_process import GatewayProcess

STARTS = 10


def run(seconds: float) -> dict[str, Any]:
    """`value` is the median in seconds; `seconds` of the argument is not needed here."""
    return asyncio.run(_run())


async def _run() -> dict[str, Any]:
    began = time.monotonic()
    took, cpu, rss = [], [], []
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        scene = load_scene("wastewater")
        site = sites.open_site(Path(folder) / "site", scene)
        (site.keys / "province.hostkey").write_text(await _host_key(site), encoding="ascii")
        sites.write_config(
            site, scene, sites.free_port(), sites.free_port(), sites.free_port(), sites.free_port()
        )
        fix_timeline(site.timeline, None, 1)
        for _ in range(STARTS):
            gateway = GatewayProcess(site.config, site.timeline, site.run)
            start = time.monotonic()
            await gateway.start()
            await asyncio.wait_for(gateway.notifications.ready.wait(), 60)
            took.append(time.monotonic() - start)
            assert gateway.process is not None
            cost = cost_of(gateway.process.pid)
            cpu.append(cost.cpu_s)
            rss.append(cost.rss_mib)
            await gateway.stop()
    took.sort()
    return {
        "name": "startup", "value": round(took[len(took) // 2], 2), "unit": "s",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(sum(cpu) / len(cpu), 2),
        "rss_mib": max(rss), "machine": machine(),
        "fastest": round(took[0], 2), "slowest": round(took[-1], 2),
    }  # fmt: skip


async def _host_key(site: sites.Site) -> str:
    receiver = SftpReceiver(
        site.province, sites.HOST, 0, sites.SFTP_USER, "-", site.run / "province_host_key"
    )
    return receiver.public_line + "\n"
