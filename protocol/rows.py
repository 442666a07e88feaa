# The rows of READINGS as bytes: the hottest path of the gateway, and of nobody else.
#
# Rule 1: a row is (channel, offset_ms, raw_bits, quality, calibration); on the wire an array of five, in
#         which the raw value is a binary32 whose bits pass through untouched, or null.
# Rule 2: raw_bits is None if and only if the quality has no value: a reading is a value or a reason.
# Rule 3: rows of the usual shape are read and written at one go, any other by cbor.py. Which way a row goes
#         changes neither its bytes nor whether it is accepted; tests hold one against the other.
#
# Both functions raise CodecError for what messages.cddl does not allow, and nothing else.

import struct

from protocol import cbor
from protocol._compat import const, unpacker
from protocol.errors import CodecError
from protocol.quality import NAMES, has_value

ROWS_MAX = const(64)
ROWS_FIT = const(48)  # so many rows fit one frame whatever stands in them; more may not

# By the size of the offset, for a channel and a calibration id below 24: array of 5 and channel, [head of the
# offset,] offset, head of a binary32, its bits, quality, calibration.
_ROW10 = unpacker(">HBBIBB")
_ROW11 = unpacker(">HHBIBB")
_ROW12 = unpacker(">HBHBIBB")


# row: five fields, the raw value as Float32 or None.
def _holds(row):
    if len(row) != 5:
        return False
    channel, offset_ms, raw, quality, calibration = row
    for value in (channel, offset_ms, quality, calibration):
        if type(value) is not int:
            return False
    return (
        0 <= channel <= 255
        and -0x80000000 <= offset_ms <= 0x7FFFFFFF
        and 0 <= quality < len(NAMES)
        and 0 <= calibration <= 0xFFFF
        and (type(raw) is cbor.Float32 if has_value(quality) else raw is None)
    )


# Any row, the slow way -> (row, place behind it).
def _row(data, at):
    row, at = cbor.item(data, at, True)
    if type(row) is not list or not _holds(row):
        raise CodecError("a row of Readings is wrong: see messages.cddl")
    channel, offset_ms, raw, quality, calibration = row
    return (channel, offset_ms, None if raw is None else raw.bits, quality, calibration), at


# -> (count of rows, place behind the head of their array)
def _count(data, at):
    if at < len(data):
        count = data[at] - 0x80
        at += 1
        if count == 24 and at < len(data) and data[at] >= 24:
            count = data[at]
            at += 1
        elif count >= 24:
            count = 0
        if 1 <= count <= ROWS_MAX:
            return count, at
    raise CodecError("Readings has 1 to 64 rows")


# The array of rows that begins at this place of data and ends with it -> tuple of rows.
def decode_rows(data, at):
    size = len(data)
    count, at = _count(data, at)
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
            row, at = _row(data, at)
            rows.append(row)
    if at != size:
        raise CodecError("there is something behind the Readings")
    return tuple(rows)


def _usual(channel, offset_ms, raw, quality, calibration):
    for value in (channel, offset_ms, raw, quality, calibration):
        if type(value) is not int:
            return False
    return (
        0 <= channel < 24
        and 255 < offset_ms <= 0xFFFF
        and 0 <= raw <= 0xFFFFFFFF
        and 0 <= quality < 4
        and 0 <= calibration < 24
    )


# Appends the array of rows to out, a bytearray.
def encode_rows(rows, out):
    if not isinstance(rows, (list, tuple)) or not 1 <= len(rows) <= ROWS_MAX:
        raise CodecError("Readings has 1 to 64 rows")
    out += cbor.head(0x80, len(rows))
    for row in rows:
        if not isinstance(row, (list, tuple)) or len(row) != 5:
            raise CodecError("a row of Readings has 5 fields")
        channel, offset_ms, raw, quality, calibration = row
        if _usual(channel, offset_ms, raw, quality, calibration):
            out += struct.pack(">HBHBIBB", 0x8500 | channel, 0x19, offset_ms, 0xFA, raw, quality, calibration)
            continue
        if raw is not None:
            if type(raw) is not int or not 0 <= raw <= 0xFFFFFFFF:
                raise CodecError("raw_bits are 32 bits, or None")
            raw = cbor.Float32(raw)
        row = (channel, offset_ms, raw, quality, calibration)
        if not _holds(row):
            raise CodecError("a row of Readings is wrong: see messages.cddl")
        out += cbor.dumps(row)
