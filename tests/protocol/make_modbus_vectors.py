"""Writes protocol/vectors/{modbus,registers,calibration,timeline}.jsonl.

Expected bytes come from pymodbus (PDUs, framers, check sums), from struct, numbers from fractions.Fraction:
from nothing in protocol/. One JSON array a line, so that a small device can stream the file.
"""

import json
import math
import random
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as regs

FOLDER = Path(__file__).parents[2] / "protocol" / "vectors"
READS = {
    1: (bits.ReadCoilsRequest, bits.ReadCoilsResponse),
    2: (bits.ReadDiscreteInputsRequest, bits.ReadDiscreteInputsResponse),
    3: (regs.ReadHoldingRegistersRequest, regs.ReadHoldingRegistersResponse),
    4: (regs.ReadInputRegistersRequest, regs.ReadInputRegistersResponse),
}


def rtu(pdu, unit):
    """The RTU frame of a pymodbus PDU."""
    pdu.dev_id = unit
    return FramerRTU(DecodePDU(True)).buildFrame(pdu)


def tcp(pdu, unit, transaction):
    """The TCP frame of a pymodbus PDU."""
    pdu.dev_id, pdu.transaction_id = unit, transaction
    return FramerSocket(DecodePDU(True)).buildFrame(pdu)


def exchanges(rng):
    """(function, address, argument, request PDU, reply PDU, values read), for both framings."""
    for function, counts in (
        (1, (1, 7, 8, 9, 504)),
        (2, (1, 16, 17)),
        (3, (1, 2, 7, 125)),
        (4, (1, 10, 125)),
    ):
        for count in counts:
            address = rng.choice([0, 1, 0x1234, 0x10000 - count])
            request, response = READS[function]
            if function < 3:
                values = [rng.random() < 0.5 for _ in range(count)]
                reply = response(bits=values + [False] * (-count % 8))
                values = text(values)
            else:
                values = [rng.randrange(0x10000) for _ in range(count)]
                reply = response(registers=values)
            yield function, address, count, request(address=address, count=count), reply, values
    for address, on in ((0, True), (65535, False)):
        request = bits.WriteSingleCoilRequest(address=address, bits=[on])
        yield 5, address, on, request, bits.WriteSingleCoilResponse(address=address, bits=[on]), []
    for address, word in ((0, 0), (1, 31), (65535, 65535)):
        request = regs.WriteSingleRegisterRequest(address=address, registers=[word])
        yield (
            6,
            address,
            word,
            request,
            regs.WriteSingleRegisterResponse(address=address, registers=[word]),
            [],
        )
    for count in (1, 8, 9, 404):
        values = [rng.random() < 0.5 for _ in range(count)]
        request = bits.WriteMultipleCoilsRequest(address=19, bits=values)
        yield 15, 19, values, request, bits.WriteMultipleCoilsResponse(address=19, count=count), []
    for count in (1, 2, 123):
        words = [rng.randrange(0x10000) for _ in range(count)]
        request = regs.WriteMultipleRegistersRequest(address=1, registers=words)
        yield 16, 1, words, request, regs.WriteMultipleRegistersResponse(address=1, count=count), []


def text(values):
    """Bits as a text of 0 and 1: a list of 2,000 numbers fills the heap of a small device."""
    return "".join("1" if value else "0" for value in values)


