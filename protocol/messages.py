# What the device and the gateway say to each other: CBOR arrays [type, field, ...], drawn up in
# messages.cddl.
#
# Rule 1: encode and decode accept the same messages, exactly those of messages.cddl. All else is a
#         CodecError.
# Rule 2: one message has one encoding (cbor.py). Arrays come back as tuples.
# Rule 3: times are integer ms. clock 0: ms since boot, of a device that was never told the time. clock 1:
#         Unix ms.
# Rule 4: record i of a Readings has sequence first_seq + i and time base_ms + offset_ms, and is one row
#         (rows.py): (channel, offset_ms, raw_bits, quality, calibration).

from collections import namedtuple

from protocol import cbor, rows
from protocol._compat import bytes_of, const
from protocol.calibration import POINTS_MAX
from protocol.errors import CodecError
from protocol.reading import bits_float, float_bits

VERSION = const(1)
ROWS_MAX = rows.ROWS_MAX
ROWS_FIT = rows.ROWS_FIT
CHANNELS_MAX = const(255)  # in a HELLO; that they fit one frame with their names is usually the tighter limit

HELLO = const(1)
WELCOME = const(2)
READINGS = const(3)
EVENT = const(4)
SEAL = const(5)
ACK = const(6)
COMMAND = const(7)
RESULT = const(8)

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
)


# ---- What a field may hold: functions value -> bool. The same limits, with reasons, stand in messages.cddl.


def _whole(low, high):
    return lambda value: type(value) is int and low <= value <= high


def _octets(length):
    return lambda value: type(value) is bytes and len(value) == length


def _words(shortest, longest):
    def holds(value):
        if type(value) is not str:
            return False
        try:
            return shortest <= len(bytes_of(value)) <= longest
        except ValueError:
            return False

    return holds


def _yes_no(value):
    return type(value) is bool


def _data(value):
    return True  # whatever cbor.py carries


_FLAG = _whole(0, 1)
_HALF = _whole(0, 0xFFFF)
_WORD = _whole(0, 0xFFFFFFFF)
_BOOT = _whole(1, 0xFFFFFFFF)
_BOOT_OR_NONE = _WORD
_COUNT = _whole(0, 0x1FFFFFFFFFFFFF)  # 2**53 - 1: also exact in JSON
_SEQ = _whole(1, 0x1FFFFFFFFFFFFF)
_NAME = _words(1, 32)
_VERSION = _whole(1, 255)


def _finite32(value):
    return type(value) is cbor.Float32 and (value.bits & 0x7F800000) != 0x7F800000


def _channels(channels):
    if not isinstance(channels, (list, tuple)) or len(channels) > CHANNELS_MAX:
        return False
    for channel in channels:
        if not isinstance(channel, (list, tuple)) or len(channel) != 4:
            return False
        quantity, interval_ms, calibration, points = channel
        if not (_NAME(quantity) and _WORD(interval_ms) and _HALF(calibration)):
            return False
        if not isinstance(points, (list, tuple)) or len(points) > POINTS_MAX:
            return False
        before = None
        for point in points:
            if not isinstance(point, (list, tuple)) or len(point) != 2:
                return False
            if not (_finite32(point[0]) and _finite32(point[1])):
                return False
            raw = bits_float(point[0].bits)
            if before is not None and raw <= before:  # calibration.py divides by the difference
                return False
            before = raw
    return True


# ---- The messages: type, name, and each field with what it may hold, in the order of the wire.

_SHAPES = {}
_TYPES = {}


def _message(number, name, *fields):
    kind = namedtuple(name, [field for field, _ in fields])
    _SHAPES[number] = (kind, fields)
    _TYPES[kind] = number
    return kind


