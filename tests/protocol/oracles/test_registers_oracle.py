"""protocol/registers.py against pymodbus' converter, struct, and exact arithmetic."""

import math
import struct
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from protocol import registers
from tests.protocol.make_modbus_vectors import nearest, number, ordered, scaled

THEIRS = {
    "int16": ModbusClientMixin.DATATYPE.INT16,
    "uint16": ModbusClientMixin.DATATYPE.UINT16,
    "int32": ModbusClientMixin.DATATYPE.INT32,
    "uint32": ModbusClientMixin.DATATYPE.UINT32,
    "float32": ModbusClientMixin.DATATYPE.FLOAT32,
    "float64": ModbusClientMixin.DATATYPE.FLOAT64,
}
VALUES = {
    "int16": st.integers(-0x8000, 0x7FFF),
    "uint16": st.integers(0, 0xFFFF),
    "int32": st.integers(-0x80000000, 0x7FFFFFFF),
    "uint32": st.integers(0, 0xFFFFFFFF),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
}
typed = st.sampled_from(registers.TYPES).flatmap(lambda type: st.tuples(st.just(type), VALUES[type]))
orders = st.sampled_from(registers.ORDERS)
words = st.integers(0, 0xFFFF)


@given(typed)
def test_pymodbus_agrees_in_both_word_orders(case):
    type, value = case
    for order, theirs in (("ABCD", "big"), ("CDAB", "little")):
        expected = ModbusClientMixin.convert_to_registers(value, THEIRS[type], word_order=theirs)
        assert list(registers.encode(value, type, order)) == expected
        assert registers.decode(expected, type, order) == value
        assert ModbusClientMixin.convert_from_registers(expected, THEIRS[type], word_order=theirs) == value


@given(typed, orders)
def test_encode_and_decode_are_inverse_in_every_order(case, order):
    type, value = case
    encoded = registers.encode(value, type, order)
    assert list(encoded) == ordered(struct.pack(">" + "hHiIfd"[registers.TYPES.index(type)], value), order)
    assert registers.decode(encoded, type, order) == value


@given(st.lists(words, min_size=2, max_size=2), orders)
def test_float32_bits_are_only_moved(pair, order):
    data = ordered(struct.pack(">HH", *pair), order)  # every order is its own inverse
    assert registers.raw_bits(pair, "float32", order) == (data[0] << 16) | data[1]


@given(typed, orders)
def test_numbers_become_the_nearest_float32(case, order):
    type, value = case
    got = registers.raw_bits(registers.encode(value, type, order), type, order)
    if math.isinf(value):
        expected = 0x7F800000 if value > 0 else 0xFF800000
    else:
        expected = nearest(Fraction(value)) | (0x80000000 if math.copysign(1, value) < 0 else 0)
    assert got == expected


@given(st.lists(words, min_size=4, max_size=4))
def test_float64_agrees_with_the_processor(quad):
    """struct's own conversion rounds once, half to even, but refuses what overflows."""
    value = struct.unpack(">d", struct.pack(">4H", *quad))[0]
    try:
        expected = struct.unpack(">I", struct.pack(">f", value))[0]
    except OverflowError:
        expected = 0x7F800000 if value > 0 else 0xFF800000
    got = registers.raw_bits(quad, "float64", "ABCD")
    if math.isnan(value):
        assert got & 0x7FC00000 == 0x7FC00000 and got >> 31 == quad[0] >> 15
    else:
        assert got == expected


scales = st.one_of(st.just(1), st.integers(2, 10000), st.floats(1e-6, 1e6))


@given(
    st.sampled_from(["int16", "uint16", "int32", "uint32"]).flatmap(
        lambda t: st.tuples(st.just(t), VALUES[t])
    ),
    scales,
    scales,
    st.one_of(st.just(0), st.integers(-1000, 1000), st.floats(-1e4, 1e4)),
)
def test_every_step_rounds_once(case, multiply, divide, offset):
    type, value = case
    got = registers.raw_bits(registers.encode(value, type, "ABCD"), type, "ABCD", multiply, divide, offset)
    expected = scaled(nearest(value), multiply, divide, offset)
    if got == 0x80000000:  # a negative zero stands for zero
        got = 0
    assert got == expected, (hex(got), hex(expected), float(number(expected)))
