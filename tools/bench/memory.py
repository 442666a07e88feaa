"""The gateway's resident memory while the demo runs: a real device, five instruments, SFTP and MQTT.

Then that, and the share of a core, at one station's load of 20 readings a second (one_station.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.bench import one_station
from tools.bench.measure import cost_of, machine
from tools.people import Failure

SETTLE_S = 20.0
"""Start-up and the fast first forty minutes: what is measured begins after them, the peak includes them."""


def run(seconds: float) -> dict[str, Any]:
    """`value` is the largest resident memory in the demo, in MiB; `station` what one_station.py found."""
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        directory = Path(folder) / "demo"
        began = time.monotonic()
        demo = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "demo", "--json", "--port", "0", "--dir", str(directory),
             "--seconds", str(seconds + SETTLE_S)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        lock = directory / "gateway" / "gateway.lock"
        cost, samples = None, []
        while demo.poll() is None:
            try:
                cost = cost_of(int(lock.read_text().split()[0]))
            except (OSError, IndexError, ValueError):
                pass  # not there yet, or just gone
            else:
                if time.monotonic() - began > SETTLE_S:
                    samples.append(cost)
            time.sleep(0.5)
        out, _ = demo.communicate()
    if not samples or demo.returncode:
        raise Failure(f"The demo did not run through (status {demo.returncode}): see what it said above.")
    summary = json.loads(out[out.index("{") :])
    used = samples[-1].cpu_s - samples[0].cpu_s
    return {
        "name": "memory", "value": max(s.peak_mib for s in samples), "unit": "MiB", "seconds": seconds,
        "cpu_seconds": round(used, 2), "rss_mib": samples[-1].rss_mib, "machine": machine(),
        "rss_at_first_mib": samples[0].rss_mib, "lost": summary["readings"]["lost"],
        "station": one_station.run(seconds),
    }  # fmt: skip