def modbus():
    """Good exchanges in both framings; damaged, foreign, cut and exception replies; check sums."""
    rng = random.Random(485)
    for function, address, argument, request, reply, values in exchanges(rng):
        unit, transaction = rng.choice([1, 2, 17, 246, 247]), rng.randrange(0x10000)
        if isinstance(argument, list):
            argument = text(argument) if function == 15 else argument
        asked = [function, address, argument]
        good = rtu(reply, unit)
        yield ["rtu", unit, *asked, rtu(request, unit).hex(), good.hex(), values]
        good_tcp = tcp(reply, unit, transaction)
        yield [
            "tcp",
            unit,
            transaction,
            *asked,
            tcp(request, unit, transaction).hex(),
            good_tcp.hex(),
            values,
        ]
        if len(good) > 60:
            continue
        flipped = bytearray(good)
        flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        bad = {
            "flipped bit": bytes(flipped),
            "cut": good[:-1],
            "lengthened": good + b"\x00",
            "twice": good + good,
            "empty": b"",
            "other unit": rtu(reply, unit ^ 1),
            "short but sealed": sealed(good[:-3]),
            "long but sealed": sealed(good[:-2] + b"\x00"),
            "other function": sealed(bytes([good[0], good[1] ^ 7]) + good[2:-2]),
        }
        if function <= 4:
            bad["byte count"] = sealed(bytes([good[0], good[1], good[2] ^ 1]) + good[3:-2])
        else:
            bad["other address"] = sealed(good[:3] + bytes([good[3] ^ 1]) + good[4:-2])
            bad["other value"] = sealed(good[:-3] + bytes([good[-3] ^ 1]))
        for what in sorted(rng.sample(sorted(bad), 5)):
            yield ["bad rtu", what, unit, *asked, bad[what].hex()]
        head = struct.unpack(">HHH", good_tcp[:6])
        bad = {
            "other transaction": struct.pack(">HHH", head[0] ^ 1, 0, head[2]) + good_tcp[6:],
            "not Modbus": struct.pack(">HHH", head[0], 1, head[2]) + good_tcp[6:],
            "wrong length": struct.pack(">HHH", head[0], 0, head[2] + 1) + good_tcp[6:],
            "huge length": struct.pack(">HHH", head[0], 0, 0xFFFF) + good_tcp[6:],
            "cut": good_tcp[:-1],
            "header only": good_tcp[:6],
            "other unit": good_tcp[:6] + bytes([good_tcp[6] ^ 1]) + good_tcp[7:],
            "other function": good_tcp[:7] + bytes([good_tcp[7] ^ 7]) + good_tcp[8:],
        }
        for what in sorted(rng.sample(sorted(bad), 4)):
            yield ["bad tcp", what, unit, transaction, *asked, bad[what].hex()]
        code = rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 11, 99])
        refusal = ExceptionResponse(function, code)
        yield ["exception rtu", unit, *asked, rtu(refusal, unit).hex(), code]
        yield ["exception tcp", unit, transaction, *asked, tcp(refusal, unit, transaction).hex(), code]
    for length in (0, 1, 2, 8, 255, 256):
        data = rng.randbytes(length)
        yield ["crc", data.hex(), int.from_bytes(FramerRTU.compute_CRC(data).to_bytes(2, "big"), "little")]


def sealed(body):
    """A body with the right check sum: damage that only a strict parser sees."""
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f", "float64": ">d"}
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def ordered(data, order):
    """The registers of big-endian bytes in a word order."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def nearest(value):
    """float32 bits of a Fraction, one rounding only: the oracle for every step."""
    if value == 0:
        return 0
    sign, value = (0x80000000, -value) if value < 0 else (0, value)
    exponent = max(math.floor(math.log2(value)) - 1, -126)
    while value >= Fraction(2) ** (exponent + 1):
        exponent += 1
    mantissa = round(value / Fraction(2) ** (exponent - 23))  # Fraction rounds half to even
    if mantissa == 1 << 24:
        mantissa, exponent = 1 << 23, exponent + 1
    if exponent > 127:
        return sign | 0x7F800000
    if mantissa < 1 << 23:
        return sign | mantissa
    return sign | ((exponent + 127) << 23) | (mantissa & 0x7FFFFF)


def number(bits):
    return Fraction(struct.unpack(">f", struct.pack(">I", bits))[0])


def scaled(bits, multiply, divide, offset):
    """The raw value's bits after scaling, each step rounded once."""
    if multiply != 1:
        bits = nearest(number(bits) * number(nearest(Fraction(multiply))))
    if divide != 1:
        bits = nearest(number(bits) / number(nearest(Fraction(divide))))
    if offset != 0:
        bits = nearest(number(bits) + number(nearest(Fraction(offset))))
    return bits


