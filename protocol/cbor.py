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
from collections import namedtuple

from protocol._compat import bytes_of, const, text_of
from protocol.errors import CodecError
from protocol.reading import bits_float, float_bits

DEPTH_MAX = const(8)  # arrays and maps inside each other; the messages need 5

Float32 = namedtuple("Float32", ("bits",))  # int, 0 to 2**32-1


# The initial byte and argument of an item: major type in the upper three bits, then the shortest form of n.
def head(major, n):
    if n < 24:
        return bytes((major | n,))
    size = 0
    while n >> (8 << size):
        size += 1
    return bytes((major | 24 + size,)) + n.to_bytes(1 << size, "big")


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


# Appends an item to out, a bytearray. depth: of the arrays and maps that it is in.
def write(obj, out, depth):
    kind = type(obj)
    if kind is int:
        if obj >> 64 not in (0, -1):
            raise CodecError("an integer beyond 64 bits cannot be sent")
        out += head(0, obj) if obj >= 0 else head(0x20, -1 - obj)
    elif kind is str:
        try:
            data = bytes_of(obj)
        except ValueError:
            data = None  # raised below: MicroPython warns of every exception raised inside another
        if data is None:
            raise CodecError("text with a lone surrogate cannot be sent")
        out += head(0x60, len(data))
        out += data
    elif obj is None:
        out += b"\xf6"
    elif kind is bool:
        out += b"\xf5" if obj else b"\xf4"
    elif kind is Float32:
        out += struct.pack(">BI", 0xFA, obj.bits)
    elif kind is float:
        data = struct.pack(">d", obj)
        if obj != obj or _fits_float32(*struct.unpack(">II", data)):
            out += struct.pack(">BI", 0xFA, float_bits(obj))
        else:
            out.append(0xFB)
            out += data
    elif isinstance(obj, (bytes, bytearray)):
        out += head(0x40, len(obj))
        out += bytes(obj)
    elif depth >= DEPTH_MAX:
        raise CodecError(f"nested deeper than {DEPTH_MAX}")
    elif isinstance(obj, (list, tuple)):
        out += head(0x80, len(obj))
        for item in obj:
            write(item, out, depth + 1)
    elif isinstance(obj, dict):
        out += head(0xA0, len(obj))
        pairs = []
        for key, value in obj.items():
            if type(key) not in (int, str, bytes):
                raise CodecError("a key of a map is an integer or a string")
            pairs.append((dumps(key), value))
        for key, value in sorted(pairs, key=lambda pair: pair[0]):
            out += key
            write(value, out, depth + 1)
    else:
        raise CodecError(f"a {kind.__name__} cannot be sent")


def dumps(obj):
    out = bytearray()
    write(obj, out, 0)
    return bytes(out)


# One item of data, from place at on -> (value, place behind it). Reads data as far as it goes: see loads().
# bits: floats of 32 bits come as Float32.
def item(data, at, bits=False, depth=0):
    try:
        first = data[at]
    except IndexError:
        raise CodecError("the CBOR ends in the middle of an item") from None
    at += 1
    if first < 24:
        return first, at
    major = first >> 5
    n = first & 31
    if major == 7:
        return _simple(data, at, n, bits)
    if n >= 24:
        if n > 27:
            raise CodecError("indefinite or reserved length")
        size = 1 << n - 24
        begin = at
        at += size
        n = int.from_bytes(data[begin:at], "big")
        if at > len(data) or not n >> 4 * size or n < 24:
            raise CodecError("an argument is cut short, or longer than it need be")
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


def _simple(data, at, n, bits):
    if n == 22:
        return None, at
    if n == 20 or n == 21:
        return n == 21, at
    end = at + (4 if n == 26 else 8)
    if (n != 27 and n != 26) or end > len(data):
        raise CodecError("a float cut short or of 16 bits, or a simple value that is not used here")
    high = int.from_bytes(data[at : at + 4], "big")
    if n == 26:
        return (Float32(high) if bits else bits_float(high)), end
    if _fits_float32(high, int.from_bytes(data[at + 4 : end], "big")) or (high & 0x7FF00000) == 0x7FF00000:
        raise CodecError("a float of 64 bits where 32 are enough")
    return struct.unpack(">d", data[at:end])[0], end


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
