# What the device and the gateway say to each other: CBOR arrays [type, field, ...], drawn up in
# messages.cddl.
#
# Rule 1: encode and decode accept the same messages, exactly those of messages.cddl. All else is a
#         CodecError.
# Rule 2: one message has one encoding (cbor.py). Arrays come back as tuples.
# Rule 3: times are integer ms. clock 0: ms since boot, of a device that was never told the time. clock 1:
#         Unix ms.
# Rule 4: record i of a Readings has sequence first_seq + i and time base_ms + offset_ms, and is one row
#         (channel, offset_ms, raw_bits, quality, calibration). raw_bits is None if and only if the quality
#         has no value: a reading is a value or a reason. Bits pass through untouched.
# Rule 5: record i of a Summary has sequence first_seq + i, and is one row (channel, mean_bits, minimum_bits,
#         maximum_bits, count, quality, calibration) of count readings taken in [time_ms - span_ms, time_ms).
#         All three are None if and only if the quality has no value.
# Rule 6: Now carries rows like those of Readings, of records that travel elsewhere: it has no sequence, is
#         never journaled and never counted.
# Rule 7: a device reads what a gateway says, and nothing else: decode(payload, True). How to read what
#         devices say is in records.py, which is loaded by the first such message, so on a device never.

import struct
from collections import namedtuple

from protocol import cbor
from protocol._compat import bytes_of, const
from protocol.errors import CodecError
from protocol.quality import NAMES, has_value
from protocol.reading import bits_float, float_bits

VERSION = const(1)
ROWS_MAX = const(64)
ROWS_FIT = const(48)  # so many rows fit one frame whatever stands in them; more may not
SUMMARIES_MAX = const(24)  # rows of a SUMMARY: they fit one frame whatever stands in them
TEXT_MAX = const(600)  # UTF-8 bytes of an EVENT's text: fits one frame
CHANNELS_MAX = const(255)  # in a HELLO; that they fit one frame with their names is usually the tighter limit
_POINTS_MAX = const(5)  # calibration.POINTS_MAX

# Kinds of EVENT. The numbers are on the wire: only add, up to 255. A reader keeps kinds that it does not
# know.
START = const(1)
CLOCK_STEP = const(2)
DOOR = const(3)
MAINS_LOST = const(4)
MAINS_BACK = const(5)
CALIBRATION_BEGUN = const(6)
CALIBRATION_ENDED = const(7)
SAMPLER_DONE = const(8)
DISCARDED = const(9)
LINK_LOST = const(10)
CRASH = const(11)
SAFE_MODE = const(12)
CLOCK_SET = const(13)
CONFIGURED = const(14)
FLASH_FAULT = const(15)
INPUT = const(16)
SAMPLER = const(17)
ALARM = const(18)
UPDATE = const(19)
UNIT = const(20)
THINNING = const(21)
COMMAND = const(22)
MAINTENANCE = const(23)

EVENT_NAMES = (
    "",
    "START",
    "CLOCK_STEP",
    "DOOR",
    "MAINS_LOST",
    "MAINS_BACK",
    "CALIBRATION_BEGUN",
    "CALIBRATION_ENDED",
    "SAMPLER_DONE",
    "DISCARDED",
    "LINK_LOST",
    "CRASH",
    "SAFE_MODE",
    "CLOCK_SET",
    "CONFIGURED",
    "FLASH_FAULT",
    "INPUT",
    "SAMPLER",
    "ALARM",
    "UPDATE",
    "UNIT",
    "THINNING",
    "COMMAND",
    "MAINTENANCE",
)

# What a field may hold, as one byte. A whole number of so many bits, from 0 or, with 64 added, from 1: the
# same limits, with reasons, stand in messages.cddl. 53 bits are also exact in JSON.
_FLAG = const(1)
_OCTET = const(8)
_SMALL = const(72)
_HALF = const(16)
_MANY = const(80)
_WORD = const(32)
_BOOT = const(96)
_COUNT = const(53)
_SEQ = const(117)
# Anything else.
_OTHER = const(128)
_DATA = const(128)  # whatever cbor.py carries
_YES_NO = const(129)
_NAME = const(130)  # 1 to 32 bytes of text
_TEXT32 = const(131)
_TEXT256 = const(132)
_EIGHT = const(133)  # octets
_THIRTY_TWO = const(134)
_SPAN = const(135)
_CHANNELS = const(136)  # looked at by channels(), below
_ROWS = const(137)  # looked at by _write_rows(), and records.py

