"""Writes protocol/vectors/{cbor,cose,framing,messages,seal}.jsonl: `python -m tests.protocol.make_vectors`.

Expected bytes come from cbor2, pycose, cobs, zlib and struct: from nothing in protocol/. What must be refused
is written down by hand, with the reason. One JSON object a line, so that a small device can stream the file.
session.jsonl is written by hand: what a session must do has no independent library.
"""

import hashlib
import hmac
import json
import random
import struct
import zlib
from pathlib import Path

import cbor2
from cobs import cobs
from pycose.algorithms import HMAC256
from pycose.headers import KID, Algorithm
from pycose.keys import SymmetricKey
from pycose.messages import Mac0Message

FOLDER = Path(__file__).parents[2] / "protocol" / "vectors"


class Float:
    """A float by its bits: 4 or 8 bytes."""

    def __init__(self, bits: bytes):
        self.bits = bits


def f32(x: float | int) -> Float:
    """The float32 nearest to a float, or with these bits."""
    return Float(struct.pack(">I", x) if isinstance(x, int) else struct.pack(">f", x))


def f64(x: float) -> Float:
    return Float(struct.pack(">d", x))


def write_float(encoder, value):
    encoder.write((b"\xfa" if len(value.bits) == 4 else b"\xfb") + value.bits)


def sorted_maps(value):
    """Map keys in the order of RFC 8949, 4.2.1 (cbor2's canonical order is that of RFC 7049)."""
    if isinstance(value, dict):
        return {key: sorted_maps(value[key]) for key in sorted(value, key=cbor2.dumps)}
    return [sorted_maps(item) for item in value] if isinstance(value, list) else value


def encoded(value) -> bytes:
    return cbor2.dumps(sorted_maps(value), default=write_float)


