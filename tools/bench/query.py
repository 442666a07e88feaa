"""How long the query of a day's chart takes in a journal of a year of twelve channels: the windows of one
channel, all revisions, as the page's charts ask for them; a day drawn at random each time.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.journal.reader import reading
from gateway.reports.period import period
from gateway.zone import DAY_MS
from tools.bench.measure import cost_of, machine
from tools.bench.year import CHANNELS, YEAR, make

QUERIES = 400


def run(seconds: float, name: str = YEAR) -> dict[str, Any]:
    """`value` is the median in ms; `seconds` of the argument is not needed here."""
    began, asked, chance = time.monotonic(), period(name), random.Random(1)
    days = range(asked.from_ms, asked.to_ms, DAY_MS)
    with tempfile.TemporaryDirectory(prefix="quantrac-bench-") as folder:
        config = make(Path(folder), name)
        took, rows = [], 0
        with reading(config.parent / "journal.db") as reader:
            for _ in range(QUERIES):
                day_ms, symbol = chance.choice(days), chance.choice(CHANNELS)[0]
                start = time.perf_counter()
                rows += len(reader.windows(day_ms, day_ms + DAY_MS, symbol))
                took.append((time.perf_counter() - start) * 1000)
    took.sort()
    cost = cost_of(os.getpid())
    return {
        "name": "query", "value": round(took[QUERIES // 2], 2), "unit": "ms",
        "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(cost.cpu_s, 2),
        "rss_mib": cost.peak_mib, "machine": machine(), "p99_ms": round(took[QUERIES * 99 // 100], 2),
        "worst_ms": round(took[-1], 2), "rows": rows // QUERIES,
    }  # fmt: skip