# Messages that only a device sends.
_HELLO = const(1)
_READINGS = const(3)
_SUMMARY = const(9)
_NOW = const(10)

# Message -> its number and what each of its fields may hold, in the order of the wire.
_RULES = {}


def _message(number, name, *fields):
    kind = namedtuple(name, [field for field in fields if type(field) is str])
    _RULES[kind] = bytes([number] + [rule for rule in fields if type(rule) is int])
    return kind


# fmt: off
Hello = _message(
    _HELLO, "Hello",
    "version", _SMALL, "firmware", _TEXT32, "device", _NAME, "boot", _BOOT, "nonce", _EIGHT,
    "config_hash", _EIGHT, "channels", _CHANNELS, "store_boot", _BOOT, "store_seq", _SEQ, "clock", _FLAG,
    "ticks_ms", _COUNT, "reset", _TEXT32,
)
Welcome = _message(
    2, "Welcome",
    "version", _SMALL, "nonce", _EIGHT, "boot", _WORD, "seq", _COUNT, "time_ms", _COUNT, "trusted", _YES_NO,
)
Readings = _message(
    _READINGS, "Readings",
    "boot", _BOOT, "first_seq", _SEQ, "base_ms", _COUNT, "clock", _FLAG, "rows", _ROWS,
)
Event = _message(
    4, "Event",
    "boot", _BOOT, "seq", _SEQ, "time_ms", _COUNT, "clock", _FLAG, "kind", _SMALL, "detail", _DATA,
)
Seal = _message(
    5, "Seal",
    "boot", _BOOT, "seq", _SEQ, "time_ms", _COUNT, "clock", _FLAG, "life", _BOOT, "epoch", _WORD,
    "chain", _THIRTY_TWO, "tag", _THIRTY_TWO,
)
Ack = _message(
    6, "Ack",
    "nonce", _EIGHT, "boot", _WORD, "seq", _COUNT, "time_ms", _COUNT, "trusted", _YES_NO, "pause_ms", _WORD,
)
Command = _message(7, "Command", "counter", _COUNT, "id", _WORD, "name", _NAME, "args", _DATA)
Result = _message(8, "Result", "id", _WORD, "ok", _YES_NO, "text", _TEXT256, "data", _DATA)
Summary = _message(
    _SUMMARY, "Summary",
    "boot", _BOOT, "first_seq", _SEQ, "time_ms", _COUNT, "clock", _FLAG, "span_ms", _SPAN, "rows", _ROWS,
)
Now = _message(_NOW, "Now", "nonce", _EIGHT, "base_ms", _COUNT, "clock", _FLAG, "rows", _ROWS)
# fmt: on

del _message


def _fits(rule, value):
    kind = type(value)
    if rule < _OTHER:
        return kind is int and rule >> 6 <= value < 1 << (rule & 63)
    if rule >= _CHANNELS or rule == _DATA:
        return True
    if rule >= _EIGHT:
        if rule == _SPAN:
            return kind is int and 1 <= value <= 60000
        return kind is bytes and len(value) == (8 if rule == _EIGHT else 32)
    if rule == _YES_NO:
        return kind is bool
    if kind is not str:
        return False
    try:
        length = len(bytes_of(value))
    except ValueError:
        return False
    return (rule == _NAME) <= length <= (256 if rule == _TEXT256 else 32)


# CodecError unless each field holds what it may. What _fits lets through, channels() and records.py look at.
def check(kind, values):
    rules = _RULES[kind]
    good = len(values) == len(rules) - 1
    for place, value in enumerate(values if good else (), 1):
        good = good and _fits(rules[place], value)
    if not good:
        raise CodecError(f"{kind.__name__} is not as in messages.cddl")