def readable(value):
    """The value as JSON, as tests/protocol/_check.py value_of() reads it."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, Float):
        return {"f32" if len(value.bits) == 4 else "f64": value.bits.hex()}
    if isinstance(value, dict):
        return {"map": [[readable(key), readable(item)] for key, item in value.items()]}
    return value


def nested(depth: int):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


# ---- CBOR

EDGES = [
    0,
    1,
    10,
    23,
    24,
    25,
    100,
    255,
    256,
    1000,
    65535,
    65536,
    1000000,
    2**32 - 1,
    2**32,
    10**12,
    2**53,
    2**64 - 1,
]
FLOATS_32 = [
    0.0,
    -0.0,
    1.0,
    1.5,
    65504.0,
    100000.0,
    3.4028234663852886e38,
    5.960464477539063e-8,
    2.0**-149,
    -4.0,
]
FLOATS_32 += [2.0**-126, 6.103515625e-5, float("inf"), float("-inf"), 25.0, 1e9, -(2.0**-149) * 3]
FLOATS_64 = [
    0.1,
    1.1,
    1e300,
    2.0**-150,
    2.0**-1074,
    3.4028235677973366e38,
    -4.1,
    1 + 2.0**-24,
    2.0**128,
    1e-300,
]
FLOATS_64 += [2.0**-149 * 1.5, 2.0**-127 * (1 + 2.0**-23), 3.141592653589793]
PATTERNS = [0x7FA00000, 0xFFA00001, 0x7FC00000, 0xFFC12345, 0x7F800001, 0x7FFFFFFF, 0x80000000, 0x41C80000, 1]

BAD_CBOR = [
    ("", "nothing at all"),
    ("18", "argument missing"),
    ("19ff", "argument cut short"),
    ("1affffff", "argument cut short"),
    ("1bffffffffffffff", "argument cut short"),
    ("1800", "0 in two bytes"),
    ("1817", "23 in two bytes"),
    ("1900ff", "255 in three bytes"),
    ("1a0000ffff", "65535 in five bytes"),
    ("1b00000000ffffffff", "2**32 - 1 in nine bytes"),
    ("3817", "-24 in two bytes"),
    ("3900ff", "-256 in three bytes"),
    ("3a0000ffff", "-65536 in five bytes"),
    ("3b00000000ffffffff", "-2**32 in nine bytes"),
    ("1c", "reserved argument 28"),
    ("1d", "reserved argument 29"),
    ("1e", "reserved argument 30"),
    ("1f", "indefinite integer"),
    ("3f", "indefinite negative integer"),
    ("41", "byte string cut short"),
    ("5803aabb", "byte string cut short and length not shortest"),
    ("580100", "length of 1 in two bytes"),
    ("5818" + "00" * 23, "byte string one byte short"),
    ("5f4101ff", "indefinite byte string"),
    ("7f6161ff", "indefinite text"),
    ("62c3", "text cut short"),
    ("61c3", "text ends within a character"),
    ("61ff", "no UTF-8"),
    ("6180", "continuation byte alone"),
    ("62c080", "overlong NUL"),
    ("62c1bf", "overlong"),
    ("63e09f80", "overlong, three bytes"),
    ("63eda080", "surrogate"),
    ("63edbfbf", "surrogate"),
    ("64f08f8080", "overlong, four bytes"),
    ("64f4908080", "beyond U+10FFFF"),
    ("64f5808080", "no lead byte"),
    ("62c328", "second byte is no continuation"),
    ("63e28228", "third byte is no continuation"),
    ("7a7fffffff61", "text of 2 GB declared"),
    ("5a7fffffff61", "byte string of 2 GB declared"),
    ("5b7fffffffffffffff61", "byte string of 8 EB declared"),
    ("9a7fffffff01", "array of 2**31 items declared"),
    ("9bffffffffffffffff01", "array of 2**64 items declared"),
    ("ba7fffffff0101", "map of 2**31 pairs declared"),
    ("81", "array without its item"),
    ("820102" + "03", "something behind an array"),
    ("9801" + "00", "array length of 1 in two bytes"),
    ("9f01ff", "indefinite array"),
    ("9f", "indefinite array without an end"),
    ("bf6161" + "01ff", "indefinite map"),
    ("a1", "map without its pair"),
    ("a101", "map without its value"),
    ("a2020101" + "02", "keys not in order"),
    ("a2616201616102", "keys not in order"),
    ("a2186401" + "0a02", "keys not in order"),
    ("a220010a02", "keys not in order: -1 before 10"),
    ("a201010102", "key twice"),
    ("a2616101616102", "key twice"),
    ("a1810101", "array as a key"),
    ("a1a00101", "map as a key"),
    ("a1f501", "true as a key"),
    ("a1f601", "null as a key"),
    ("a1fa3f80000001", "float as a key"),
    ("a1180101", "key not shortest"),
    ("b801" + "0101", "map length of 1 in two bytes"),
    ("c001", "tag 0"),
    ("c11a514b67b0", "tag 1"),
    ("d18443a10105a0f640", "tag 17: a COSE_Mac0 has its own reader"),
    ("c24101", "bignum"),
    ("d9d9f7" + "01", "tag 55799"),
    ("e0", "simple value 0"),
    ("f0", "simple value 16"),
    ("f3", "simple value 19"),
    ("f7", "undefined"),
    ("f818", "simple value 24"),
    ("f820", "simple value 32"),
    ("f8ff", "simple value 255"),
    ("f93c00", "binary16"),
    ("f97e00", "binary16 NaN"),
    ("fa3f8000", "binary32 cut short"),
    ("fb3ff00000000000", "binary64 cut short"),
    ("fb3ff0000000000000", "1.0 as binary64"),
    ("fb0000000000000000", "0.0 as binary64"),
    ("fb8000000000000000", "-0.0 as binary64"),
    ("fb7ff0000000000000", "infinity as binary64"),
    ("fb7ff8000000000000", "NaN as binary64"),
    ("fb7ff0000000000001", "signalling NaN as binary64"),
    ("fb36a0000000000000", "2**-149 as binary64"),
    ("fb47efffffe0000000", "largest binary32 as binary64"),
    ("fc", "reserved"),
    ("fd", "reserved"),
    ("fe", "reserved"),
    ("ff", "break alone"),
    ("81" * 9 + "80", "nested too deep"),
    ("a101" * 8 + "80", "maps nested too deep"),
    ("81" * 300 + "80", "nested far too deep"),
    ("0000", "two items"),
    ("f6f6", "two items"),
]


def cbor_vectors():
    values = EDGES + [-1 - n for n in EDGES] + [True, False, None, "", "a", "IETF", 'a"\\b', "ü", "水", "😀"]
    values += ["Nồng độ bụi PM₂.₅ tại trạm quan trắc", "x" * 23, "x" * 24, "x" * 255, "x" * 256]
    values += [b"", b"\x00", b"\x01\x02\x03\x04", bytes(23), bytes(24), bytes(range(256))]
    values += [
        [],
        [1, 2, 3],
        [1, [2, 3], [4, 5]],
        list(range(1, 26)),
        [None] * 23,
        [0] * 24,
        [[]] * 3,
        nested(8),
    ]
    values += [
        {},
        {1: 2, 3: 4},
        {"a": 1, "b": [2, 3]},
        {10: 1, 100: 2, -1: 3, "z": 4, "aa": 5, b"": 6, b"\xff": 7},
    ]
    values += [{n: n for n in range(30)}, {"b": {"a": {"c": None}}}, [1, {2: [3, {"4": b"5"}]}], {"": ""}]
    values += [f32(x) for x in FLOATS_32] + [f64(x) for x in FLOATS_64] + [f32(bits) for bits in PATTERNS]
    values += [[f32(25.0), f64(0.1), {"x": f32(0x7FA00000)}]]
    for value in values:
        yield {"value": readable(value), "hex": encoded(value).hex()}
    for text, why in BAD_CBOR:
        yield {"hex": text, "error": "CodecError", "why": why}
    for value, why in ((2**64, "beyond 64 bits"), (-(2**64) - 1, "beyond 64 bits"), (nested(9), "too deep")):
        yield {"value": readable(value), "error": "CodecError", "why": why}


# ---- COSE


def sealed(kid: bytes, key: bytes, payload: bytes, **change) -> bytes:
    """A COSE_Mac0 by pycose; change: other headers than ours."""
    message = Mac0Message(
        phdr=change.get("phdr", {Algorithm: HMAC256}),
        uhdr=change.get("uhdr", {KID: kid}),
        payload=payload,
        external_aad=change.get("external_aad", b""),
    )
    message.key = SymmetricKey(k=key)
    return message.encode()


def cose_vectors(rng: random.Random):
    key = bytes(range(32))
    for kid in ("st-01", "a", "x" * 23, "y" * 24, "z" * 32, "trạm-01"):
        for length in (0, 1, 23, 24, 100, 255, 256, 900):
            if length > 1 and kid not in ("st-01", "y" * 24) and length not in (24, 256):
                continue
            secret = rng.randbytes(32)
            payload = rng.randbytes(length)
            body = sealed(kid.encode(), secret, payload)
            yield {"kid": kid, "key": secret.hex(), "payload": payload.hex(), "body": body.hex()}
    good = sealed(b"st-01", key, b"hello")
    head, content, tag = good[:14], good[14:-34], good[-32:]
    assert head.hex() == "d18443a10105a1044573742d3031" and content == b"\x45hello", (
        "the shape is not what it was"
    )
    bad = [
        (b"", "nothing"),
        (good[:-1], "tag cut short"),
        (good + b"\0", "something behind the tag"),
        (good[1:], "no tag 17"),
        (b"\xd9\x00\x11" + good[1:], "tag 17 in three bytes"),
        (b"\xd8\x11" + good[1:], "tag 17 in two bytes"),
        (b"\xd2" + good[1:], "tag 18, a COSE_Sign1"),
        (sealed(b"st-02", key, b"hello"), "another device"),
        (sealed(b"st-011", key, b"hello"), "a longer device id"),
        (sealed(b"st-0", key, b"hello"), "a shorter device id"),
        (sealed(b"st-01", bytes(32), b"hello"), "another key"),
        (sealed(b"st-01", key, b"hello", external_aad=b"x"), "external data that is not empty"),
        (sealed(b"st-01", key, b"hello", uhdr={}), "no key id"),
        (
            sealed(b"st-01", key, b"hello", phdr={Algorithm: HMAC256, KID: b"st-01"}, uhdr={}),
            "protected key id",
        ),
        (good[:2] + b"\x58\x03" + good[3:], "length of the protected header in two bytes"),
        (head[:8] + b"\x58\x05" + head[9:] + good[14:], "length of the key id in two bytes"),
        (head + b"\x58\x05hello" + good[-34:], "length of the payload in two bytes"),
        (head + b"\x46hello" + good[-34:], "length of the payload too great"),
        (head + b"\x44hello" + good[-34:], "length of the payload too small"),
        (head + b"\xf6" + good[-34:], "detached payload"),
        (head + content + b"\x50" + tag[:16], "a tag of 16 bytes (HMAC 256/64 and such)"),
        (head + content + b"\x59\x00\x20" + tag, "length of the tag in three bytes"),
        (head + content + b"\x58\x20" + bytes(32), "a tag of zeros"),
        (b"\xd1\x9f" + good[2:] + b"\xff", "indefinite array"),
        (good.replace(b"\xa1\x01\x05", b"\xa1\x01\x06"), "HMAC 384/384 claimed"),
        (good.replace(b"\xa1\x01\x05", b"\xa1\x01\x04"), "HMAC 256/64 claimed"),
        (bytes(len(good)), "zeros"),
        (rng.randbytes(len(good)), "noise"),
    ]
    for content, why in (
        (b"\x58\x05hello", "length of the payload in two bytes"),
        (b"\x59\x00\x05hello", "length of the payload in three bytes"),
        (b"\x46hello", "length of the payload too great"),
        (b"\x44hello", "length of the payload too small"),
        (b"\x65hello", "a text as the payload"),
        (b"\xf6", "detached payload"),
        (b"", "no payload"),
    ):
        right = hmac.digest(key, b"\x84\x64MAC0\x43\xa1\x01\x05\x40" + content, "sha256")
        bad.append((head + content + b"\x58\x20" + right, f"{why}, under a tag that is right for it"))
    for place in (0, 1, 5, 8, 10, 14, 15, 19, 20, 21, 22, 40, len(good) - 1):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        bad.append((bytes(flipped), f"one bit of byte {place} flipped"))
    for body, why in bad:
        yield {"kid": "st-01", "key": key.hex(), "body": body.hex(), "error": "AuthError", "why": why}
    # Taken apart without a key: shape only, so what only the tag would show is taken apart all the same.
    rng = random.Random(17)
    for kid in ("st-02", "y" * 24, "trạm-01"):
        for length in (0, 23, 24, 255, 256, 900):
            payload = rng.randbytes(length)
            body = sealed(kid.encode(), rng.randbytes(32), payload)
            yield {"unwrap": body.hex(), "payload": payload.hex()}
    hello = b"\x45hello"
    yield {"unwrap": (head + hello + b"\x58\x20" + bytes(32)).hex(), "payload": b"hello".hex()}
    long_kid = b"\xd1\x84\x43\xa1\x01\x05\xa1\x04\x58\x21" + b"x" * 33
    for body, why in (
        *bad[:7],
        *bad[12:22],
        (good[: len(head)], "nothing behind the key id"),
        (head + good[-34:], "no payload"),
        (head + b"\x58" + good[-34:], "a payload's length cut short"),
        (head + b"\x59\x00\xff" + bytes(255) + good[-34:], "length of the payload in three bytes"),
        (head + b"\x65hello" + good[-34:], "a text as the payload"),
        (head[:8] + b"\x41\xff" + hello + good[-34:], "a key id that is no UTF-8"),
        (head[:8] + b"\x40" + hello + good[-34:], "an empty key id"),
        (long_kid + hello + good[-34:], "a key id of 33 bytes"),
    ):
        yield {"unwrap": body.hex(), "error": "CodecError", "why": why}


# ---- Framing


def frame(body: bytes) -> bytes:
    return cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def framing_vectors(rng: random.Random):
    def full(n):  # n bytes without a zero
        return bytes(rng.randrange(1, 256) for _ in range(n))

    bodies = [
        b"\0",
        b"\1",
        b"\xff",
        bytes(5),
        bytes(300),
        b"\0" * 1015,
        full(2),
        full(17),
        b"a\0b\0\0c",
        bytes(range(256)),
    ]
    bodies += [
        full(n) for n in (248, 249, 250, 251, 252, 253, 254, 255, 256, 503, 504, 505, 506, 507, 508, 509)
    ]
    bodies += [full(n) + b"\0" for n in (249, 250, 252, 253, 254, 255, 507, 508)]
    bodies += [full(n) + b"\0" + full(n) for n in (1, 252, 253, 254, 255, 400)]
    bodies += [b"\0" + full(n) for n in (249, 250, 253, 254, 507, 508)] + [
        full(1014),
        full(1015),
        b"\0" * 500 + full(515),
    ]
    bodies += [
        bytes(rng.choice((0, 0, 1, 255, rng.randrange(256))) for _ in range(n)) for n in (40, 137, 400, 900)
    ]
    # A body whose CRC makes the last stretch end at exactly 254: the case where COBS encoders differ.
    body = full(250)
    while 0 in zlib.crc32(body).to_bytes(4, "little"):
        body = full(250)
    bodies.append(body)
    other = frame(body)[:-1] + b"\x01\0"
    assert cobs.decode(other[:-1]) == cobs.decode(frame(body)[:-1]), "two encodings of one body"
    for one in bodies:
        yield {"body": one.hex(), "frame": frame(one).hex()}
    long = full(1016)
    while len(frame(long)) <= 1025:
        long += full(1)
    for one, why in (
        (b"", "empty"),
        (long, "does not fit 1,024 bytes"),
        (bytes(1100), "does not fit"),
        (bytes(3000), "far too long"),
    ):
        yield {"body": one.hex(), "error": "CodecError", "why": why}

    good = frame(b"hello")
    bad = [
        (other, "the other encoding of the same data: an empty block at the end"),
        (good[:-2] + b"\0", "last byte missing"),
        (good[1:], "first byte missing"),
        (b"\x01" * 5 + b"\0", "an empty body: the CRC of nothing is zero"),
        (b"\x01\0", "COBS of one zero"),
        (b"\xff\0", "a block of 254 that is not there"),
        (b"\x05abc\0", "a block one byte short"),
        (cobs.encode(b"hello") + b"\0", "no CRC"),
        (cobs.encode(b"hello" + zlib.crc32(b"hello").to_bytes(4, "big")) + b"\0", "CRC big-endian"),
        (cobs.encode(b"hello" + zlib.adler32(b"hello").to_bytes(4, "little")) + b"\0", "another check sum"),
        (cobs.encode(b"hellp" + zlib.crc32(b"hello").to_bytes(4, "little")) + b"\0", "CRC of another body"),
        (frame(long), "too long, everything else right"),
        (b"\x02" * 1025 + b"\0", "too long"),
        (b"\x02" * 5000 + b"\0", "far too long"),
    ]
    for one, why in bad:
        yield {"frame": one.hex(), "error": "noise", "why": why}

    a, b = frame(b"\0one"), frame(b"two")
    streams = [
        (a + b, [b"\0one", b"two"], 0, 0, "one behind the other"),
        (b"\0\0" + a + b"\0\0\0" + b, [b"\0one", b"two"], 0, 0, "zeros between frames are no noise"),
        (b"noise\0" + a, [b"\0one"], 1, 5, "noise before"),
        (b"noise" + a, [], 1, 4 + len(a), "noise that runs into a frame costs that frame"),
        (b"noise" + a + b, [b"two"], 1, 4 + len(a), "and no other"),
        (a[:-1] + b, [], 1, len(a) + len(b) - 2, "a lost zero costs two frames"),
        (a + b[:-1], [b"\0one"], 0, 0, "the rest waits"),
        (b"\x02" * 3000 + b"\0" + a, [b"\0one"], 1, 3000, "a flood, then a frame"),
        (b"\x02" * 3000, [], 1, 3000, "a flood that goes on is counted"),
        (a + b"\x01\0\x02\0\x03xx\0" + b, [b"\0one", b"two"], 3, 5, "three short ones"),
    ]
    for stream, found, noise, size, why in streams:
        if why.startswith("noise that") or why.startswith("and no"):
            size = len(b"noise" + a) - 1
        yield {
            "stream": stream.hex(),
            "bodies": [one.hex() for one in found],
            "noise": noise,
            "noise_bytes": size,
            "why": why,
        }


# ---- Messages

NONCE = bytes.fromhex("0102030405060708")
HASH = bytes.fromhex("a1a2a3a4a5a6a7a8")
NOW = 1780000000000
HELLO = [1, 1, "0.1.0", "st-01", 7, NONCE, HASH, [["cod", 300000, 0, []]], 7, 1, 1, 1234, "power on"]


def changed(message: list, place: int, value) -> list:
    return [*message[:place], value, *message[place + 1 :]]


def good_messages(rng: random.Random):
    points = [[f32(0.0), f32(0.1)], [f32(100.0), f32(99.5)]]
    yield HELLO
    yield changed(HELLO, 7, [])
    yield changed(HELLO, 7, [["nh4", 0, 65535, points], ["pH", 2**32 - 1, 0, [[f32(-1.5), f32(2.0**-149)]]]])
    yield changed(HELLO, 7, [[f"q{n}", 1000 * n, n, points[: n % 3]] for n in range(20)])
    yield changed(HELLO, 7, [["five", 1000, 1, [[f32(n / 3), f32(-n / 7)] for n in range(5)]]])
    yield changed(HELLO, 7, [["near", 1000, 1, [[f32(0x3F800000), f32(0.0)], [f32(0x3F800001), f32(1.0)]]]])
    yield changed(changed(HELLO, 4, 2**32 - 1), 9, 2**53 - 1)
    yield changed(changed(HELLO, 2, ""), 12, "")
    yield changed(changed(HELLO, 3, "trạm-01"), 12, "x" * 32)
    yield changed(changed(HELLO, 1, 255), 10, 0)
    yield [2, 1, NONCE, 0, 0, NOW, True]
    yield [2, 1, NONCE, 7, 123456, NOW, False]
    yield [2, 2, bytes(8), 2**32 - 1, 2**53 - 1, 0, True]
    patterns = (
        0x41C80000,
        0x7FA00000,
        0xFFA00001,
        0x7FC00000,
        0xFFFFFFFF,
        0,
        0x80000000,
        0x7F800000,
        0xFF800000,
        1,
    )
    for bits in patterns:
        yield [3, 7, 1, NOW, 1, [[0, 0, f32(bits), 0, 0]]]
    for quality in range(12):
        raw = None if quality in (4, 5, 7, 10) else f32(25.0)
        yield [3, 7, 1, 86400000, 0, [[3, 1000, raw, quality, 2]]]
    for offset in (0, 1, 23, 24, 255, 256, 65535, 65536, 2**31 - 1, -1, -24, -25, -(2**31)):
        yield [
            3,
            7,
            2**32,
            NOW,
            1,
            [[0, 0, f32(1.0), 0, 0], [1, offset, f32(2.0), 0, 0], [2, offset, None, 4, 0]],
        ]
    for channel in (0, 23, 24, 255):
        for calibration in (0, 23, 24, 255, 256, 65535):
            yield [
                3,
                1,
                1,
                0,
                0,
                [[channel, 300, f32(3.5), 0, calibration], [channel, 5, f32(-3.5), 6, calibration]],
            ]
    for count in (2, 10, 23, 24, 25, 64):
        rows = [[n, 997 * n, f32(rng.getrandbits(32)), rng.randrange(4), 0] for n in range(count)]
        yield [3, rng.randrange(1, 2**32), rng.randrange(1, 2**53), NOW, 1, rows]
    for boot, seq, base in (
        (1, 1, 0),
        (24, 24, 24),
        (256, 256, 256),
        (65536, 65536, 65536),
        (2**32 - 1, 2**53 - 1, 2**53 - 1),
    ):
        yield [3, boot, seq, base, 1, [[0, 400, f32(25.0), 0, 1]]]
    for kind, detail in (
        (1, "power on"),
        (2, -3600000),
        (3, True),
        (9, [1, 20]),
        (10, None),
        (255, {"a": b"b", 1: [f32(2.5), f64(0.1)]}),
    ):
        yield [4, 7, 9, NOW, 1, kind, detail]
    yield [4, 2**32 - 1, 2**53 - 1, 2**53 - 1, 0, 4, nested(7)]
    yield [5, 7, 300, NOW, 1, 7, 365, bytes(range(32)), bytes(range(32, 64))]
    yield [5, 2**32 - 1, 2**53 - 1, 2**53 - 1, 0, 1, 2**32 - 1, bytes(32), bytes(32)]
    yield [6, NONCE, 7, 300, NOW, True, 0]
    yield [6, bytes(8), 0, 0, 0, False, 2**32 - 1]
    yield [7, 1, 1, "mark", {"channel": 2, "reason": "hiệu chuẩn"}]
    yield [7, 2**53 - 1, 2**32 - 1, "x" * 32, None]
    yield [8, 1, True, "", None]
    yield [8, 2**32 - 1, False, "t" * 256, [1, 2, {"x": f32(0.5)}]]
    for kind, detail in (
        (11, "ValueError | poller.py line 12"),
        (13, [12345, NOW]),
        (19, "reverted, 0.4.1, never confirmed"),
        (22, "config, 1780000000000, ok"),
        (23, "t" * 600),
    ):
        yield [4, 7, 9, NOW, 1, kind, detail]
    mean = [3, f32(25.0), f32(24.5), f32(25.5), 60, 0, 2]
    yield [9, 7, 300, NOW, 1, 60000, [mean]]
    yield [9, 2**32 - 1, 2**53 - 1, 2**53 - 1, 0, 1, [changed(mean, 4, 1)]]
    yield [9, 1, 1, 0, 0, 60000, [changed(changed(mean, 0, 255), 6, 65535)]]
    for quality in range(12):
        row = changed(mean, 5, quality)
        yield [9, 7, 1, NOW, 1, 59999, [[3, None, None, None, *row[4:]] if quality in (4, 5, 7, 10) else row]]
    for bits in patterns:
        yield [9, 7, 1, NOW, 1, 60000, [[0, f32(bits), f32(1.0), f32(bits), 65535, 3, 0]]]
    for count in (2, 23, 24):
        rows = [
            [n, *(f32(rng.getrandbits(32)) for _ in range(3)), 1 + 97 * n, n % 4, n] for n in range(count)
        ]
        yield [9, rng.randrange(1, 2**32), rng.randrange(1, 2**53), NOW, 1, 60000, rows]
    yield [10, NONCE, NOW, 1, [[0, 300, f32(25.0), 0, 0]]]
    yield [10, bytes(8), 0, 0, [[255, -5, None, 4, 65535], [1, 0, f32(0x7FA00000), 6, 0]]]
    yield [10, NONCE, 2**53 - 1, 0, [[n, 300 + n, f32(rng.getrandbits(32)), 0, 0] for n in range(64)]]


def bad_messages():
    points = [[f32(0.0), f32(0.1)], [f32(100.0), f32(99.5)]]
    row = [0, 300, f32(25.0), 0, 0]
    readings = [3, 7, 1, NOW, 1, [row]]
    mean = [3, f32(25.0), f32(24.5), f32(25.5), 60, 0, 2]
    summary = [9, 7, 300, NOW, 1, 60000, [mean]]
    now = [10, NONCE, NOW, 1, [row]]
    yield 5, "not an array"
    yield [], "empty"
    yield {1: 2}, "a map"
    yield [0, 1], "type 0"
    yield [11, 1], "type 11"
    yield ["3", 1], "type is text"
    yield [True, 1], "type is true"
    yield [-1], "type is negative"
    for message, name in (
        (HELLO, "HELLO"),
        ([2, 1, NONCE, 0, 0, NOW, True], "WELCOME"),
        (readings, "READINGS"),
        ([4, 7, 9, NOW, 1, 1, 0], "EVENT"),
        ([5, 7, 1, NOW, 1, 7, 2, bytes(32), bytes(32)], "SEAL"),
        ([6, NONCE, 7, 1, 0, True, 0], "ACK"),
        ([7, 1, 1, "a", 0], "COMMAND"),
        ([8, 1, True, "", 0], "RESULT"),
        (summary, "SUMMARY"),
        (now, "NOW"),
    ):
        yield message[:-1], f"{name} with a field less"
        yield [*message, 0], f"{name} with a field more"
        yield [message[0]], f"{name} without fields"
    wrong = {
        1: [0, 256, "1", None, True],
        2: ["x" * 33, b"x", 1],
        3: ["", "x" * 33, "ạ" * 11, b"st-01"],
        4: [0, 2**32, -1, True, "7"],
        5: [bytes(7), bytes(9), "12345678"],
        6: [bytes(7), bytes(32), None],
        7: [
            0,
            None,
            {},
            [[]],
            [["cod", 0, 0]],
            [["", 0, 0, []]],
            [["cod", -1, 0, []]],
            [["cod", 2**32, 0, []]],
            [["cod", 0, 65536, []]],
            [["cod", 0, 0, None]],
            [["cod", 0, 0, [[]]]],
            [["cod", 0, 0, [[f32(1.0)]]]],
            [["cod", 0, 0, [[1, 2]]]],
            [["cod", 0, 0, [[f64(0.1), f32(1.0)]]]],
            [["cod", 0, 0, [[f32(0x7FC00000), f32(1.0)]]]],
            [["cod", 0, 0, [[f32(1.0), f32(0x7F800000)]]]],
            [["cod", 0, 0, [[f32(1.0)] * 3]]],
            [["cod", 0, 0, [[f32(float(n)), f32(1.0)] for n in range(6)]]],
            [["cod", 0, 0, [[f32(1.0), f32(1.0)], [f32(1.0), f32(2.0)]]]],
            [["cod", 0, 0, [[f32(-0.0), f32(1.0)], [f32(0.0), f32(2.0)]]]],
            [["cod", 0, 0, [[f32(2.0), f32(1.0)], [f32(1.0), f32(2.0)]]]],
            [["cod", 0, 0, [*points[:2], [f32(50.0), f32(1.0)]]]],
        ],
        8: [0, 2**32],
        9: [0, 2**53],
        10: [2, -1, True, None],
        11: [-1, 2**53, f32(1.0)],
        12: ["x" * 33, None],
    }
    for place, values in wrong.items():
        for value in values:
            yield changed(HELLO, place, value), f"HELLO with a wrong field {place}"
    for place, values in {
        1: [0, 2**32, True],
        2: [0, 2**53, None],
        3: [-1, 2**53],
        4: [2, -1, True],
        5: [[], {}, 1, [row] * 65, [1], [[]]],
    }.items():
        for value in values:
            yield changed(readings, place, value), f"READINGS with a wrong field {place}"
    for place, values in {
        0: [-1, 256, True, None],
        1: [2**31, -(2**31) - 1, None, f32(1.0)],
        2: [None, 25, f64(0.1), "25", True],
        3: [12, -1, 4, 5, 7, 10, True, 23, 24],
        4: [-1, 65536, None],
    }.items():
        for value in values:
            yield changed(readings, 5, [row, changed(row, place, value)]), f"a row with a wrong field {place}"
    yield changed(readings, 5, [[0, 300, None, 0, 0]]), "no value, and the quality OK"
    yield changed(readings, 5, [[0, 300, None, 3, 0]]), "no value, and a quality that has one"
    yield changed(readings, 5, [[0, 300, None, 4]]), "a row of four"
    yield changed(readings, 5, [[*row, 0]]), "a row of six"
    yield [2, 1, NONCE, 0, 0, NOW, 1], "trusted is a number"
    yield [2, 0, NONCE, 0, 0, NOW, True], "version 0"
    yield [2, 1, bytes(4), 0, 0, NOW, True], "short nonce"
    yield [4, 0, 9, NOW, 1, 1, 0], "boot 0"
    yield [4, 7, 0, NOW, 1, 1, 0], "sequence 0"
    yield [4, 7, 9, NOW, 1, 0, 0], "event kind 0"
    yield [4, 7, 9, NOW, 1, 256, 0], "event kind 256"
    yield [4, 7, 9, NOW, 3, 1, 0], "clock 3"
    yield [4, 7, 9, NOW, 1, 1, nested(8)], "detail nested too deep"
    yield [5, 7, 1, NOW, 1, 7, 2, bytes(31), bytes(32)], "short chain value"
    yield [5, 7, 1, NOW, 1, 7, 2, bytes(32), bytes(33)], "long seal"
    yield [5, 7, 1, NOW, 1, 7, -1, bytes(32), bytes(32)], "negative epoch"
    yield [5, 7, 1, NOW, 1, 0, 2, bytes(32), bytes(32)], "life 0"
    yield [5, 7, 1, NOW, 2, 7, 2, bytes(32), bytes(32)], "clock 2 of a seal"
    yield [6, NONCE, 7, 1, 0, True, -1], "negative pause"
    yield [6, NONCE, 7, 1, 0, None, 0], "trusted is null"
    yield [7, -1, 1, "a", 0], "negative counter"
    yield [7, 1, 1, "", 0], "no name"
    yield [8, 1, 0, "", 0], "ok is a number"
    yield [8, 1, True, "t" * 257, 0], "text too long"
    for place, values in {
        1: [0, 2**32],
        2: [0, 2**53],
        3: [-1, 2**53],
        4: [2, True],
        5: [0, 60001, f32(60.0)],
        6: [[], {}, 1, None, [mean] * 25, [1], [[]], [mean, mean[:-1]], [[*mean, 0]]],
    }.items():
        for value in values:
            yield changed(summary, place, value), f"SUMMARY with a wrong field {place}"
    for place, values in {
        0: [-1, 256, True, None],
        1: [None, 25, f64(0.1), "25", True],
        2: [None, 24],
        3: [None, f64(0.1)],
        4: [0, 65536, True, None],
        5: [12, -1, 4, 5, 7, 10, True, None],
        6: [-1, 65536, None],
    }.items():
        for value in values:
            yield (
                changed(summary, 6, [mean, changed(mean, place, value)]),
                f"a mean with a wrong field {place}",
            )
    nothing = [3, None, None, None, 60, 4, 0]
    for place in (1, 2, 3):
        yield changed(summary, 6, [changed(nothing, place, f32(0.0))]), "a mean of nothing"
    for place, values in {
        1: [bytes(7), bytes(9), "12345678", 5, None],
        2: [-1, 2**53, True],
        3: [2, None],
        4: [[], {}, 1, [row] * 65, [1], [[]], [changed(row, 2, None)], [changed(row, 4, -1)]],
    }.items():
        for value in values:
            yield changed(now, place, value), f"NOW with a wrong field {place}"


def message_vectors(rng: random.Random):
    for message in good_messages(rng):
        yield {"message": readable(message), "hex": encoded(message).hex()}
    for message, why in bad_messages():
        yield {"message": readable(message), "hex": encoded(message).hex(), "error": "CodecError", "why": why}
    good = encoded([3, 7, 1, NOW, 1, [[0, 300, f32(25.0), 0, 0]]]).hex()
    for old, new, why in (
        ("8603", "9f03", "indefinite array"),
        ("8603", "861803", "type in two bytes"),
        ("0701", "180701", "boot in two bytes"),
        ("8185", "980185", "count of rows in two bytes"),
        ("8185", "9f85", "indefinite rows"),
        ("8185", "8285", "a row missing"),
        ("8185", "9b000000000000000185", "count of rows in nine bytes"),
        ("8500", "851800", "channel in two bytes"),
        ("8500", "9f00", "indefinite row"),
        ("19012c", "1a0000012c", "offset in five bytes"),
        ("19012c", "190017", "offset 23 in three bytes"),
        ("19012c", "1900ff", "offset 255 in three bytes"),
        ("19012c", "1817", "offset 23 in two bytes"),
        ("fa41c80000", "f94e40", "binary16"),
        ("fa41c80000", "fb4039000000000000", "binary64"),
        ("fa41c80000", "1a41c80000", "an integer with the same bits"),
        ("fa41c80000", "f7", "undefined"),
        ("00000000", "0000001800", "calibration in two bytes"),
    ):
        assert good.count(old) >= 1, (good, old)
        yield {"hex": good.replace(old, new, 1), "error": "CodecError", "why": why}
    good = encoded([10, NONCE, NOW, 1, [[0, 300, f32(25.0), 0, 0]]]).hex()
    for old, new, why in (
        ("850a", "9f0a", "indefinite array"),
        ("850a", "85180a", "type in two bytes"),
        ("0a48", "0a5808", "length of the nonce in two bytes"),
        ("0a48", "0a68", "a text as the nonce"),
        ("8185", "980185", "count of rows in two bytes"),
        ("8185", "8285", "a row missing"),
    ):
        assert good.count(old) >= 1, (good, old)
        yield {"hex": good.replace(old, new, 1), "error": "CodecError", "why": why}


# ---- the seal


def seal_vectors():
    """A station's records with its seals, over two boots and a change of the key, by hashlib and hmac."""
    rng = random.Random(7)
    device, key, chain, epoch = "trạm-01", rng.randbytes(32), bytes(32), 0
    key_0 = key

    def step(first_byte: int, channel: int, calibration: int, bits: int, seq: int, time_ms: int, more: bytes):
        nonlocal chain
        record = bytes([first_byte, channel]) + calibration.to_bytes(2, "big") + bits.to_bytes(4, "big")
        record += (seq % 2**32).to_bytes(4, "big") + time_ms.to_bytes(8, "big") + more
        chain = hashlib.sha256(chain + record).digest()
        added.append([seq, channel, first_byte, calibration, bits, time_ms, more.hex()])

    def line(payload: list) -> dict:
        return {"device": device, "hex": encoded(payload).hex(), "added": added[:], "chain": chain.hex()}

    for life, seq, clock, base_ms in ((6, 1, 0, 0), (7, 1, 1, NOW), (8, 2**32 - 1, 1, 2**53 - 70000)):
        told = 0x80 * clock
        for round in range(5):
            added: list = []
            numbers = struct.pack(">IQIQB", epoch, seq, life, base_ms, clock)
            seal = hmac.digest(key, numbers + chain + device.encode(), "sha256")
            payload = [5, life + 2, seq, base_ms, clock, life, epoch, chain, seal]
            says = {"key": key.hex(), "life": life, "epoch": epoch, "before": chain.hex(), "tag": seal.hex()}
            step(told | 0x40, 0, 0, 0, seq, base_ms, struct.pack(">II", life, epoch) + chain + seal)
            yield {**line(payload), "seal": says}
            if round == 4:
                break
            rows = []
            added.clear()
            for i in range(3):
                bits, quality, calibration = rng.getrandbits(32), rng.choice((0, 3, 11)), rng.getrandbits(16)
                channel, offset_ms = (
                    rng.randrange(256),
                    0 if clock == 0 and round == 0 else rng.randrange(60000),
                )
                rows.append([channel, offset_ms, f32(bits), quality, calibration])
                step(told | quality, channel, calibration, bits, seq + 1 + i, base_ms + offset_ms, b"")
            rows.append([3, 5, None, 4, 0])
            step(told | 4 | 0x20, 3, 0, 0, seq + 4, base_ms + 5, b"")
            yield line([3, life + 2, seq + 1, base_ms, clock, rows])
            for i, (kind, detail) in enumerate(((3, "cửa mở"), (13, [12345, NOW]), (4, ""))):
                added.clear()
                step(told | 0x40, kind, 0, 0, seq + 5 + i, base_ms + 9, encoded(detail))
                yield line([4, life + 2, seq + 5 + i, base_ms + 9, clock, kind, detail])
            added.clear()
            low, mean, high = (rng.getrandbits(32) for _ in range(3))
            more = struct.pack(">IIIH", low, high, 60, 60000)
            step(told | 0x60 | 1, 200, 9, mean, seq + 8, base_ms + 60000, more)
            step(
                told | 0x60 | 4, 201, 0, 0, seq + 9, base_ms + 60000, struct.pack(">IIIH", 0, 0, 65535, 60000)
            )
            summed = [[200, f32(mean), f32(low), f32(high), 60, 1, 9], [201, None, None, None, 65535, 4, 0]]
            yield line([9, life + 2, seq + 8, base_ms + 60000, clock, 60000, summed])
            seq += 10
            if round == 2:
                epoch += 1
                key = hashlib.sha256(b"seal" + key).digest()
    later = key_0
    for epoch in range(1, 366):
        later = hashlib.sha256(b"seal" + later).digest()
        if epoch in (1, 2, 3, 365):
            yield {"from": key_0.hex(), "epoch": epoch, "key": later.hex()}


def write(name: str, lines) -> None:
    with open(FOLDER / f"{name}.jsonl", "w", encoding="utf-8") as file:
        count = 0
        for count, line in enumerate(lines, 1):  # noqa: B007
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{name}.jsonl: {count} vectors")


def main() -> None:
    rng = random.Random(20260725)
    write("cbor", cbor_vectors())
    write("cose", cose_vectors(rng))
    write("framing", framing_vectors(rng))
    write("messages", message_vectors(rng))
    write("seal", seal_vectors())


if __name__ == "__main__":
    main()
