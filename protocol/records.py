# What devices say, read: HELLO and all that ends in rows. The hottest path of the gateway, and of nobody
# else: a device never loads this (messages.decode does, when the first such message comes).
#
# Rule 1: what is accepted is exactly what messages.encode writes. All else is a CodecError.
# Rule 2: a raw value is on the wire a binary32 whose bits pass through untouched, or null.
# Rule 3: rows of the usual shape are read at one go, any other by cbor.py. Which way a row goes does not
#         change whether it is accepted; tests hold one against the other.

from protocol import shapes
from protocol._compat import const, unpacker
from protocol.cbor import Float32, item, loads
from protocol.errors import CodecError
from protocol.messages import ROWS_MAX, SUMMARIES_MAX, Hello, Now, Readings, Summary, channels, check
from protocol.quality import NAMES, has_value

_COUNT_MAX = const(0x1FFFFFFFFFFFFF)

# By the size of the offset, for a channel and a calibration id below 24: array of 5 and channel, [head of the
# offset,] offset, head of a binary32, its bits, quality, calibration.
_ROW10 = unpacker(">HBBIBB")
_ROW11 = unpacker(">HHBIBB")
_ROW12 = unpacker(">HBHBIBB")


# Any row, the slow way -> (row, place behind it). width: how many fields it has. bits: which of them are raw
# bits.
def _row(data, at, width, bits):
    row, at = item(data, at, True)
    good = type(row) is list and len(row) == width
    if good:
        for place in range(width):
            good = good and (place in bits or type(row[place]) is int)
    if good:
        quality = row[-2]
        good = 0 <= row[0] <= 255 and 0 <= quality < len(NAMES) and 0 <= row[-1] <= 0xFFFF
        good = good and (-0x80000000 <= row[1] <= 0x7FFFFFFF if width == 5 else 1 <= row[4] <= 0xFFFF)
    for place in bits if good else ():
        raw = row[place]
        if has_value(quality) and type(raw) is Float32:
            row[place] = raw.bits
        elif has_value(quality) or raw is not None:
            good = False
    if not good:
        raise CodecError("a row is wrong: see messages.cddl")
    return tuple(row), at


# -> (count of rows, place behind the head of their array)
def _count(data, at, most):
    if at < len(data):
        count = data[at] - 0x80
        at += 1
        if count == 24 and at < len(data) and data[at] >= 24:
            count = data[at]
            at += 1
        elif count >= 24:
            count = 0
        if 1 <= count <= most:
            return count, at
    raise CodecError(f"there are 1 to {most} rows")


# The array of rows that begins at this place of data and ends with it -> tuple of rows.
def _rows(data, at):
    size = len(data)
    count, at = _count(data, at, ROWS_MAX)
    rows = []
    # Numbers below 24 are their own encoding, and every quality below 4 has a value.
    for _ in range(count):
        kind = data[at + 2] if at + 12 <= size else 255
        if kind == 0x19:
            channel, _, offset_ms, mark, raw, quality, calibration = _ROW12(data, at)
            length = 12
            usual = offset_ms > 255
        elif kind < 24:
            channel, offset_ms, mark, raw, quality, calibration = _ROW10(data, at)
            length = 10
            usual = True
        elif kind == 0x18:
            channel, offset_ms, mark, raw, quality, calibration = _ROW11(data, at)
            offset_ms -= 0x1800
            length = 11
            usual = offset_ms > 23
        else:
            usual = False
        if usual and mark == 0xFA and quality < 4 and calibration < 24 and 0x8500 <= channel < 0x8518:
            rows.append((channel - 0x8500, offset_ms, raw, quality, calibration))
            at += length
        else:
            row, at = _row(data, at, 5, (2,))
            rows.append(row)
    if at != size:
        raise CodecError("there is something behind the rows")
    return tuple(rows)


# Payload that begins with the head of a Readings -> Readings.
def _readings(payload):
    boot, at = item(payload, 2)
    first_seq, at = item(payload, at)
    base_ms, at = item(payload, at)
    clock = payload[at] if at < len(payload) else 255  # 0 and 1 are their own encoding
    if not (
        type(boot) is type(first_seq) is type(base_ms) is int
        and 0 < boot <= 0xFFFFFFFF
        and 0 < first_seq <= _COUNT_MAX
        and 0 <= base_ms <= _COUNT_MAX
        and clock <= 1
    ):
        raise CodecError("Readings is not as in messages.cddl")
    return Readings(boot, first_seq, base_ms, clock, _rows(payload, at + 1))


# Payload -> Readings, Hello, Summary or Now.
def decode(payload):
    head = payload[:2]
    if head == b"\x86\x03":
        readings = shapes.read(payload)
        if readings is None:
            readings = _readings(payload)
            shapes.learn(payload, readings)
        return readings
    if head == b"\x8d\x01":
        values = loads(payload, Float32)[1:]
        values[6] = channels(values[6], True)
        if values[6] is None:
            raise CodecError("Hello is not as in messages.cddl")
        check(Hello, values)
        return Hello(*values)
    if head == b"\x85\x0a":
        kind, count = Now, 3
    elif head == b"\x87\x09":
        kind, count = Summary, 5
    else:
        raise CodecError("this message has another number of fields")
    at = 2
    values = []
    for _ in range(count):
        value, at = item(payload, at)
        values.append(value)
    values.append(None)
    check(kind, values)
    if kind is Now:
        values[-1] = _rows(payload, at)
        return Now(*values)
    count, at = _count(payload, at, SUMMARIES_MAX)
    rows = []
    for _ in range(count):
        row, at = _row(payload, at, 7, (1, 2, 3))
        rows.append(row)
    if at != len(payload):
        raise CodecError("there is something behind the rows")
    values[-1] = tuple(rows)
    return Summary(*values)
