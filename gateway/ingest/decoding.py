"""From the bytes of a Modbus answer to rows, compiled once for each request.

Rule 1: the bits are those of `protocol.registers.raw_bits`, whatever way they were computed
        (tests/gateway/test_planner.py compares the two for arbitrary answers).
Rule 2: a value that is no number is still handed on, with the reason: NaN is FAULT, infinity is OUT_OF_RANGE.
        What is plausible for a channel is decided by the window stage, not here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from protocol.quality import FAULT, OUT_OF_RANGE
from protocol.registers import raw_bits, words_of

Row = tuple[int, int, int | None, int]
"""(index into config.channel, station time in Unix ms, float32 bits or None, quality)."""

Decoder = Callable[[bytes, int, int], list[Row]]
"""(data bytes of the answer, time_ms, quality of a good value) -> rows."""

BIT_TABLES = ("coil", "discrete")
_EXPONENT = 0x7F800000  # all ones in a float32 that is not a number; alone: infinity
_HALVES = {"ABCD": (">", False), "CDAB": (">", True), "BADC": ("<", True), "DCBA": ("<", False)}
"""Word order -> struct's byte order, and whether the two words change places then."""


class Value(NamedTuple):
    """Where one channel's value stands in a table, and what it is."""

    channel: int  # index into config.channel
    address: int
    type: str
    order: str
    multiply: Any  # int or float
    divide: Any
    offset: Any

    @property
    def untouched(self) -> bool:
        """Whether the register bits are the raw value as they stand."""
        return self.type == "float32" and self.multiply == self.divide == 1 and self.offset == 0


def size(table: str, type: str) -> int:
    """Registers (or bits, in a bit table) that a value takes."""
    return 1 if table in BIT_TABLES else words_of(type)


def compile_decoder(table: str, start: int, values: list[Value]) -> Decoder:
    """A decoder for the answer to a request that begins at address `start`."""
    if table in BIT_TABLES:
        return _bits(start, values)
    fast, slow = _divide(values)
    passes = [(*_layout(start, order, same), [v.channel for v in same]) for order, same in fast.items()]
    picks = [(v.channel, 2 * (v.address - start), words_of(v.type), *v[2:]) for v in slow]

    def rows(data: bytes, time_ms: int, good: int) -> list[Row]:
        out: list[Row] = []
        for layout, swapped, channels in passes:
            found = layout.unpack_from(data)
            if swapped:
                found = [b >> 16 | (b & 0xFFFF) << 16 for b in found]
            out += [
                (channel, time_ms, b, good if b & _EXPONENT != _EXPONENT else _no_number(b))
                for channel, b in zip(channels, found, strict=True)
            ]
        for channel, at, words, type, order, multiply, divide, offset in picks:
            b = raw_bits(struct.unpack_from(f">{words}H", data, at), type, order, multiply, divide, offset)
            out.append((channel, time_ms, b, good if b & _EXPONENT != _EXPONENT else _no_number(b)))
        return out

    return rows


def _no_number(bits: int) -> int:
    return FAULT if bits & 0x7FFFFF else OUT_OF_RANGE


def _divide(values: list[Value]) -> tuple[dict[str, list[Value]], list[Value]]:
    """Those that one struct call can take, by word order, and the rest (scaled, other types, overlapping)."""
    fast: dict[str, list[Value]] = {}
    slow = []
    for value in sorted(values, key=lambda v: v.address):
        same = fast.get(value.order, [])
        if value.untouched and (not same or value.address >= same[-1].address + 2):
            fast.setdefault(value.order, []).append(value)
        else:
            slow.append(value)
    return fast, slow


def _layout(start: int, order: str, values: list[Value]) -> tuple[struct.Struct, bool]:
    byte_order, swapped = _HALVES[order]
    pattern, at = byte_order, start
    for value in values:
        pattern += f"{2 * (value.address - at)}xI"
        at = value.address + 2
    return struct.Struct(pattern), swapped


def _bits(start: int, values: list[Value]) -> Decoder:
    """Coils and discrete inputs: 0 or 1, low bit first, then scaled like any other number."""
    picks = []
    for v in values:
        off, on = (raw_bits((bit,), "uint16", "ABCD", v.multiply, v.divide, v.offset) for bit in (0, 1))
        at = v.address - start
        picks.append((v.channel, at >> 3, 1 << (at & 7), off, on))

    def rows(data: bytes, time_ms: int, good: int) -> list[Row]:
        return [
            (channel, time_ms, on if data[i] & mask else off, good) for channel, i, mask, off, on in picks
        ]

    return rows
