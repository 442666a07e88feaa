# Messages that nobody wrote down, made from a seed: the same on every runtime, so their bytes must be, too.
#
#   python -m tests.protocol._generated COUNT SEED [broken]
#   MICROPYPATH=.:.frozen micropython tests/protocol/_generated.py COUNT SEED [broken]
#
# Each vector is a value of CBOR or a message, encoded, sealed, framed; read back whole, byte by byte and with
# garbage behind it; a calibrated value by its bits; or what a reader says of garbage. Prints one line for
# each BLOCK of them: a hash of all their bytes. `broken` puts text of rounded floats in, which differs.

import binascii
import hashlib
import struct
import sys

from protocol import cbor, framing, modbus
from protocol.calibration import engineering
from protocol.cose import Mac0
from protocol.errors import ProtocolError
from protocol.messages import Event, Now, Readings, Summary, decode, encode
from protocol.quality import NAMES, has_value
from protocol.reading import bits_float, float_bits
from tests.protocol._check import Random

BLOCK = 500
KEY = bytes(range(32))
QUALITIES = sorted(NAMES)


def bits(random):
    # A float32 that is a number.
    while True:
        found = random.below(1 << 16) << 16 | random.below(1 << 16)
        if found & 0x7F800000 != 0x7F800000:
            return found


def whole(random):
    size = random.below(7)
    return random.below(1 << 8 * min(size, 2)) << 16 * random.below(3) if size else random.below(24)


def value(random, depth=0):
    kind = random.below(9 if depth < 3 else 7)
    if kind == 0:
        return whole(random)
    if kind == 1:
        return -1 - whole(random)
    if kind == 2:
        return random.bytes(random.below(40))
    if kind == 3:
        return "".join([chr(32 + random.below(90)) for _ in range(random.below(30))]) + (
            "°é" if depth else ""
        )
    if kind == 4:
        return random.below(2) == 1
    if kind == 5:
        return None
    if kind == 6:
        return cbor.Float32(bits(random))
    if kind == 7:
        return [value(random, depth + 1) for _ in range(random.below(6))]
    found = {}
    for _ in range(random.below(5)):
        key = random.below(1000)  # first: in a display the runtimes take key and value in different orders
        found[key] = value(random, depth + 1)
    return found


def row_of(random, quality):
    return bits(random) if has_value(quality) else None


def message(random):
    kind, boot, seq = random.below(4), 1 + random.below(1 << 16), 1 + random.below(1 << 20)
    base_ms, clock = 1760000000000 + random.below(1 << 24), random.below(2)
    qualities = [QUALITIES[random.below(len(QUALITIES))] for _ in range(1 + random.below(20))]
    if kind == 0:
        return Event(boot, seq, base_ms, clock, random.below(250), value(random, 1))
    if kind == 1:
        rows = []
        for quality in qualities:
            three = sorted([bits(random) & 0x7FFFFFFF for _ in range(3)])  # positive: the order of the bits
            low, mean, high = three if has_value(quality) else (None, None, None)
            rows.append((random.below(250), mean, low, high, 1 + random.below(500), quality, random.below(9)))
        return Summary(boot, seq, base_ms, clock, 1000 + random.below(100000), tuple(rows))
    rows = tuple(
        [
            (random.below(250), random.below(1 << 16), row_of(random, quality), quality, random.below(9))
            for quality in qualities
        ]
    )
    return Now(boot, base_ms, clock, rows) if kind == 2 else Readings(boot, seq, base_ms, clock, rows)


def read(data, random):
    # The bodies that a stream gives, whole and byte by byte, with garbage behind it.
    data += random.bytes(random.below(20)) + b"\0"
    found = framing.Decoder().feed(data)
    decoder, slowly = framing.Decoder(), []
    for at in range(len(data)):
        slowly += decoder.feed(data[at : at + 1])
    assert found == slowly
    return found


def said_of(reader, writer, data):
    # What a reader makes of garbage: the kind of error; or what it took it for, written again.
    try:
        return writer(reader(data))
    except ProtocolError as error:
        return type(error).__name__.encode()


def vector(number, random, mac, broken):
    kind = number % 5
    if kind == 0:
        data = cbor.dumps(value(random))
        assert cbor.dumps(cbor.loads(data)) == data
        return data
    if kind == 1:
        told = message(random)
        try:
            payload = encode(told)
        except ProtocolError as error:  # what is refused is refused by both
            return type(error).__name__.encode()
        assert encode(decode(payload)) == payload
        sealed = mac.seal(payload)
        frame = framing.encode(sealed)
        first = read(frame, random)[0]
        assert mac.open(first) == payload
        return frame
    if kind == 2:
        points, at = [], 0.0
        for _ in range(2 + random.below(4)):
            at += 1 + random.below(1000) / 8
            points.append((at, random.below(1 << 16) / 16))
        found = float_bits(engineering(bits_float(float_bits(random.below(1 << 20) / 64)), points))
        return struct.pack(">I", found) + (str(round(found % 10000 * 0.005, 2)).encode() if broken else b"")
    if kind == 3:
        return modbus.crc16(random.bytes(random.below(250))).to_bytes(2, "big")
    garbage = random.bytes(random.below(60))
    said = said_of(cbor.loads, cbor.dumps, garbage) + b"|" + said_of(decode, encode, garbage)
    return said + b"|" + said_of(mac.open, bytes, garbage)


def main(count, seed, broken=""):
    random, mac, sums = Random(int(seed)), Mac0("st-01", KEY), None
    for number in range(int(count)):
        if number % BLOCK == 0:
            if sums is not None:
                print(binascii.hexlify(sums.digest()).decode())
            sums = hashlib.sha256()
        data = vector(number, random, mac, broken)
        sums.update(struct.pack(">I", len(data)))
        sums.update(data)
    print(binascii.hexlify(sums.digest()).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
