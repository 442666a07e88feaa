# Thinning: while the flash is getting full, one record a minute for each channel instead of all its readings.
#
# Rule 1: a summary is of the readings of one channel, one quality and one calibration in one minute of Unix
#         time: mean, minimum, maximum, and how many. A change of quality or calibration ends it within the
#         minute.
# Rule 2: a reading is either in a summary or a record of its own, never both. A channel begins with the first
#         whole minute. What was measured only once in its minute stays what it is; channels that are read no
#         more often than once a minute, and readings before the clock was told, pass by.
# Rule 3: minimum and maximum are bits that were measured. The mean is computed as the runtime can (32 bits).
# Rule 4: what a power cut takes with it is at most the minute that is under way.
#
# Loaded when it is needed (lazy.py).

import struct

from firmware.pack import NO_RAW, SPAN, SUMMARY
from protocol.reading import bits_float, float_bits

_MINUTE = 60000
_SLOW_MS = 58000  # read no more often than this: not worth a summary
_GRACE_MS = 5000  # a poll's readings are put when it is complete


class Thin:
    # emit(channel, flags, calibration, raw, stamp, more): puts a record into the store
    def __init__(self, emit):
        self._emit = emit
        # channel -> [minute, from, last time, count, mean, minimum, maximum (bits), flags, calibration]
        self._rows = {}

    # Whether the reading is taken care of.
    def put(self, channel, stamp, raw, flags, calibration):
        time_ms, told = stamp
        if not told:
            return False
        minute = time_ms // _MINUTE
        from_ms = minute * _MINUTE
        row = self._rows.get(channel)
        if row is None:
            self._rows[channel] = [minute, 0, time_ms, 0, 0, 0, 0, 0, 0]
            return False
        if row[3] == 0:
            if minute == row[0] or not 0 <= time_ms - row[2] < _SLOW_MS:
                row[0] = minute
                row[2] = time_ms
                return False
        elif minute != row[0]:
            self._end(channel, row, (row[0] + 1) * _MINUTE)
        elif flags != row[7] or calibration != row[8]:
            self._end(channel, row, row[2] + 1)
            from_ms = time_ms
        value = 0 if flags & NO_RAW else bits_float(raw)
        if row[3] == 0:
            row = self._rows[channel] = [minute, from_ms, time_ms, 0, value, raw, raw, flags, calibration]
        row[2] = max(row[2], time_ms)
        row[3] += 1
        row[4] += (value - row[4]) / row[3]
        if value < bits_float(row[5]):
            row[5] = raw
        if value > bits_float(row[6]):
            row[6] = raw
        return True

    def _end(self, channel, row, end_ms):
        _, from_ms, last_ms, count, mean, minimum, maximum, flags, calibration = row
        row[3] = 0
        if count == 1:
            self._emit(channel, flags, calibration, minimum, (last_ms, 1), None)
            return
        more = struct.pack(SPAN, minimum, maximum, count, end_ms - from_ms)
        mean = 0 if flags & NO_RAW else float_bits(mean)
        self._emit(channel, flags | SUMMARY, calibration, mean, (end_ms, 1), more)

    # Minutes that are over at now_ms; None: all that there is, because power goes or thinning ends.
    def finish(self, now_ms=None):
        for channel in sorted(self._rows):
            row = self._rows[channel]
            if row[3] and now_ms is None:
                self._end(channel, row, row[2] + 1)
            elif row[3] and (now_ms - _GRACE_MS) // _MINUTE > row[0]:
                self._end(channel, row, (row[0] + 1) * _MINUTE)
