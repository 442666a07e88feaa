"""How well registers that were read fit a profile, in bits: what would hardly come about by chance.

Rule 1: every quantity has to be there and plausible, or the profile does not fit. A value that is no number
        (NaN) is what some instruments send in a fault: it speaks neither for nor against.
Rule 2: small numbers are common in any register, zeros most of all: they prove little. A float in its range
        is rare among random bits, and so is a status code that the profile knows.
Rule 3: a float that is absurdly small beside its range is none: in a wrong word order most look like that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol import registers
from protocol.profile import Profile, Quantity, Status, ratio
from protocol.reading import bits_float

TINY = 1e-6  # of the range: no instrument shows a millionth of what it can measure
UNUSUAL_ADDRESS = 64  # from here on, registers that are there among many that are not say something
UNUSUAL_BITS, ADDRESS_BITS = 3.0, 0.5
UNKNOWN_CODE_BITS = -3.0
CODE_BITS_MAX = 8.0
ZERO_BITS = 0.1

Words = Mapping[tuple[str, int], int]
"""What is known of a unit's registers: (table, address) -> word or bit."""


@dataclass
class Fit:
    """A profile against registers. `order`: the word order that was taken in place of the profile's own."""

    profile: Profile
    bits: float
    order: str | None = None
    values: dict[str, float] = field(default_factory=dict)
    how: str = "unknown"  # identified, fits, perhaps, unknown

    @property
    def longs(self) -> int:
        """Quantities of several registers: those that a word order matters to, and that are no zero."""
        return sum(
            registers.words_of(q.type) > 1 and bool(self.values.get(q.id)) for q in self.profile.quantities
        )


def judge(profile: Profile, words: Words, order: str | None = None, sparse: bool = False) -> Fit | None:
    """The fit of registers to a profile, or None when there is none. `sparse`: the unit refuses others."""
    fit = Fit(profile, 0.0, order)
    for quantity in profile.quantities:
        value = value_of(quantity, words, order)
        if value is None or not (plausible(quantity, value) or math.isnan(value)):
            return None
        fit.values[quantity.id] = value
        fit.bits += _value_bits(quantity, value)
    for status in profile.statuses:
        code = _code(status, words)
        if code is None:
            return None
        fit.bits += _code_bits(status, code)
    if sparse:
        places = {(q.table, q.register) for q in (*profile.quantities, *profile.statuses)}
        unusual = any(register >= UNUSUAL_ADDRESS for _, register in places)
        fit.bits += UNUSUAL_BITS if unusual else ADDRESS_BITS
    return fit


def value_of(quantity: Quantity, words: Words, order: str | None = None) -> float | None:
    """In the quantity's unit, as the device computes it; None when a register is not known."""
    if quantity.table in ("coil", "discrete"):
        found = [words.get((quantity.table, quantity.register))]
    else:
        count = registers.words_of(quantity.type)
        found = [words.get((quantity.table, quantity.register + i)) for i in range(count)]
    if None in found:
        return None
    multiply: Any
    multiply, divide = ratio(quantity.scale)
    order = order or quantity.word_order
    return bits_float(registers.raw_bits(found, quantity.type, order, multiply, divide, quantity.offset))


def plausible(quantity: Quantity, value: float) -> bool:
    """Rule 3, and within the profile's range."""
    low, high = quantity.plausible
    if not math.isfinite(value) or not low <= value <= high:
        return False
    floats = quantity.type.startswith("float")
    return value == 0 or not floats or abs(value) >= TINY * max(abs(low), abs(high))


def orders(quantity: Quantity, words: Words) -> dict[str, float | None]:
    """The value under each word order; None for what is no number there."""
    found = {order: value_of(quantity, words, order) for order in registers.ORDERS}
    return {order: v if v is not None and math.isfinite(v) else None for order, v in found.items()}


def _value_bits(quantity: Quantity, value: float) -> float:
    if math.isnan(value):
        return 0.0
    if value == 0:
        return ZERO_BITS
    low, high = quantity.plausible
    widest = max(abs(low), abs(high))
    if quantity.type.startswith("float"):
        exponents = 254 if quantity.type == "float32" else 2046
        share = (1 if low < 0 else 0.5) * -math.log2(TINY) / exponents
        return -math.log2(share)
    bits = 16 * registers.words_of(quantity.type)
    if quantity.table in ("coil", "discrete"):
        return 0.0
    steps = widest / abs(quantity.scale) + 1
    share = 0.5 * min(1.0, steps / 2**bits) + 0.5 * min(1.0, math.log2(steps) / bits)
    return -math.log2(share)


def _code(status: Status, words: Words) -> int | None:
    count = 1 if status.table in ("coil", "discrete") else registers.words_of(status.type)
    number = 0
    for i in range(count):
        word = words.get((status.table, status.register + i))
        if word is None:
            return None
        number = number << 16 | word
    return number & status.mask


def _code_bits(status: Status, code: int) -> float:
    if code not in status.values:
        return UNKNOWN_CODE_BITS
    if code == 0 or status.table in ("coil", "discrete"):
        return ZERO_BITS
    return min(CODE_BITS_MAX, math.log2((status.mask + 1) / len(status.values)))
