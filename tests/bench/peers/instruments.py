"""Modbus TCP instruments that number their answers, so that every reading can be told from every other one.

Rule 1: a register pair holds a float32 that is a whole number of 24 bits: 12 of the answer's number, 5 of the
        instrument, 7 of the quantity. `parts()` takes it apart; a float32 holds it exactly.
Rule 2: each register pair is numbered by itself: how often it was answered. So a reading is made once, by
        one answer, whatever is asked for in one request, and whether requests overlap or are repeated.
Rule 3: what was made is counted where it is made, and can be read when the instruments have fallen silent.

Otherwise as simulator/modbus_load.py, whose values tell steps of time, which come back after 3.2 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import struct
from typing import Any

QUANTITIES_MAX, INSTRUMENTS_MAX, ANSWERS_MAX = 1 << 7, 1 << 5, 1 << 12
READY_S_MAX = 60


def value(number: int, instrument: int, quantity: int) -> int:
    """What a register pair holds in an instrument's answer of that number."""
    return (number % ANSWERS_MAX) << 12 | instrument << 7 | quantity


def parts(whole: int) -> tuple[int, int, int]:
    """(number of the answer, instrument, quantity) of a value."""
    return whole >> 12, whole >> 7 & 31, whole & 127


class Instruments:
    """`count` instruments of `quantities` in a process of their own; `ports` on 127.0.0.1, unit 1 of each."""

    def __init__(self, count: int, quantities: int):
        if not (1 <= count <= INSTRUMENTS_MAX and 1 <= quantities <= QUANTITIES_MAX):
            raise ValueError(f"at most {INSTRUMENTS_MAX} instruments of {QUANTITIES_MAX} quantities")
        self.count, self.quantities = count, quantities
        spawn = multiprocessing.get_context("spawn")  # never fork a process that runs threads
        self._made = spawn.RawArray("Q", count)
        self._answers = spawn.RawArray("Q", count)
        ours, theirs = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(theirs, self._made, self._answers, quantities), daemon=True
        )
        self._process.start()
        if not ours.poll(READY_S_MAX):
            self.silence()
            raise TimeoutError(f"the simulated instruments were not ready within {READY_S_MAX} s")
        self.ports: list[int] = ours.recv()

    def made(self) -> int:
        """Readings in answers so far. OverflowError when the numbers began anew: the turn was too long."""
        if max(self._answers) > ANSWERS_MAX:
            raise OverflowError(
                "an instrument has answered more often than its numbers reach: measure less long"
            )
        return sum(self._made)

    def silence(self) -> None:
        """All of them are switched off: connections end, nothing more is made."""
        self._process.terminate()
        self._process.join()


def _serve(ready: Any, made: Any, answers: Any, quantities: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_all(ready, made, answers, quantities))


async def _serve_all(ready: Any, made: Any, answers: Any, quantities: int) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    servers = []
    for i in range(len(made)):
        data = SimData(0, values=[0] * (2 * quantities), datatype=DataType.REGISTERS)
        device = SimDevice(1, [data], action=_numbering(i, quantities, made, answers))
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
    ready.send([server.transport.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


def _numbering(instrument: int, quantities: int, made: Any, answers: Any) -> Any:
    """An action that fills in the registers asked for, each pair under its next number."""
    numbers = [0] * quantities

    async def action(
        function: int, start: int, address: int, count: int, registers: list[int], written: Any
    ) -> None:
        first, pairs = address // 2, count // 2
        asked = range(first, first + pairs)
        held = (float(value(numbers[q], instrument, q)) for q in asked)
        at = address - start
        registers[at : at + 2 * pairs] = struct.unpack(f">{2 * pairs}H", struct.pack(f">{pairs}f", *held))
        for q in asked:
            numbers[q] += 1
        made[instrument] += pairs
        answers[instrument] = max(answers[instrument], numbers[first])

    return action