# The channels of a HELLO, or None: from numbers to Float32, or, reading, from Float32 to numbers. Calibration
# points go as 32-bit floats, whatever floats the runtime has, and rise as such: calibration.py divides by the
# difference.
def channels(given, reading):
    if not isinstance(given, (list, tuple)) or len(given) > CHANNELS_MAX:
        return None
    made = []
    try:
        for name, interval_ms, calibration, points in given:
            good = _fits(_NAME, name) and _fits(_WORD, interval_ms) and _fits(_HALF, calibration)
            if not good or not isinstance(points, (list, tuple)) or len(points) > _POINTS_MAX:
                return None
            sent = []
            read = []
            for point in points:
                if not reading:
                    point = [cbor.Float32(float_bits(float(x))) for x in point]
                raw, engineering = [bits_float(x.bits) for x in point]
                if raw - raw != 0 or engineering - engineering != 0 or (read and raw <= read[-1][0]):
                    return None
                sent.append(point)
                read.append((raw, engineering))
            made.append((name, interval_ms, calibration, tuple(read if reading else sent)))
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None
    return tuple(made)


# Appends the array of rows to out, a bytearray; True when they were all right.
def _write_rows(rows, out, summary):
    most, width, bits = (SUMMARIES_MAX, 7, (1, 2, 3)) if summary else (ROWS_MAX, 5, (2,))
    if not isinstance(rows, (list, tuple)) or not 1 <= len(rows) <= most:
        return False
    out += cbor.head(0x80, len(rows))
    for row in rows:
        if not isinstance(row, (list, tuple)) or len(row) != width:
            return False
        if summary:
            good = _fits(_MANY, row[4])
        else:
            channel, offset_ms, raw, quality, calibration = row
            good = type(offset_ms) is int and -0x80000000 <= offset_ms <= 0x7FFFFFFF
            if (
                good
                and type(channel) is type(raw) is type(quality) is type(calibration) is int
                and 255 < offset_ms <= 0xFFFF
                and 0 <= channel < 24
                and 0 <= raw <= 0xFFFFFFFF
                and 0 <= quality < 4
                and 0 <= calibration < 24
            ):  # the usual row, at one go: every other number in it is its own encoding
                out += struct.pack(
                    ">HBHBIBB", 0x8500 | channel, 0x19, offset_ms, 0xFA, raw, quality, calibration
                )
                continue
        row = list(row)
        quality = row[-2]
        if not (good and _fits(_OCTET, row[0]) and _fits(_OCTET, quality) and _fits(_HALF, row[-1])):
            return False
        if quality >= len(NAMES):
            return False
        for place in bits:
            raw = row[place]
            if has_value(quality) and _fits(_WORD, raw):
                row[place] = cbor.Float32(raw)
            elif has_value(quality) or raw is not None:
                return False
        cbor.write(row, out, 2)
    return True


# Message -> payload.
def encode(message):
    out = bytearray()
    write(message, out)
    return bytes(out)


# Appends the payload to out, a bytearray.
def write(message, out):
    kind = type(message)
    rules = _RULES.get(kind)
    if rules is None:
        raise CodecError(f"a {kind.__name__} is no message")
    out += bytes((0x80 + len(rules), rules[0]))
    for place, value in enumerate(message, 1):
        rule = rules[place]
        if rule == _ROWS:
            good = _write_rows(value, out, kind is Summary)
        else:
            good = _fits(rule, value)
            if rule == _CHANNELS:
                value = channels(value, False)
                good = value is not None
            if good:
                cbor.write(value, out, 1)
        if not good:
            raise CodecError(f"{kind.__name__}: field {place} is not as in messages.cddl")


_records = None


# Payload -> message. told: only what a gateway says.
def decode(payload, told=False):
    global _records
    if payload[1:2] not in b"\x01\x03\x09\x0a":
        values = cbor.loads(payload)
        number = values.pop(0) if type(values) is list and values else None
        for kind in _RULES if type(number) is int else ():
            if _RULES[kind][0] == number:
                check(kind, values)
                return kind(*values)
    elif not told:
        if _records is None:
            from protocol.records import decode as _records
        return _records(payload)
    raise CodecError("no message, or not one from there")
