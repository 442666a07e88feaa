# runs on: cpython, micropython
import struct

from firmware.config import Status, Value
from firmware.values import judge
from protocol import quality

FLOAT = Value(0, 0, 0, "float32", "CDAB", 1, 1, 0, 0.0, 100.0, ())
STATED = Value(0, 0, 0, "float32", "ABCD", 1, 1, 0, 0.0, 100.0, (0,))
STATE = Status(0, 2, "uint16", 0x000F, {0: quality.OK, 1: quality.CALIBRATING, 2: quality.OFF}, quality.FAULT)


def _bits(x):
    return struct.unpack(">I", struct.pack(">f", x))[0]


def _words(bits):
    return (bits >> 16, bits & 0xFFFF)


def _judge(bits, state=0):
    return judge(STATED, [STATE], {0: _words(bits) + (state,)}, quality.TIMEOUT)  # noqa: RUF005 (MicroPython)


def test_a_value_passes_bit_for_bit():
    assert judge(FLOAT, [], {0: (0x0000, 0x41C8)}, quality.TIMEOUT) == (0x41C80000, quality.OK)


def test_without_an_answer_there_is_a_reason_and_no_number():
    assert judge(FLOAT, [], {}, quality.TIMEOUT) == (None, quality.TIMEOUT)
    assert judge(FLOAT, [], {1: (1, 2)}, quality.BAD_REPLY) == (None, quality.BAD_REPLY)


def test_a_value_without_its_state_is_no_value():
    status = Status(1, 0, "uint16", 0xFFFF, {0: quality.OK}, quality.FAULT)
    assert judge(STATED, [status], {0: _words(_bits(5.0))}, quality.TIMEOUT) == (None, quality.TIMEOUT)


def test_the_instruments_state_outranks_the_number():
    assert _judge(_bits(5.0)) == (_bits(5.0), quality.OK)
    assert _judge(_bits(5.0), 1) == (_bits(5.0), quality.CALIBRATING)
    assert _judge(_bits(500.0), 1) == (_bits(500.0), quality.CALIBRATING)
    assert _judge(_bits(5.0), 9) == (_bits(5.0), quality.FAULT)
    assert _judge(_bits(5.0), 2) == (None, quality.OFF)
    assert _judge(_bits(5.0), 0xFFF0) == (_bits(5.0), quality.OK)  # bits outside of the mask


def test_of_several_states_the_first_that_is_not_ok_counts():
    value = Value(0, 0, 0, "float32", "ABCD", 1, 1, 0, None, None, (0, 1))
    more = Status(0, 3, "uint16", 0xFFFF, {0: quality.OK}, quality.MAINTENANCE)
    for words, expected in (
        ((0, 0), quality.OK),
        ((1, 5), quality.CALIBRATING),
        ((0, 5), quality.MAINTENANCE),
    ):
        replies = {0: _words(_bits(5.0)) + words}
        assert judge(value, [STATE, more], replies, quality.TIMEOUT) == (_bits(5.0), expected)


def test_range_and_what_is_no_number():
    for x, expected in ((0.0, quality.OK), (100.0, quality.OK), (-0.5, quality.OUT_OF_RANGE)):
        assert _judge(_bits(x)) == (_bits(x), expected)
    assert _judge(_bits(100.5)) == (_bits(100.5), quality.OUT_OF_RANGE)
    for bits in (0x7F800000, 0xFF800000):
        assert _judge(bits) == (bits, quality.OUT_OF_RANGE)
    for bits in (0x7FC00000, 0x7FA00001, 0xFFFFFFFF):
        assert _judge(bits) == (bits, quality.FAULT)


def test_scaled_integers():
    value = Value(0, 0, 1, "int16", "ABCD", 1, 10, 0, -50, 50, ())
    assert judge(value, [], {0: (7, 0xFFF5)}, quality.TIMEOUT) == (_bits(-1.1), quality.OK)
