"""Many fast Modbus TCP instruments: the load of `quantrac bench poll`.

Every instrument holds `quantities` float32 values (ABCD, holding registers from 0) on unit 1 of its own port.
A value says where it comes from: bits 0-9 quantity, 10-17 instrument, 18-23 a step that changes each STEP_MS.
24 bits fit a float32's fraction, so `origin()` of a reading tells any mix-up of channels or lines.

The servers are pymodbus's own, in a process of their own: they answer about 9,000 requests of 100 registers
a second on one core of a small x86 machine, twenty times what ten instruments of 100 quantities every 100 ms
ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import struct
import time
from collections.abc import Iterator
from typing import Any

STEP_MS = 50
QUANTITIES_MAX = 1 << 10
INSTRUMENTS_MAX = 1 << 8
READY_S_MAX = 30


def value(instrument: int, quantity: int, step: int) -> float:
    """What an instrument holds at a step of time."""
    return float((step & 63) << 18 | instrument << 10 | quantity)


def origin(number: float) -> tuple[int, int]:
    """(instrument, quantity) that a value comes from."""
    return int(number) >> 10 & 0xFF, int(number) & 0x3FF


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


def _serve(ready: Any, n_instruments: int, quantities: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_all(ready, n_instruments, quantities))


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
