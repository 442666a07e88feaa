"""What a process costs, read from /proc, and what machine this is."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Of one process, now."""

    cpu_s: float
    rss_mib: float
    peak_mib: float


def cost_of(pid: int) -> Cost:
    """CPU seconds used so far, resident memory now and at its highest. OSError when the process is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    now = _mib(status["VmRSS"])
    return Cost(
        cpu_s, now, max(now, _mib(status["VmHWM"]))
    )  # the kernel brings the second one up to date later


def written_by(pid: int) -> int:
    """Bytes that a process caused to be written to storage so far, as the kernel counts them: whole pages."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])


def _mib(text: str) -> float:
    return round(int(text.split()[0]) / 1024, 1)


def machine() -> str:
    """Processor, cores, Python: what a figure is worth nothing without."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith(("model name", "Model"))
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