def registers():
    """[type, order, words, value or null (not a JSON number), multiply, divide, offset, raw bits]."""
    rng = random.Random(754)
    ints = {
        "int16": [0, 1, -1, 32767, -32768, 250],
        "uint16": [0, 65535, 708],
        "int32": [0, 2**31 - 1, -(2**31), 16777217, 16777219, -16777221, 2147483584],
        "uint32": [0, 2**32 - 1, 2**24 + 1, 2**31 + 128, 2**31 + 129],
    }
    scalings = [
        (1, 1, 0),
        (1, 10, 0),
        (1, 100, 0),
        (10, 1, 0),
        (1, 1000, 0.5),
        (3600, 1, 0),
        (1, 3, -273.15),
        (7, 10, 0),
    ]
    for type, values in ints.items():
        for value in values:
            for order in ORDERS:
                multiply, divide, offset = rng.choice(scalings)
                raw = scaled(nearest(Fraction(value)), multiply, divide, offset)
                yield [
                    type,
                    order,
                    ordered(struct.pack(FORMATS[type], value), order),
                    value,
                    multiply,
                    divide,
                    offset,
                    raw,
                ]
    patterns = [
        0,
        0x80000000,
        0x41C80000,
        0x7F800000,
        0xFF800000,
        0x7FC00000,
        0x7FA00000,
        0xFFC12345,
        1,
        0x807FFFFF,
    ]
    patterns += [rng.getrandbits(32) for _ in range(10)]
    for bits_ in patterns:
        value = struct.unpack(">f", struct.pack(">I", bits_))[0]
        for order in ORDERS:
            words = ordered(struct.pack(">I", bits_), order)
            yield ["float32", order, words, value if math.isfinite(value) else None, 1, 1, 0, bits_]
    for value in (0.5, -7.25, 0.1, 1e-3, 123456.7):
        bits_ = nearest(Fraction(struct.unpack(">f", struct.pack(">f", value))[0]))
        words = ordered(struct.pack(">I", bits_), "CDAB")
        yield ["float32", "CDAB", words, float(number(bits_)), 3600, 1, 0.25, scaled(bits_, 3600, 1, 0.25)]
        yield ["float32", "CDAB", words, float(number(bits_)), 1, 1000, 0, scaled(bits_, 1, 1000, 0)]
    yield ["float32", "ABCD", [0x7FA0, 0x1234], None, 3600, 1, 1, 0x7FA01234]  # no arithmetic touches a NaN
    yield ["float32", "ABCD", [0x7F7F, 0xFFFF], None, 10, 1, 0, 0x7F800000]  # too large for float32: infinity
    yield ["float32", "ABCD", [0xFF80, 0x0000], None, 10, 1, 0, 0xFF800000]
    doubles = [
        0.0,
        -0.0,
        25.0,
        0.1,
        1 / 3,
        16777217.0,
        16777219.0,
        1e300,
        -1e300,
        1e-300,
        1e-40,
        -1.5e-45,
        7e-46,
        5e-324,
    ]
    doubles += [
        3.4028235677973366e38,
        3.4028235677973362e38,
        2.0**-149,
        2.0**-150,
        2.0**-150 * 1.0000001,
        1.1754943e-38,
    ]
    doubles += [struct.unpack(">d", rng.randbytes(8))[0] for _ in range(10)]
    for value in doubles:
        order = rng.choice(ORDERS)
        bits_ = nearest(Fraction(value)) if math.isfinite(value) else None
        if bits_ is None:
            continue
        if math.copysign(1, value) < 0:
            bits_ |= 0x80000000
        yield ["float64", order, ordered(struct.pack(">d", value), order), value, 1, 1, 0, bits_]
    yield ["float64", "ABCD", [0x7FF0, 0, 0, 0], None, 1, 1, 0, 0x7F800000]
    yield ["float64", "ABCD", [0xFFF0, 0, 0, 0], None, 1, 1, 0, 0xFF800000]
    yield ["float64", "ABCD", [0x7FF8, 0, 0, 0], None, 1, 1, 0, 0x7FC00000]
    yield ["float64", "DCBA", [1, 0, 0, 0xF07F], None, 1, 1, 0, 0x7FC00000]  # a signalling NaN becomes quiet


def calibration():
    """[points, raw, engineering]: exact arithmetic, then one rounding."""
    rng = random.Random(17025)
    tables = [
        [],
        [[7.0, 7.1]],
        [[0.0, 0.0], [100.0, 188.0]],
        [[0.0, 4.0], [10.0, 4.0]],
        [[4.0, 0.0], [20.0, 100.0]],
    ]
    tables += [
        [[0.1, 0.0], [5.0, 4.7], [9.9, 10.3]],
        [[-1.0, 5.0], [0.0, 0.0], [1.0, 5.0], [3.0, -2.0], [8.0, 1.0]],
    ]
    for points in tables:
        for raw in (
            [0.0, 7.0, -3.5, 250.0] + [point[0] for point in points] + [rng.uniform(-5, 25) for _ in range(4)]
        ):
            yield [points, raw, float(line(points, Fraction(raw)))]


def line(points, raw):
    points = [(Fraction(x), Fraction(y)) for x, y in points]
    if len(points) < 2:
        return raw + (points[0][1] - points[0][0] if points else 0)
    pairs = list(pairwise(points))
    (x0, y0), (x1, y1) = next((pair for pair in pairs if raw < pair[1][0]), pairs[-1])
    return y0 + (raw - x0) * (y1 - y0) / (x1 - x0)


def timeline():
    """[segments, mono_ms, station_ms, speed]: exact arithmetic, rounded down."""
    rng = random.Random(2026)
    start = 1774483200000
    files = [
        [[0, start, 1]],
        [[5000, start, 30.0]],
        [[1000, start, 1.0], [61000, start + 60000, 30.0], [91000, start + 960000, 0.5]],
    ]
    files += [
        [[0, start, 2.5], [10, start + 3600000, 1.001]],
        [[4000000000, start, 1000], [4000000001, start + 1000, 0.001]],
    ]
    for segments in files:
        for _ in range(9):
            mono = rng.choice(segments)[0] + rng.choice([-1, 0, 1, 999, 12345, 10**9])
            piece = [s for s in segments if s[0] <= mono][-1:] or segments[:1]
            begin, station, speed = piece[0]
            exact = station + (mono - begin) * Fraction(round(speed * 1000), 1000)
            yield [segments, mono, math.floor(exact), speed]


def write(name, rows):
    rows = [json.dumps(row, separators=(",", ":")) for row in rows]
    (FOLDER / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    print(f"{name}: {len(rows)}")


if __name__ == "__main__":
    for make in (modbus, registers, calibration, timeline):
        write(make.__name__, make())
