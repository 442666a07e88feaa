"""A sampler as a Modbus unit: coil 0 fills the bottle under the tap, discrete input 0 closes when it is full.

Rule 1: whoever switches the coil on begins a bottle; it is full after `fill_s`, and the contact stays closed
        while the coil is on and for `hold_s` after, as the carousel moves on.
Rule 2: `contact` says what is wrong with it: "open" never closes, "closed" always is.
Rule 3: what truly happened stands in `fills`, for whoever compares: seconds that the coil was on, each time.
Holding register 0 counts the bottles that are full, and 1 is `level`, for channels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

CONTACTS = ("good", "open", "closed")
WRITE_COIL, READ_DISCRETE, READ_HOLDING = 5, 2, 3


class ModbusSampler:
    """One unit; `device` is what pymodbus serves. Seconds are those of the machine, unless `now_s` says."""

    def __init__(self, unit: int = 1, fill_s: float = 0.2, hold_s: float = 1.0, contact: str = "good",
                 now_s: Callable[[], float] = time.monotonic):  # fmt: skip
        self._now_s = now_s
        self.fill_s, self.hold_s, self.contact = fill_s, hold_s, contact
        self.level = 0  # 0 to 65535
        self.refuses = False  # writes get a Modbus exception
        self.begun = 0  # times that the coil went on
        self.fills: list[float] = []
        self.full_at: list[float] = []  # when a bottle was taken away full
        self.on_since: float | None = None
        self._off_at = float("-inf")
        self._was_full = False
        self._full = 0
        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        contacts = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        words = [SimData(0, values=[0, 0], datatype=DataType.REGISTERS)]
        unused = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
        self.device = SimDevice(unit, (bits, contacts, words, unused), action=self._access)

    @property
    def on(self) -> bool:
        """Whether the coil is on."""
        return self.on_since is not None

    async def _access(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: Any
    ) -> ExcCodes | None:
        if function == WRITE_COIL and values is not None:  # it reads what it wrote, too
            if self.refuses:
                return ExcCodes.DEVICE_FAILURE
            self._switch(bool(values[0]))
        elif function == READ_DISCRETE:
            registers[0] = int(self._closed())
        elif function == READ_HOLDING:
            registers[:2] = [self._full, self.level]
        return None

    def _switch(self, on: bool) -> None:
        now = self._now_s()
        if on and self.on_since is None:
            self.on_since = now
            self.begun += 1
        elif not on and self.on_since is not None:
            lasted = now - self.on_since
            self.fills.append(lasted)
            self._was_full = lasted >= self.fill_s
            self._full += self._was_full
            self.full_at += [now] if self._was_full else []
            self.on_since, self._off_at = None, now

    def _closed(self) -> bool:
        if self.contact != "good":
            return self.contact == "closed"
        now = self._now_s()
        if self.on_since is not None:
            return now - self.on_since >= self.fill_s
        return self._was_full and now - self._off_at < self.hold_s
