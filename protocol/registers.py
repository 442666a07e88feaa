# Numbers in 16-bit registers: six types, four word orders, and the 32 bits that travel as a raw value.
#
# Rule 1: a float32 in registers passes as it is. Its bits are moved, never computed, NaN patterns included.
# Rule 2: everything else reaches float32 by integer arithmetic (round half to even), and multiply, divide
#         and offset each round to float32. So a Pico with 32-bit floats and CPython agree bit for bit.
# Rule 3: signs come from struct: int.from_bytes(..., True) ignores the sign on MicroPython.
#
# Word orders, for the value whose big-endian bytes are A B C D (float64: the same rule over four words):
#   ABCD high word first    CDAB low word first    BADC bytes swapped in each word    DCBA both

import struct

from protocol.errors import CodecError, ConfigError

TYPES = ("int16", "uint16", "int32", "uint32", "float32", "float64")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")

_CODES = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f", "float64": ">d"}
_WORDS = {"int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "float64": 4}
_LIMITS = {
    "int16": (-0x8000, 0x7FFF),
    "uint16": (0, 0xFFFF),
    "int32": (-0x80000000, 0x7FFFFFFF),
    "uint32": (0, 0xFFFFFFFF),
}
_INFINITE = 0x7F800000


def words_of(type):
    # Registers that one value takes.
    if type not in _WORDS:
        raise ConfigError('type "{}" is unknown: write one of {}'.format(type, ", ".join(TYPES)))
    return _WORDS[type]


def _big_endian(words, type, order):
    # The registers of a value as its big-endian bytes.
    if len(words) != words_of(type):
        raise CodecError(f"{type} takes {words_of(type)} registers, {len(words)} were given")
    swap = order == "BADC" or order == "DCBA"
    if order not in ORDERS:
        raise ConfigError('word order "{}" is unknown: write one of {}'.format(order, ", ".join(ORDERS)))
    data = b"".join([struct.pack("<H" if swap else ">H", word) for word in words])
    if order == "CDAB" or order == "DCBA":
        data = b"".join([data[i : i + 2] for i in range(len(data) - 2, -1, -2)])
    return data


def decode(words, type, order):
    # The number in the registers: int, or float in the runtime's own precision.
    return struct.unpack(_CODES[type], _big_endian(words, type, order))[0]


def encode(value, type, order):
    # A number as registers. CodecError when the type cannot hold it.
    words_of(type)
    if type in _LIMITS:
        low, high = _LIMITS[type]
        if not _finite(value) or value != int(value) or not low <= value <= high:
            raise CodecError(f"{value} does not fit {type}: {low} to {high}")
        data = struct.pack(_CODES[type], int(value))
    elif type == "float32" and _finite(value) and not _finite(_round(value)):
        raise CodecError(f"{value} does not fit float32")
    else:
        data = struct.pack(_CODES[type], value)
    words = struct.unpack(f">{len(data) // 2}H", data)
    # every order is its own inverse
    return struct.unpack(f">{len(words)}H", _big_endian(words, type, order))


def _finite(value):
    return value - value == 0


def words_of_bits(bits, order):
    # float32 bits as two registers: how a simulated instrument serves a NaN pattern.
    return encode(bits, "uint32", order)


def raw_bits(words, type, order, multiply=1, divide=1, offset=0):
    # The raw value's float32 bits: (number x multiply / divide) + offset, each step rounded to float32.
    data = _big_endian(words, type, order)
    if type == "float32":
        bits = struct.unpack(">I", data)[0]
    elif type == "float64":
        bits = _from_double(struct.unpack(">I", data[:4])[0], struct.unpack(">I", data[4:])[0])
    else:
        bits = int_bits(struct.unpack(_CODES[type], data)[0])
    if (multiply == 1 and divide == 1 and offset == 0) or bits & 0x7FFFFFFF > _INFINITE:
        return bits  # unscaled, or a NaN, which no arithmetic may touch
    value = _float(bits)
    if multiply != 1:
        value = _round(value * _round(multiply))
    if divide != 1:
        value = _round(value / _round(divide))
    if offset != 0:
        value = _round(value + _round(offset))
    return struct.unpack("<I", struct.pack("<f", value))[0]


def _float(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def _round(value):
    # One step's result as the nearest float32. A no-op where floats have 32 bits.
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:  # CPython refuses what the standard rounds to an infinity
        return float("inf") if value > 0 else -float("inf")


def int_bits(number):
    # The float32 bits nearest to an int of at most 64 bits, ties to even.
    sign = 0
    if number < 0:
        sign, number = 0x80000000, -number
    if number == 0:
        return 0
    length = 0
    while number >> length:
        length += 1
    exponent = length + 126  # biased, for a leading one at bit length - 1
    if length <= 24:
        return sign | (exponent << 23) | ((number << (24 - length)) & 0x7FFFFF)
    # the leading one adds to the exponent, and so does a carry out of the fraction: both are wanted
    return sign | (((exponent - 1) << 23) + _shift_even(number, length - 24))


def _shift_even(number, shift):
    # number / 2**shift, rounded half to even
    low = number & ((1 << shift) - 1)
    half = 1 << (shift - 1)
    number >>= shift
    if low > half or (low == half and number & 1):
        number += 1
    return number


def _from_double(high, low):
    # float64, as two 32-bit halves, to float32 bits; written out because a device's own floats have 32 bits.
    sign = high & 0x80000000
    exponent = (high >> 20) & 0x7FF
    fraction = ((high & 0xFFFFF) << 32) | low
    if exponent == 0x7FF:
        if fraction == 0:
            return sign | _INFINITE
        return sign | 0x7FC00000 | (fraction >> 29)  # a NaN stays one, quiet, with the payload that fits
    exponent -= 1023 - 127
    if exponent >= 0xFF:
        return sign | _INFINITE
    if exponent > 0:
        bits = (exponent << 23) + _shift_even(fraction, 29)  # a carry moves into the exponent, up to infinity
        return sign | bits
    if exponent < -24:
        return sign  # less than half of the smallest float32, float64 subnormals included
    return sign | _shift_even(fraction | (1 << 52), 30 - exponent)
