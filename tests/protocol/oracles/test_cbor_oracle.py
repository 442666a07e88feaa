"""protocol.cbor against cbor2, on values and bytes that Hypothesis makes up."""

import math
import struct

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol import cbor
from protocol.cbor import Float32
from protocol.errors import CodecError
from tests.protocol.make_vectors import sorted_maps

integers = st.integers(-(2**64), 2**64 - 1) | st.integers(-300, 300)
keys = integers | st.text(max_size=8) | st.binary(max_size=8)
scalars = integers | st.text(max_size=30) | st.binary(max_size=30) | st.booleans() | st.none() | st.floats()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def same(a, b):
    """Equal, NaN to NaN, and the same sign of zero."""
    if isinstance(a, float) and isinstance(b, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    return type(a) is type(b) and a == b


def without_half_floats(value):
    """A value without floats, so that what cbor2 writes and what we write may be compared byte by byte."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and abs(value) < 2**60 else None
    if isinstance(value, list):
        return [without_half_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: without_half_floats(item) for key, item in value.items()}
    return value


@given(values.filter(lambda value: depth(value) <= cbor.DEPTH_MAX))
def test_cbor2_reads_what_we_write(value):
    assert same(sorted_maps(value), cbor2.loads(cbor.dumps(value)))
    assert same(sorted_maps(value), cbor.loads(cbor.dumps(value)))


@given(values.filter(lambda value: depth(value) <= cbor.DEPTH_MAX))
def test_the_bytes_are_those_of_cbor2(value):
    value = sorted_maps(without_half_floats(value))
    assert cbor.dumps(value) == cbor2.dumps(value)


@given(st.floats(width=64))
@example(2.0**-149)
@example(2.0**-150)
@example(3.4028235677973366e38)
def test_floats_take_the_shorter_of_two_widths(x):
    data = cbor.dumps(x)
    try:
        exact = x != x or struct.unpack(">f", struct.pack(">f", x))[0] == x
    except OverflowError:
        exact = False
    assert len(data) == (5 if exact else 9)
    assert same(cbor2.loads(data), x)


@given(st.integers(0, 2**64 - 1))
def test_one_binary64_is_read_exactly_if_it_needs_to_be_one(bits):
    data = b"\xfb" + bits.to_bytes(8, "big")
    x = struct.unpack(">d", data[1:])[0]
    try:
        assert cbor.loads(data) == x and len(cbor.dumps(x)) == 9
    except CodecError:
        assert len(cbor.dumps(x)) == 5


@settings(max_examples=2000)
@given(st.binary(max_size=24))
def test_what_is_read_has_one_encoding_and_cbor2_agrees(data):
    try:
        value = cbor.loads(data, Float32)
    except CodecError:
        return
    assert cbor.dumps(value) == data
    assert same(cbor.loads(data), cbor2.loads(data))


@given(values.filter(lambda value: depth(value) <= cbor.DEPTH_MAX), st.data())
def test_a_damaged_encoding_is_refused_or_has_one_encoding(value, data):
    encoded = bytearray(cbor.dumps(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = cbor.loads(bytes(encoded), Float32)
    except CodecError:
        return
    assert cbor.dumps(read) == bytes(encoded)
