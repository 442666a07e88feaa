"""How long `quantrac report` takes for a year of twelve channels (1.26 million windows), all files: the
command itself, as people start it, and the memory of the larger of its two processes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.bench.measure import machine
from tools.bench.year import YEAR, make
from tools.people import Failure

ROUNDS = 3
_LAUNCH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""A small process starts it: one that is made by a large one has the large one's peak for its own."""


def run(seconds: float, name: str = YEAR) -> dict[str, Any]:
    """`value` is the median in seconds; `seconds` of the argument is not needed here."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        config = make(Path(folder), name)
        took = [_report(config, name, Path(folder) / f"out-{number}") for number in range(ROUNDS)]
        files = {path.name: path.stat().st_size for path in (Path(folder) / "out-0").iterdir()}
    middle = sorted(took)[ROUNDS // 2]
    return {
        "name": "report", "value": round(middle[0], 2), "unit": "s",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(middle[1], 2),
        "rss_mib": max(one[2] for one in took), "machine": machine(), "period": name,
        "each_s": [round(one[0], 2) for one in took], "files": dict(sorted(files.items())),
    }  # fmt: skip


def _report(config: Path, name: str, out: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds of both processes, peak MiB of the larger)"""
    command = [sys.executable, "-m", "tools.cli", "report", str(config), "--period", name, "--out", str(out)]
    start = time.monotonic()
    launched = [sys.executable, "-I", "-c", _LAUNCH, *command]
    said = subprocess.run(launched, stdout=subprocess.PIPE, text=True, check=True).stdout
    status, cpu_s, rss_mib = said.split()
    if status != "0":
        raise Failure(f"The report was not made (status {status}): see what it said above.")
    return time.monotonic() - start, float(cpu_s), round(float(rss_mib), 1)
