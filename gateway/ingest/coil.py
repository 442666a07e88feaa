"""Writing one coil, as a question on a Modbus line (exchange.py), and reading one contact. Pure.

Rule 1: the right answer to a write (function 5) is the request once more: address and value.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ingest.decoding import Row
from gateway.ingest.planner import Block

WRITE_COIL, READ_DISCRETE = 5, 2
ON, OFF = 0xFF00, 0x0000


@dataclass(frozen=True, eq=False, slots=True)
class CoilWrite:
    """One request. `count` stands where a read says how many."""

    unit: int
    address: int
    on: bool
    function: int = WRITE_COIL
    answer_bytes: int = 3  # behind the first byte of the answer's body, as an answer to a read has them

    @property
    def count(self) -> int:
        """The value, as it is sent."""
        return ON if self.on else OFF

    @property
    def echo(self) -> bytes:
        """The body of the right answer."""
        return self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big")


def contact(unit: int, address: int) -> Block:
    """The request that reads one discrete input."""
    return Block(unit, READ_DISCRETE, address, 1, 1, (), _nothing)


def _nothing(data: bytes, time_ms: int, good: int) -> list[Row]:
    """A contact that is no channel gives no rows."""
    return []
