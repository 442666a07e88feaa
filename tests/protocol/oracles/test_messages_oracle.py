"""protocol.messages against messages.cddl (by pycddl) and against the generic codec."""

import json
from collections import Counter
from pathlib import Path

import cbor2
import pycddl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import protocol
from protocol import cbor, messages
from protocol.calibration import POINTS_MAX
from protocol.cbor import Float32
from protocol.errors import CodecError
from protocol.quality import NAMES, has_value
from protocol.reading import bits_float
from tests.protocol.oracles.test_cbor_oracle import depth
from tests.protocol.oracles.test_cbor_oracle import values as anything

FOLDER = Path(protocol.__file__).parent
CDDL = (FOLDER / "messages.cddl").read_text(encoding="utf-8")
RULES = ("hello", "welcome", "readings", "event", "seal", "ack", "command", "result", "summary", "now")
SCHEMAS = {
    rule: pycddl.Schema(f"root = {rule}\n{CDDL}")
    for rule in (*RULES, "measured", "absent", "sum-measured", "sum-absent", "channel")
}
ROWS = {3: "", 9: "sum-", 10: ""}  # messages that end in rows, and what their rules begin with


def cddl_accepts(payload: bytes) -> bool:
    """Whether messages.cddl allows this. Rule by rule: pycddl overlooks choices of arrays within arrays."""
    try:
        fields = cbor2.loads(payload)
        if type(fields) is not list or not fields or type(fields[0]) is not int or not 1 <= fields[0] <= 10:
            return False
        SCHEMAS[RULES[fields[0] - 1]].validate_cbor(payload)
        for row in fields[-1] if fields[0] in ROWS else ():
            rule = "absent" if type(row) is list and None in row else "measured"
            SCHEMAS[ROWS[fields[0]] + rule].validate_cbor(cbor2.dumps(row))
        for channel in fields[7] if fields[0] == 1 else ():
            SCHEMAS["channel"].validate_cbor(cbor2.dumps(channel))
    except (pycddl.ValidationError, cbor2.CBORDecodeError):
        return False
    return True


# What CDDL cannot say (how a thing is encoded, NaN, depth), and what pycddl does not look at.
UNSEEN = {
    "type in two bytes": 2,
    "boot in two bytes": 1,
    "count of rows in two bytes": 2,
    "count of rows in nine bytes": 1,
    "channel in two bytes": 1,
    "offset in five bytes": 1,
    "offset 23 in three bytes": 1,
    "offset 255 in three bytes": 1,
    "offset 23 in two bytes": 1,
    "calibration in two bytes": 1,
    "binary16": 1,
    "binary64": 1,
    "detail nested too deep": 1,
    "HELLO with a wrong field 7": 8,  # binary64, NaN, infinity, raw that does not rise; pycddl: six points
    "HELLO with a wrong field 2": 2,  # pycddl: .size of a text accepts a byte string, a number
    "HELLO with a wrong field 3": 1,  # same
    "HELLO with a wrong field 5": 1,  # pycddl: .size of a byte string accepts a text
    "READINGS with a wrong field 5": 1,  # pycddl: 65 rows
    "a row with a wrong field 1": 1,  # pycddl: 2**31 passes for a nint
    "a row with a wrong field 2": 1,  # pycddl: binary64 passes for a float32
    "SUMMARY with a wrong field 6": 1,  # pycddl: 25 rows
    "a mean with a wrong field 1": 1,  # pycddl: binary64 passes for a float32
    "a mean with a wrong field 3": 1,  # same
    "NOW with a wrong field 1": 2,  # pycddl: .size of a byte string accepts a text, a number
    "NOW with a wrong field 4": 1,  # pycddl: 65 rows
    "length of the nonce in two bytes": 1,
    "a text as the nonce": 1,  # pycddl: .size of a byte string accepts a text
}


def test_every_vector_against_the_schema():
    unseen = Counter()
    seen = 0
    for line in (FOLDER / "vectors" / "messages.jsonl").read_text(encoding="utf-8").splitlines():
        vector = json.loads(line)
        accepted = cddl_accepts(bytes.fromhex(vector["hex"]))
        if "error" not in vector:
            assert accepted, vector
        elif accepted:
            unseen[vector["why"]] += 1
        else:
            seen += 1
    assert dict(unseen) == UNSEEN
    assert seen > 130


