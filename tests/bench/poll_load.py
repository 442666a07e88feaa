"""A load of Modbus TCP instruments for `quantrac bench poll` and the tests: servers, values, a measurement.

Every instrument holds `quantities` float32 values (ABCD, holding registers from 0) on unit 1 of its own port.
A value says where it comes from: bits 0-9 quantity, 10-17 instrument, 18-23 a step that changes each STEP_MS.
24 bits fit a float32's fraction, so `origin()` of a reading tells any mix-up of channels or lines.

The servers are pymodbus's own, in a process of their own: they answer about 9,000 requests of 100 registers a
second on one core here, twenty times what ten instruments of 100 quantities every 100 ms ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import resource
import struct
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

STEP_MS = 500
QUANTITIES_MAX = 1 << 10
INSTRUMENTS_MAX = 1 << 8
READY_S_MAX = 30


def value(instrument: int, quantity: int, step: int) -> float:
    """What an instrument holds at a step of time."""
    return float((step & 63) << 18 | instrument << 10 | quantity)


def origin(raw_bits: int) -> tuple[int, int]:
    """(instrument, quantity) that a reading's float32 bits come from."""
    number = int(struct.unpack("<f", struct.pack("<I", raw_bits))[0])
    return number >> 10 & 0xFF, number & 0x3FF


def bus_id(instrument: int) -> str:
    """The id of the bus that an instrument stands on."""
    return f"load-{instrument:03d}"


@contextlib.contextmanager
def serve(n_instruments: int, quantities: int) -> Iterator[list[int]]:
    """Instruments in a process of their own, while the block runs; gives their ports on 127.0.0.1."""
    if not (1 <= n_instruments <= INSTRUMENTS_MAX and 1 <= quantities <= QUANTITIES_MAX):
        raise ValueError(f"at most {INSTRUMENTS_MAX} instruments of {QUANTITIES_MAX} quantities")
    spawn = multiprocessing.get_context("spawn")  # never fork a process that runs an event loop
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, n_instruments, quantities), daemon=True)
    process.start()
    try:
        if not ours.poll(READY_S_MAX):
            raise TimeoutError(f"the simulated instruments were not ready within {READY_S_MAX} s")
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


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
            elif origin(raw_bits) == divmod(channel, quantities):
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


def _serve(ready: Any, n_instruments: int, quantities: int) -> None:
    try:
        asyncio.run(_serve_all(ready, n_instruments, quantities))
    except KeyboardInterrupt:
        pass


async def _serve_all(ready: Any, n_instruments: int, quantities: int) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    servers = []
    for i in range(n_instruments):
        data = SimData(0, values=[0] * (2 * quantities), datatype=DataType.REGISTERS)
        device = SimDevice(1, [data], action=_changing(i, quantities))
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
    ready.send([server.transport.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


def _changing(instrument: int, quantities: int) -> Any:
    """An action that fills in the registers of the present step before they are read."""
    held = -1

    async def action(
        function: int, start: int, address: int, count: int, registers: list[int], written: Any
    ) -> None:
        nonlocal held
        step = time.time_ns() // (STEP_MS * 1_000_000)
        if step != held:
            held = step
            data = struct.pack(f">{quantities}f", *(value(instrument, q, step) for q in range(quantities)))
            registers[: 2 * quantities] = struct.unpack(f">{2 * quantities}H", data)

    return action


if __name__ == "__main__":
    import sys

    given = [int(text) for text in sys.argv[1:]] or [10, 10, 100, 100]
    print(run(*given))
