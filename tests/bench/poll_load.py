"""Polling alone, without journal and broker: what gateway.ingest.line costs, and that no value is mixed up.

    python -m tests.bench.poll_load SECONDS INSTRUMENTS QUANTITIES POLL_MS

The instruments are those of simulator/modbus_load.py; `quantrac bench poll` measures the whole chain.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from protocol.reading import bits_float
from simulator.modbus_load import origin, serve


def bus_id(instrument: int) -> str:
    """The id of the bus that an instrument stands on."""
    return f"load-{instrument:03d}"


def buses(ports: Sequence[int], timeout_ms: int = 500, retries: int = 2) -> list[Any]:
    """A bus for each port, with the attributes of the configuration's `[[bus]]`."""
    return [
        SimpleNamespace(
            id=bus_id(i),
            link=SimpleNamespace(host="127.0.0.1", port=port),
            timeout_ms=timeout_ms,
            retries=retries,
            gap_registers=8,
        )
        for i, port in enumerate(ports)
    ]


def channels(n_instruments: int, quantities: int, poll_ms: int) -> list[Any]:
    """Channels with the attributes of the configuration's: index = instrument * quantities + quantity."""
    return [
        SimpleNamespace(
            symbol=f"I{i}Q{q}",
            source=SimpleNamespace(
                bus=bus_id(i), unit=1, table="holding", register=2 * q, type="float32", word_order="ABCD",
                scale=1.0, offset=0.0, poll_ms=poll_ms, phase_ms=0,
            ),
        )
        for i in range(n_instruments)
        for q in range(quantities)
    ]  # fmt: skip


def run(seconds: float, instruments: int, quantities: int, poll_ms: int) -> dict[str, Any]:
    """Poll the load with gateway.ingest.line alone and check every value.

    Returns readings_per_s, read (with a value), empty (without), wrong (not the channel's own: must be 0),
    skipped (readings that skipped polls would have given), cpu_seconds and rss_mib of this process, and
    the mean response_ms.
    """
    with serve(instruments, quantities) as ports:
        return asyncio.run(_measure(ports, seconds, quantities, poll_ms))


async def _measure(ports: list[int], seconds: float, quantities: int, poll_ms: int) -> dict[str, Any]:
    from gateway.clock import Clock
    from gateway.ingest.line import Line

    read = empty = wrong = 0

    def sink(bus: str, rows: list[tuple[int, int, int | None, int]]) -> None:
        nonlocal read, empty, wrong
        for channel, _, raw_bits, _ in rows:
            if raw_bits is None:
                empty += 1
            elif origin(bits_float(raw_bits)) == divmod(channel, quantities):
                read += 1
            else:
                wrong += 1

    wired = channels(len(ports), quantities, poll_ms)
    lines = [Line(bus, wired, Clock(), sink) for bus in buses(ports)]
    tasks = [asyncio.create_task(line.run()) for line in lines]
    await asyncio.sleep(1)  # connecting is not measured
    read = empty = 0
    skipped_before = _skipped(lines)
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    found = read, empty, wrong, (_skipped(lines) - skipped_before) * quantities
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    units = [unit for line in lines for unit in line.counters.units.values()]
    return {
        "readings_per_s": round(found[0] / took, 1),
        **dict(zip(("read", "empty", "wrong", "skipped"), found, strict=True)),
        "seconds": round(took, 3),
        "cpu_seconds": round(cpu, 3),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "response_ms": round(sum(unit.response_ms for unit in units) / len(units), 3),
    }


def _skipped(lines: list[Any]) -> int:
    return sum(unit.skipped_polls for line in lines for unit in line.counters.units.values())


if __name__ == "__main__":
    import sys

    given = [int(text) for text in sys.argv[1:]] or [10, 10, 100, 100]
    print(run(*given))