words = st.integers(0, 2**32 - 1)
boots = st.integers(1, 2**32 - 1)
counts = st.integers(0, 2**53 - 1) | st.integers(0, 300)
seqs = st.integers(1, 2**53 - 1) | st.integers(1, 300)
flags = st.integers(0, 1)
halves = st.integers(0, 65535) | st.integers(0, 30)
offsets = st.integers(-(2**31), 2**31 - 1) | st.integers(-300, 70000)
data = anything.filter(lambda value: depth(value) < cbor.DEPTH_MAX)


def texts(shortest, longest):
    return st.text(max_size=longest).filter(lambda text: shortest <= len(text.encode()) <= longest)


@st.composite
def row(draw):
    quality = draw(st.integers(0, len(NAMES) - 1) | st.just(0))
    raw = draw(words) if has_value(quality) else None
    return (draw(st.integers(0, 255) | st.integers(0, 30)), draw(offsets), raw, quality, draw(halves))


@st.composite
def mean(draw):
    quality = draw(st.integers(0, len(NAMES) - 1) | st.just(0))
    raw = [draw(words) if has_value(quality) else None for _ in range(3)]
    return (draw(st.integers(0, 255)), *raw, draw(st.integers(1, 65535)), quality, draw(halves))


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
points = st.lists(st.tuples(numbers, numbers), max_size=POINTS_MAX, unique_by=lambda point: point[0]).map(
    sorted
)
channels = st.lists(st.tuples(texts(1, 32), words, halves, points.map(tuple)), max_size=5).map(tuple)
eight = st.binary(min_size=8, max_size=8)
hash32 = st.binary(min_size=32, max_size=32)
several = st.lists(row(), min_size=1, max_size=64).map(tuple)
readings = st.builds(messages.Readings, boots, seqs, counts, flags, several)
means = st.lists(mean(), min_size=1, max_size=24).map(tuple)
others = st.one_of(
    st.builds(messages.Summary, boots, seqs, counts, flags, st.integers(1, 60000), means),
    st.builds(messages.Now, eight, counts, flags, several),
    st.builds(
        messages.Hello,
        st.integers(1, 255),
        texts(0, 32),
        texts(1, 32),
        boots,
        eight,
        eight,
        channels,
        boots,
        seqs,
        flags,
        counts,
        texts(0, 32),
    ),
    st.builds(messages.Welcome, st.integers(1, 255), eight, words, counts, counts, st.booleans()),
    st.builds(messages.Event, boots, seqs, counts, flags, st.integers(1, 255), data),
    st.builds(messages.Seal, boots, seqs, counts, flags, boots, words, hash32, hash32),
    st.builds(messages.Ack, eight, words, counts, counts, st.booleans(), words),
    st.builds(messages.Command, counts, words, texts(1, 32), data),
    st.builds(messages.Result, words, st.booleans(), texts(0, 256), data),
)


@settings(max_examples=300)
@given(readings | others)
def test_messages_pass_the_schema_and_come_back(message):
    payload = messages.encode(message)
    assert cddl_accepts(payload)
    read = messages.decode(payload)
    assert type(read) is type(message)
    assert messages.encode(read) == payload
    if not isinstance(message, (messages.Event, messages.Command, messages.Result)):  # data may hold a NaN
        assert read == message


