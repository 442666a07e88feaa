# Records as few bytes: what one record has in common with those before it is left out.
#
# Rule 1: take() gives back exactly what add() was given, when both have seen the same records since begin().
# Rule 2: no floats. A raw value is 32 bits; what is kept is how far they are from the channel's last ones.
#
# A record: channel (or event kind), flags, calibration, raw bits, time in ms, more. flags: the quality,
# NO_RAW, EVENT, TOLD (the clock was set). With EVENT and NO_RAW it is a summary: raw is the mean, more is
# SPAN packed (minimum, maximum, count, span in ms). Of an event, more is the detail: text, or what else CBOR
# carries.
#
# On flash: one byte, then what it announces, in this order.
#   bits 0-2  value: 0 as before (or none); 1 to 4 bytes of the difference; 5, 6: one or two bytes of the
#             difference, which ends in 16 zeros; 7: an event
#   bits 3-4  time: as of the record before; 1 byte more; 2 bytes more; 8 bytes of time
#   bit 5     the channel is not the one that followed the record before, the last time: 1 byte
#   bit 6     flags or calibration are not those of this channel before: 3 bytes
# Differences are zigzag (0, -1, 1, -2, ...), the lowest byte first. A summary's minimum, maximum, count and
# 60,000 less its span come after that, 7 bits in a byte. An event: kind, flags, 2 bytes of length, CBOR.

import struct

from protocol import cbor
from protocol._compat import const

QUALITY = const(0x1F)
NO_RAW = const(0x20)
EVENT = const(0x40)
SUMMARY = const(0x60)
TOLD = const(0x80)
SPAN = "<IIIH"
RECORD_MAX = const(640)  # bytes of the longest record, an event with all of its text

# Of each channel: raw bits, flags, calibration, and what came after it less the number next to its own.
_STATE = "<IBHB"
_SIZE = const(8)
_WORD = const(0xFFFFFFFF)
_HALF = const(0xFFFF)


def _zigzag(raw, before, mask):
    far = (raw - before) & mask
    return far << 1 if far <= mask >> 1 else (mask - far) << 1 | 1


def _apply(before, far, mask):
    return (before + ((far >> 1) ^ -(far & 1))) & mask


class Pack:
    def __init__(self):
        self._states = bytearray(_SIZE)
        self.begin()

    # Forgets everything: what comes next can be read without what came before.
    def begin(self):
        for i in range(len(self._states)):
            self._states[i] = 0
        self._time_ms = 0
        self._before = 0  # the channel of the last record

    def _state(self, channel):
        missing = (channel + 1) * _SIZE - len(self._states)
        if missing > 0:
            self._states += bytes(missing)
        return struct.unpack_from(_STATE, self._states, channel * _SIZE)

    # The channel's new state, and the channel as what follows the one before.
    def _keep(self, channel, raw, flags, calibration):
        at = channel * _SIZE
        struct.pack_into("<IBH", self._states, at, raw, flags, calibration)
        self._states[self._before * _SIZE + 7] = (channel - self._before - 1) & 255
        self._before = channel

    # Appends a record to out, a bytearray.
    def add(self, out, channel, flags, calibration, raw, time_ms, more):
        at = len(out)
        out.append(0)
        head = 0
        later_ms = time_ms - self._time_ms
        self._time_ms = time_ms
        if 0 < later_ms < 256:
            head = 0x08
            out.append(later_ms)
        elif later_ms:
            short = 0 < later_ms < 65536
            head = 0x10 if short else 0x18
            out += struct.pack("<H", later_ms) if short else struct.pack("<Q", time_ms)
        if flags & SUMMARY == EVENT:
            more = cbor.dumps(more)
            out[at] = head | 7
            out += struct.pack("<BBH", channel, flags, len(more))
            out += more
            return
        if channel != (self._before + 1 + self._states[self._before * _SIZE + 7]) & 255:
            head |= 0x20
            out.append(channel)
        last, last_flags, last_calibration, _ = self._state(channel)
        if flags != last_flags or calibration != last_calibration:
            head |= 0x40
            out += struct.pack("<BH", flags, calibration)
        if flags & SUMMARY == NO_RAW:
            raw = last
        elif raw != last:
            if (raw ^ last) & 0xFFFF:
                far = _zigzag(raw, last, _WORD)
                n = 1 if far < 256 else 2 if far < 65536 else 3 if far < 0x1000000 else 4
                head |= n
            else:
                far = _zigzag(raw >> 16, last >> 16, _HALF)
                n = 1 if far < 256 else 2
                head |= 4 + n
            out += struct.pack("<I", far)[:n]
        if flags & SUMMARY == SUMMARY:
            minimum, maximum, count, span_ms = struct.unpack(SPAN, more)
            for n in (_zigzag(minimum, raw, _WORD), _zigzag(maximum, raw, _WORD), count, 60000 - span_ms):
                while n > 127:
                    out.append(n & 127 | 128)
                    n >>= 7
                out.append(n)
        out[at] = head
        self._keep(channel, raw, flags, calibration)

    # The record at that place -> (channel, flags, calibration, raw, time_ms, more, place behind it)
    def take(self, data, at):
        head = data[at]
        at += 1
        when = head >> 3 & 3
        if when == 1:
            self._time_ms += data[at]
            at += 1
        elif when == 2:
            self._time_ms += data[at] | data[at + 1] << 8
            at += 2
        elif when:
            self._time_ms = struct.unpack_from("<Q", data, at)[0]
            at += 8
        code = head & 7
        if code == 7:
            channel, flags, n = struct.unpack_from("<BBH", data, at)
            at += 4 + n
            return channel, flags, 0, 0, self._time_ms, cbor.loads(data[at - n : at]), at
        channel = (self._before + 1 + self._states[self._before * _SIZE + 7]) & 255
        if head & 0x20:
            channel = data[at]
            at += 1
        raw, flags, calibration, _ = self._state(channel)
        if head & 0x40:
            flags, calibration = struct.unpack_from("<BH", data, at)
            at += 3
        far = 0
        n = code if code < 5 else code - 4
        for i in range(n):
            far |= data[at + i] << 8 * i
        at += n
        half = raw & _HALF
        raw = _apply(raw >> 16, far, _HALF) << 16 | half if code > 4 else _apply(raw, far, _WORD)
        more = None
        if flags & SUMMARY == SUMMARY:
            more = []
            for _ in range(4):
                n = shift = 0
                while data[at] > 127:
                    n |= (data[at] & 127) << shift
                    shift += 7
                    at += 1
                more.append(n | data[at] << shift)
                at += 1
            far, n, count, shift = more
            more = struct.pack(SPAN, _apply(raw, far, _WORD), _apply(raw, n, _WORD), count, 60000 - shift)
        self._keep(channel, raw, flags, calibration)
        return channel, flags, calibration, 0 if flags & SUMMARY == NO_RAW else raw, self._time_ms, more, at