Hello = _message(
    HELLO,
    "Hello",
    ("version", _VERSION),
    ("firmware", _words(0, 32)),
    ("device", _NAME),
    ("boot", _BOOT),
    ("nonce", _octets(8)),
    ("config_hash", _octets(8)),
    ("channels", _channels),
    ("store_boot", _BOOT),
    ("store_seq", _SEQ),
    ("clock", _FLAG),
    ("ticks_ms", _COUNT),
    ("reset", _words(0, 32)),
)
Welcome = _message(
    WELCOME,
    "Welcome",
    ("version", _VERSION),
    ("nonce", _octets(8)),
    ("boot", _BOOT_OR_NONE),
    ("seq", _COUNT),
    ("time_ms", _COUNT),
    ("trusted", _yes_no),
)
Readings = _message(
    READINGS,
    "Readings",
    ("boot", _BOOT),
    ("first_seq", _SEQ),
    ("base_ms", _COUNT),
    ("clock", _FLAG),
    ("rows", None),
)
Event = _message(
    EVENT,
    "Event",
    ("boot", _BOOT),
    ("seq", _SEQ),
    ("time_ms", _COUNT),
    ("clock", _FLAG),
    ("kind", _whole(1, 255)),
    ("detail", _data),
)
Seal = _message(
    SEAL,
    "Seal",
    ("boot", _BOOT),
    ("seq", _SEQ),
    ("epoch", _WORD),
    ("chain", _octets(32)),
    ("tag", _octets(32)),
)
Ack = _message(
    ACK,
    "Ack",
    ("nonce", _octets(8)),
    ("boot", _BOOT_OR_NONE),
    ("seq", _COUNT),
    ("time_ms", _COUNT),
    ("trusted", _yes_no),
    ("pause_ms", _WORD),
)
Command = _message(
    COMMAND,
    "Command",
    ("counter", _COUNT),
    ("id", _WORD),
    ("name", _NAME),
    ("args", _data),
)
Result = _message(
    RESULT,
    "Result",
    ("id", _WORD),
    ("ok", _yes_no),
    ("text", _words(0, 256)),
    ("data", _data),
)


def _check(number, values):
    kind, fields = _SHAPES[number]
    if len(values) != len(fields):
        raise CodecError(f"{kind.__name__} has {len(fields)} fields, not {len(values)}")
    for place, (name, holds) in enumerate(fields):
        if not holds(values[place]):
            raise CodecError(f"{kind.__name__}.{name} is wrong: see messages.cddl")


# Message -> payload.
def encode(message):
    number = _TYPES.get(type(message))
    if number is None:
        raise CodecError(f"a {type(message).__name__} is no message")
    if number == READINGS:
        return _encode_readings(message)
    values = list(message)
    if number == HELLO:
        values[6] = _narrowed(message.channels)
    _check(number, values)
    values.insert(0, number)
    return cbor.dumps(values)


# Payload -> message.
def decode(payload):
    if payload[:2] == b"\x86\x03":
        return _decode_readings(payload)
    # READINGS of any other shape is refused here with the wrong count of fields.
    hello = payload[1:2] == b"\x01"
    values = cbor.loads(payload, cbor.Float32 if hello else None)
    if type(values) is not list or not values:
        raise CodecError("a message is an array that begins with its type")
    number = values.pop(0)
    if type(number) is not int or number not in _SHAPES:
        raise CodecError("this type of message is not known")
    if number == READINGS:
        raise CodecError("Readings has 5 fields")
    _check(number, values)
    if number == HELLO:
        values[6] = _widened(values[6])
    return _SHAPES[number][0](*values)


def _narrow(x):
    return cbor.Float32(float_bits(float(x)))


# Calibration points go as 32-bit floats, whatever floats the runtime has.
def _narrowed(channels):
    if not isinstance(channels, (list, tuple)):
        raise CodecError("Hello.channels is a list")
    try:
        return [
            (quantity, interval_ms, calibration, [[_narrow(x) for x in point] for point in points])
            for quantity, interval_ms, calibration, points in channels
        ]
    except (TypeError, ValueError, OverflowError):
        raise CodecError("Hello.channels is wrong: see messages.cddl") from None


def _widened(channels):
    result = []
    for quantity, interval_ms, calibration, points in channels:
        points = tuple([(bits_float(raw.bits), bits_float(engineering.bits)) for raw, engineering in points])
        result.append((quantity, interval_ms, calibration, points))
    return tuple(result)


def _check_readings(boot, first_seq, base_ms, clock):
    if not (_BOOT(boot) and _SEQ(first_seq) and _COUNT(base_ms) and _FLAG(clock)):
        raise CodecError("Readings is wrong: see messages.cddl")


def _decode_readings(data):
    item = cbor.item
    boot, at = item(data, 2)
    first_seq, at = item(data, at)
    base_ms, at = item(data, at)
    clock, at = item(data, at)
    _check_readings(boot, first_seq, base_ms, clock)
    return Readings(boot, first_seq, base_ms, clock, rows.decode_rows(data, at))


def _encode_readings(message):
    boot, first_seq, base_ms, clock, measured = message
    _check_readings(boot, first_seq, base_ms, clock)
    out = bytearray(b"\x86\x03")
    for value in (boot, first_seq, base_ms, clock):
        out += cbor.head(0, value)
    rows.encode_rows(measured, out)
    return bytes(out)