def slow_decode(payload: bytes):
    """READINGS by the generic codec and the words of messages.cddl: what rows.py must not differ from."""
    fields = cbor.loads(payload, Float32)
    if type(fields) is not list or len(fields) != 6 or any(type(field) is not int for field in fields[:5]):
        raise CodecError("not READINGS")
    number, boot, first_seq, base_ms, clock, rows = fields
    if number != 3 or not (
        1 <= boot < 2**32 and 1 <= first_seq < 2**53 and 0 <= base_ms < 2**53 and 0 <= clock <= 1
    ):
        raise CodecError("wrong field")
    if type(rows) is not list or not 1 <= len(rows) <= 64:
        raise CodecError("wrong rows")
    result = []
    for one in rows:
        if type(one) is not list or len(one) != 5:
            raise CodecError("wrong row")
        channel, offset_ms, raw, quality, calibration = one
        if any(type(field) is not int for field in (channel, offset_ms, quality, calibration)):
            raise CodecError("wrong row")
        if not (0 <= channel < 256 and -(2**31) <= offset_ms < 2**31 and 0 <= calibration < 65536):
            raise CodecError("wrong row")
        if quality in (0, 1, 2, 3, 6, 8, 9, 11):
            if type(raw) is not Float32:
                raise CodecError("no value")
        elif quality not in (4, 5, 7, 10) or raw is not None:
            raise CodecError("no reason")
        result.append((channel, offset_ms, raw and raw.bits, quality, calibration))
    return messages.Readings(boot, first_seq, base_ms, clock, tuple(result))


def outcome(decode, payload):
    try:
        return decode(payload)
    except CodecError:
        return CodecError


# Parts of rows, right and wrong, put together at random: most of what can go wrong in the fast parser.
PARTS = """
    85 80 84 86 9805 00 03 17 1800 1817 1818 18ff 190001 1900ff 190100 19ffff 1a0000ffff 1a00010000 1a7fffffff
    1a80000000 20 37 3818 3a7fffffff 3a80000000 fa41c80000 fa7fa00000 fb3fb999999999999a f93c00 f6 f5 f7 04 05
    06 0b 0c 18ff 19012c 40 60 a0 1b0000000100000000
"""
pieces = st.sampled_from(PARTS.split()).map(bytes.fromhex)


@st.composite
def nearly_readings(draw):
    count = draw(st.integers(1, 3))
    body = bytearray(b"\x86\x03\x07\x01\x00\x01")
    body.append(0x80 | draw(st.sampled_from((count, count, count, 0, 4))))
    for _ in range(count):
        fields = [b"\x85", b"\x01", b"\x19\x01\x2c", b"\xfa\x41\xc8\x00\x00", b"\x00", b"\x00"]
        for _ in range(draw(st.integers(0, 2))):
            fields[draw(st.integers(0, 5))] = draw(pieces)
        body += b"".join(fields)
    return bytes(body) + draw(st.sampled_from((b"", b"", b"", b"\0", b"\x85")))


@settings(max_examples=3000)
@given(nearly_readings())
def test_the_fast_parser_accepts_what_the_generic_codec_accepts(payload):
    assert outcome(messages.decode, payload) == outcome(slow_decode, payload)


@settings(max_examples=500)
@given(readings, st.data())
def test_the_fast_parser_on_damaged_messages(message, choose):
    payload = bytearray(messages.encode(message))
    assert messages.decode(bytes(payload)) == slow_decode(bytes(payload)) == message
    for _ in range(choose.draw(st.integers(1, 3))):
        payload[choose.draw(st.integers(2, len(payload) - 1))] = choose.draw(st.integers(0, 255))
    payload = bytes(payload)[: choose.draw(st.just(len(payload)) | st.integers(2, len(payload)))]
    if payload[:2] == b"\x86\x03":
        assert outcome(messages.decode, payload) == outcome(slow_decode, payload)


@settings(max_examples=1000)
@given(others, st.data())
def test_damaged_messages_are_refused_or_have_one_encoding(message, choose):
    payload = bytearray(messages.encode(message))
    payload[choose.draw(st.integers(0, len(payload) - 1))] ^= choose.draw(st.integers(1, 255))
    read = outcome(messages.decode, bytes(payload))
    if read is not CodecError:
        assert messages.encode(read) == bytes(payload) or _has_strange_nan(bytes(payload))


def _has_strange_nan(payload):
    """NaNs in free data come back as the one NaN: the numbers of a language have no other."""
    found = []

    def look(value):
        if isinstance(value, Float32) and bits_float(value.bits) != bits_float(value.bits):
            found.append(value.bits)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(inner)

    look(cbor.loads(payload, Float32))
    return any(bits != 0x7FC00000 for bits in found)


def test_a_huge_declared_length_costs_nothing():
    for head in (
        b"\x86\x03\x07\x01\x00\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
    ):
        with pytest.raises(CodecError):
            messages.decode(head + b"\x85" * 900)
