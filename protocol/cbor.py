# CBOR (RFC 8949): the subset that our messages use, deterministic both ways.
#
# Rule 1: section 4.2.1 (core deterministic encoding): shortest lengths and integers, definite lengths, map
#         keys sorted by their encoded bytes, none twice. loads() refuses whatever dumps() would have written
#         otherwise, so one value has one encoding.
# Rule 2: floats (section 4.2.2 leaves the choice to the protocol): binary32 when that is exact, else
#         binary64, never binary16. A measured value is a Float32, whose 32 bits pass through untouched. A NaN
#         that is a number of the language is written as fa7fc00000; a binary64 NaN is refused.
# Rule 3: types are int (-2**64 to 2**64-1), bytes, str, list and tuple, dict (keys int, str or bytes), bool,
#         None, float. No tags, no other simple values.
# Rule 4: whatever the input, loads() raises CodecError or returns. What it builds is in proportion to the
#         input: a declared length is compared with what is left, and nothing nests deeper than DEPTH_MAX.

import struct

from protocol._compat import bytes_of, const, text_of, unpacker
from protocol.errors import CodecError
from protocol.reading import bits_float, float_bits

DEPTH_MAX = const(8)  # arrays and maps inside each other; the messages need 5

_HALF, _WORD, _LONG = unpacker(">H"), unpacker(">I"), unpacker(">Q")


class Float32:
    # bits: int, 0 to 2**32-1
    def __init__(self, bits):
        self.bits = bits

    def __eq__(self, other):
        return isinstance(other, Float32) and self.bits == other.bits

    def __hash__(self):
        return self.bits

    def __repr__(self):
        return f"Float32(0x{self.bits:08x})"


# The initial byte and argument of an item: major type in the upper three bits, then the shortest form of n.
def head(major, n):
    if n < 24:
        return bytes((major | n,))
    if n < 0x100:
        return bytes((major | 24, n))
    if n < 0x10000:
        return struct.pack(">BH", major | 25, n)
    if n < 0x100000000:
        return struct.pack(">BI", major | 26, n)
    return struct.pack(">BQ", major | 27, n)


# Whether binary32 holds the binary64 with these two halves exactly. By its bits: a device's floats have 32 of
# them.
def _fits_float32(high, low):
    exponent = high >> 20 & 0x7FF
    if exponent in (0, 0x7FF):
        return not low and not high & 0xFFFFF  # zero and infinity do, binary64 subnormals and NaN do not
    exponent -= 1023
    if exponent > 127 or exponent < -149:
        return False
    spare = 29 if exponent >= -126 else -97 - exponent  # low bits of the fraction that must be zero
    return not ((high & 0xFFFFF) << 32 | low) & ((1 << spare) - 1)


def _float(x):
    if x != x:
        return b"\xfa\x7f\xc0\x00\x00"
    data = struct.pack(">d", x)
    high, low = struct.unpack(">II", data)
    if _fits_float32(high, low):
        return struct.pack(">BI", 0xFA, float_bits(x))
    return b"\xfb" + data


def _text(text):
    try:
        data = bytes_of(text)
    except ValueError:
        raise CodecError("text with a lone surrogate cannot be sent") from None
    return head(0x60, len(data)) + data


def _integer(n):
    if 0 <= n < 1 << 64:
        return head(0, n)
    if -(1 << 64) <= n < 0:
        return head(0x20, -1 - n)
    raise CodecError("an integer beyond 64 bits cannot be sent")


# out: a bytearray.
def _write(obj, out, depth):
    kind = type(obj)
    if kind is int:
        out += _integer(obj)
    elif kind is str:
        out += _text(obj)
    elif obj is None:
        out += b"\xf6"
    elif kind is bool:
        out += b"\xf5" if obj else b"\xf4"
    elif kind is Float32:
        out += struct.pack(">BI", 0xFA, obj.bits)
    elif kind is float:
        out += _float(obj)
    elif isinstance(obj, (bytes, bytearray)):
        out += head(0x40, len(obj))
        out += bytes(obj)
    elif depth >= DEPTH_MAX:
        raise CodecError(f"nested deeper than {DEPTH_MAX}")
    elif isinstance(obj, (list, tuple)):
        out += head(0x80, len(obj))
        for item in obj:
            _write(item, out, depth + 1)
    elif isinstance(obj, dict):
        out += head(0xA0, len(obj))
        for key, value in sorted([(_key(key), value) for key, value in obj.items()], key=_first):
            out += key
            _write(value, out, depth + 1)
    else:
        raise CodecError(f"a {kind.__name__} cannot be sent")


