# runs on: cpython, micropython

from protocol.errors import ExceptionReply, ProtocolError
from protocol.reading import bits_float, float_bits


def test_numbers_and_bits():
    pairs = ((0.0, 0), (25.0, 0x41C80000), (-1.5, 0xBFC00000), (2.0**-149, 1), (65504.0, 0x477FE000))
    for number, bits in pairs:
        assert float_bits(number) == bits and bits_float(bits) == number
    assert float_bits(-0.0) == 0x80000000


def test_numbers_are_rounded_to_the_nearest():
    assert float_bits(0.1) == 0x3DCCCCCD
    assert float_bits(16777217.0) == float_bits(16777216.0)


def test_beyond_the_range_is_infinity():
    assert float_bits(1e39) == float_bits(float("inf")) == 0x7F800000
    assert float_bits(-1e39) == float_bits(-float("inf")) == 0xFF800000


def test_one_nan_for_all():
    for bits in (0x7FC00000, 0xFFC00001, 0x7FA00000):
        number = bits_float(bits)
        assert number != number
        assert float_bits(number) == 0x7FC00000


def test_an_exception_reply_keeps_its_code_and_says_what_to_do():
    for code in (1, 2, 3, 4, 5, 6, 8, 10, 11, 77):
        error = ExceptionReply(code)
        assert error.code == code and str(code) in str(error) and isinstance(error, ProtocolError)
