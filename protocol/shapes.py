# READINGS of a shape that was seen before, read at one go: frames of one station differ in their numbers, and
# hardly ever in which of their bytes are the numbers.
#
# Rule 1: a shape is bytes that stand still (heads, boot, clock, channels, qualities, calibrations) with
#         numbers of a fixed width between them, each within what is encoded in this width. So what a shape
#         reads, records.py reads, too, and as the same. For all else read() returns None.
# Rule 2: shapes are learned from what records.py has read, one for each length. One is replaced after
#         PATIENCE payloads of its length that were none of it.
# Rule 3: rows without a value, or with a negative offset, have no shape: learn() leaves them.

from protocol._compat import SHAPES_MAX, const, unpacker
from protocol.messages import Readings

PATIENCE = const(4)
_COUNT_MAX = const(0x1FFFFFFFFFFFFF)
_FLOAT = const(0xFA)  # head of a binary32

# An integer by what its head says, from 0x18 on: struct's letter, its bytes, the least that is encoded so.
_WIDTHS = (("B", 1, 24), ("H", 2, 0x100), ("I", 4, 0x10000), ("Q", 8, 0x100000000))

_shapes = {}  # length of a payload -> its shape


class _Shape:
    # payload: what records.py read as `readings`. ValueError: it has no shape.
    def __init__(self, payload, readings):
        self.missed = 0
        numbers = list(_numbers(payload, len(readings.rows)))  # (place, struct's letter, bytes, least, most)
        form = ">"
        still = []
        end = 0
        for at, letter, size, _, _ in numbers:
            still.append(payload[end:at])
            form += f"{at - end}s{letter}"
            end = at + size
        still.append(payload[end:])
        self._still = still
        self._unpack = unpacker(f"{form}{len(payload) - end}s")
        self._bounds = [(least, most) for _, _, _, least, most in numbers if most]
        self._boot, self._clock = readings.boot, readings.clock
        self._channels, _, _, self._qualities, self._calibrations = zip(*readings.rows)  # noqa: B905 - MicroPython

    def read(self, payload):
        fields = list(self._unpack(payload, 0))
        if fields[::2] != self._still:
            return None
        first_seq, base_ms = fields[1], fields[3]
        offsets = fields[5::4]
        numbers = [first_seq, base_ms] + offsets  # noqa: RUF005 - in half the time
        for number, (least, most) in zip(numbers, self._bounds):  # noqa: B905 - MicroPython
            if not least <= number <= most:
                return None
        rows = zip(self._channels, offsets, fields[7::4], self._qualities, self._calibrations)  # noqa: B905
        return Readings(self._boot, first_seq, base_ms, self._clock, tuple(rows))


# Where the numbers of a payload are: the first sequence, the base time, and of each row its offset and bits
# (of which any are good: most is 0).
def _numbers(payload, rows):
    at, _ = _integer(payload, 2, 0, 0)  # the boot stands still
    at, seq = _integer(payload, at, 1, _COUNT_MAX)
    yield seq
    at, base = _integer(payload, at, 0, _COUNT_MAX)
    yield base
    at += 2 if payload[at + 1] < 0x98 else 3  # behind the clock and the head of the rows
    for _ in range(rows):
        at, _ = _integer(payload, at + 1, 0, 0)  # the channel stands still
        at, offset = _integer(payload, at, 0, 0x7FFFFFFF)
        yield offset
        if payload[at] != _FLOAT:
            raise ValueError
        yield at + 1, "I", 4, 0, 0  # any bits
        at, _ = _integer(payload, at + 6, 0, 0)  # quality (one byte) and calibration stand still


# A whole number that is not negative, with the bounds of its values -> (place behind it, its number).
def _integer(payload, at, least, most):
    head = payload[at]
    if head < 24:
        return at + 1, (at, "B", 1, least, 23)
    if head > 0x1B:
        raise ValueError
    letter, size, shortest = _WIDTHS[head - 0x18]
    return at + 1 + size, (at + 1, letter, size, shortest, min(most, (1 << 8 * size) - 1))


# Readings, or None: not of the shape that is known for its length.
def read(payload):
    shape = _shapes.get(len(payload))
    if shape is None:
        return None
    found = shape.read(payload)
    if found is None:
        shape.missed += 1
    else:
        shape.missed = 0
    return found


# Take note of what records.py has read.
def learn(payload, readings):
    shape = _shapes.get(len(payload))
    if not SHAPES_MAX or (shape is not None and shape.missed < PATIENCE):
        return
    try:
        fresh = _Shape(bytes(payload), readings)
    except ValueError:
        return
    if shape is None and len(_shapes) >= SHAPES_MAX:
        _shapes.clear()
    _shapes[len(payload)] = fresh