def _first(pair):
    return pair[0]


def _key(key):
    kind = type(key)
    if kind is int:
        return _integer(key)
    if kind is str:
        return _text(key)
    if kind is bytes:
        return head(0x40, len(key)) + key
    raise CodecError(f"a {kind.__name__} cannot be the key of a map")


def dumps(obj):
    out = bytearray()
    _write(obj, out, 0)
    return bytes(out)


# One item of data, from place at on -> (value, place behind it). Reads data as far as it goes: see loads().
# bits: floats of 32 bits come as Float32.
def item(data, at, bits=False, depth=0):
    try:
        first = data[at]
    except IndexError:
        raise CodecError("the CBOR ends in the middle of an item") from None
    at += 1
    major = first >> 5
    n = first & 31
    if major == 7:
        return _simple(data, at, n, bits)
    if n >= 24:
        n, at = _argument(data, at, n)
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    left = len(data) - at
    if n > left:
        raise CodecError("a declared length goes beyond the end of the CBOR")
    if major == 2:
        return data[at : at + n], at + n
    if major == 3:
        try:
            return text_of(data[at : at + n]), at + n
        except ValueError:
            raise CodecError("text is not UTF-8") from None
    if major == 6:
        raise CodecError("tags are not used here")
    depth += 1
    if depth > DEPTH_MAX:
        raise CodecError(f"nested deeper than {DEPTH_MAX}")
    if major == 4:
        items = []
        for _ in range(n):
            value, at = item(data, at, bits, depth)
            items.append(value)
        return items, at
    return _map(data, at, n, bits, depth)


def _argument(data, at, n):
    left = len(data) - at
    if n == 24:
        if left >= 1:
            value = data[at]
            if value >= 24:
                return value, at + 1
    elif n == 25:
        if left >= 2:
            value = _HALF(data, at)[0]
            if value >= 0x100:
                return value, at + 2
    elif n == 26:
        if left >= 4:
            value = _WORD(data, at)[0]
            if value >= 0x10000:
                return value, at + 4
    elif n == 27:
        if left >= 8:
            value = _LONG(data, at)[0]
            if value >= 0x100000000:
                return value, at + 8
    else:
        raise CodecError("indefinite or reserved length")
    raise CodecError("an argument is cut short, or longer than it need be")


def _simple(data, at, n, bits):
    if n == 26:
        if len(data) - at < 4:
            raise CodecError("a float is cut short")
        value = _WORD(data, at)[0]
        return (Float32(value) if bits else bits_float(value)), at + 4
    if n == 22:
        return None, at
    if n == 20 or n == 21:
        return n == 21, at
    if n != 27:
        raise CodecError("a simple value or a float of 16 bits, which are not used here")
    if len(data) - at < 8:
        raise CodecError("a float is cut short")
    high, low = _WORD(data, at)[0], _WORD(data, at + 4)[0]
    if _fits_float32(high, low) or (high & 0x7FF00000) == 0x7FF00000:
        raise CodecError("a float of 64 bits where 32 are enough")
    return struct.unpack(">d", data[at : at + 8])[0], at + 8


def _map(data, at, n, bits, depth):
    result = {}
    before = b""
    for _ in range(n):
        begin = at
        key, at = item(data, at, False, DEPTH_MAX)
        encoded = data[begin:at]
        if encoded[0] >= 0x80:
            raise CodecError("a map has a key that is neither integer nor string")
        if encoded <= before:
            raise CodecError("the keys of a map are not in order, or one occurs twice")
        before = encoded
        result[key], at = item(data, at, bits, depth)
    return result, at


# The one value that data is. CodecError if it is none, or more. float32=Float32: keep the bits of 32-bit
# floats.
def loads(data, float32=None):
    if type(data) is not bytes:
        data = bytes(data)
    value, at = item(data, 0, float32 is not None)
    if at != len(data):
        raise CodecError("there is something behind the CBOR")
    return value
