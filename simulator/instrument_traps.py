"""How a simulated instrument deceives or refuses, by the traps that its profile declares.

Rule 1: nothing happens that the profile does not declare (protocol/profile_trap.py), except silence for
        `link.startup_ms` after `Instrument.power_up()`, which is a trap of its own kind.
Rule 2: a refusal is decided before the registers are looked at; what stands in them, when they are filled.
Rule 3: `slow-after-answer` counts the line's own time; everything else goes by the station's clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException

from protocol import profile_trap as trap
from protocol import registers
from protocol.profile import Profile, Quantity

NAN_BITS = 0x7FC00000
REGISTER_TABLES = ("holding", "input")


class Manners:
    """What one instrument refuses, and what its registers hold in a fault."""

    def __init__(self, profile: Profile, now_ms: Callable[[], int]) -> None:
        self._profile, self._now_ms = profile, now_ms
        self._kinds = {entry.kind: entry for entry in profile.traps}
        self._silent_until_ms = 0
        self._deaf = False  # to the next request
        self._due_ms: int | None = None  # when the measurement that was started is there
        self._answered_s = -1e9
        self._whole = {  # (table, address, count) of requests for exactly one thing
            (entry.table, entry.register, _words(entry))
            for entry in (*profile.quantities, *profile.statuses, *profile.identify)
        }

    def power_up(self) -> None:
        """Its supply comes back at this instant of the station's clock."""
        self._silent_until_ms = self._now_ms() + self._profile.link.startup_ms
        self._deaf = trap.FIRST in self._kinds
        self._due_ms = None

    # ---- refusals

    async def admit(self, table: str, address: int, count: int, known: set[int]) -> ExcCodes | None:
        """Let a request in, or refuse it: an exception's code to answer, NoSuchIdException for silence.

        known: the registers of this table that the instrument has. Of coils, `count` is not the request's.
        """
        if self._now_ms() < self._silent_until_ms:
            raise NoSuchIdException("still starting")
        if self._deaf:
            self._deaf = False
            raise NoSuchIdException("missed the first request")
        if trap.SLOW in self._kinds:
            await asyncio.sleep(self._answered_s + self._profile.link.gap_ms / 1000 - time.monotonic())
            self._answered_s = time.monotonic()
        if table not in REGISTER_TABLES:
            return None
        link = self._profile.link
        for kind, code, broken in (
            (trap.BLOCK, ExcCodes.ILLEGAL_VALUE, count > link.max_block),
            (trap.SINGLE, ExcCodes.ILLEGAL_ADDRESS, (table, address, count) not in self._whole),
        ):
            if broken and kind in self._kinds:
                return _refusal(self._kinds[kind], code)
        if self.knows_its_own and not known.issuperset(range(address, address + count)):
            if trap.UNKNOWN in self._kinds:
                raise NoSuchIdException("knows no such register")
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    @property
    def knows_its_own(self) -> bool:
        """Whether it tells itself which registers there are; else pymodbus does, before anybody is asked."""
        return trap.UNKNOWN in self._kinds or trap.BLOCK in self._kinds

    # ---- measuring when told to

    @property
    def waits_for_start(self) -> bool:
        return trap.START in self._kinds

    def started(self, wait_ms: int) -> None:
        """A start command was obeyed."""
        self._due_ms = self._now_ms() + wait_ms

    def finished(self) -> int | None:
        """Station time of the measurement that has ended since the last call; None when there is none."""
        if self._due_ms is None or self._now_ms() < self._due_ms:
            return None
        due_ms, self._due_ms = self._due_ms, None
        return due_ms

    # ---- what the registers hold

    def in_fault(self, quantity: Quantity) -> tuple[int, ...] | None:
        """The registers' words in a fault: () for those that stood there before, None when it goes on.

        Without a trap and without a status, a float is NaN and an integer 0: something has to show it, or
        nothing does.
        """
        if self._of(trap.HELD, quantity):
            return ()
        if self._of(trap.ZERO, quantity):
            return registers.encode(0, quantity.type, quantity.word_order)
        if code := self._of(trap.CODE, quantity):
            return registers.encode(code.number, quantity.type, quantity.word_order)
        nan = self._of(trap.NAN, quantity)
        if nan or (not quantity.statuses and quantity.type == "float32"):
            if quantity.type == "float64":
                return registers.encode(float("nan"), quantity.type, quantity.word_order)
            bits = nan.number if nan and nan.number else NAN_BITS
            return registers.words_of_bits(bits, quantity.word_order)
        if not quantity.statuses:
            return registers.encode(0, quantity.type, quantity.word_order)
        return None

    def frozen_in_maintenance(self, quantity: Quantity) -> bool:
        return self._of(trap.FROZEN, quantity) is not None

    def limited(self, quantity: Quantity, number: float) -> float:
        """The unscaled number, at most where the instrument saturates."""
        end = self._of(trap.SATURATES, quantity)
        return number if end is None else min(number, end.number)

    def _of(self, kind: str, quantity: Quantity) -> trap.Trap | None:
        return trap.of(self._profile.traps, kind, quantity.id)


def _refusal(entry: trap.Trap, code: ExcCodes) -> ExcCodes:
    """The exception to answer; NoSuchIdException for silence."""
    if entry.answer == "silence":
        raise NoSuchIdException(entry.kind)
    return code


def _words(entry) -> int:
    return entry.words if hasattr(entry, "words") else registers.words_of(entry.type)
