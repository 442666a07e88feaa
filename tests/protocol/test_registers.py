# runs on: cpython, micropython

import struct

from protocol import registers
from protocol.errors import CodecError, ConfigError
from tests.protocol._check import raises, vectors


def bits_of(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def test_vectors():
    seen = 0
    for type, order, words, value, multiply, divide, offset, raw in vectors("registers"):
        assert len(words) == registers.words_of(type)
        got = registers.raw_bits(tuple(words), type, order, multiply, divide, offset)
        assert got == raw, (type, order, words, hex(got), hex(raw))
        if value is not None:
            assert registers.decode(tuple(words), type, order) == value
            if value != 0:  # JSON and MicroPython both lose the sign of -0.0
                assert registers.encode(value, type, order) == tuple(words)
        seen += 1
    assert seen >= 150


def test_float32_bits_pass_untouched():
    for bits in (0x7FA00001, 0xFFFFFFFF, 0x7F800000, 0x80000000, 0x00000001):
        for order in registers.ORDERS:
            assert registers.raw_bits(registers.words_of_bits(bits, order), "float32", order) == bits
    # and a NaN even when the profile scales
    assert registers.raw_bits((0x7FA0, 0x0001), "float32", "ABCD", 3600, 1, 1) == 0x7FA00001


def test_word_orders_of_a_known_value():
    # 25.0 is 41 C8 00 00; BOQU's own example, fully little-endian, is 00 00 C8 41.
    assert registers.decode((0x41C8, 0x0000), "float32", "ABCD") == 25.0
    assert registers.decode((0x0000, 0x41C8), "float32", "CDAB") == 25.0
    assert registers.decode((0xC841, 0x0000), "float32", "BADC") == 25.0
    assert registers.decode((0x0000, 0xC841), "float32", "DCBA") == 25.0
    # Hach's example 85 20 3D 5D, low word first, is 0.054
    assert abs(registers.decode((0x8520, 0x3D5D), "float32", "CDAB") - 0.054) < 0.0005


def test_steps_round_to_float32_each():
    # 7.00 in hundredths is exactly 7; 708 / 100 is the float32 next to 7.08
    assert registers.raw_bits((700,), "uint16", "ABCD", 1, 100, 0) == bits_of(7.0)
    assert registers.raw_bits((708,), "uint16", "ABCD", 1, 100, 0) == bits_of(7.08)
    assert registers.raw_bits((0xFFFF,), "int16", "ABCD", 1, 10, 0) == bits_of(-0.1)


def test_what_a_type_cannot_hold_is_refused():
    for value, type in (
        (32768, "int16"),
        (-1, "uint16"),
        (0.5, "uint16"),
        (2**32, "uint32"),
        (1e39, "float32"),
    ):
        raises(CodecError, registers.encode, value, type, "ABCD")
    raises(CodecError, registers.encode, float("nan"), "int16", "ABCD")
    raises(CodecError, registers.encode, float("inf"), "uint32", "ABCD")
    raises(CodecError, registers.decode, (1,), "float32", "ABCD")
    raises(ConfigError, registers.decode, (1, 2), "float32", "ACBD")
    raises(ConfigError, registers.words_of, "float16")
    assert registers.encode(float("inf"), "float32", "ABCD") == (0x7F80, 0)
