# runs on: cpython, micropython
import struct

from firmware.pack import NO_RAW, SPAN, SUMMARY
from firmware.thin import Thin
from protocol import quality
from protocol.reading import bits_float, float_bits

M = 60000
T = 1760000040000  # a whole minute


class Bench:
    def __init__(self):
        self.emitted = []
        self.passed = []
        self.put_in = 0
        self.thin = Thin(self._emit)

    def _emit(self, channel, flags, calibration, raw, stamp, more):
        self.emitted.append((channel, flags, calibration, raw, stamp[0], more))

    def put(self, time_ms, value, channel=0, flags=quality.OK, calibration=0, told=1):
        self.put_in += 1
        raw = 0 if flags & NO_RAW else float_bits(value)
        if not self.thin.put(channel, (time_ms, told), raw, flags, calibration):
            self.passed.append((channel, time_ms, raw))

    # (channel, quality, from, to, count, mean, minimum, maximum) of what was emitted
    def summaries(self):
        found = []
        for channel, flags, _, raw, time_ms, more in self.emitted:
            if more is not None:
                assert flags & SUMMARY == SUMMARY
                minimum, maximum, count, span_ms = struct.unpack(SPAN, more)
                assert 1 <= span_ms <= M and (time_ms - span_ms) // M == (time_ms - 1) // M
                numbers = [bits_float(raw), bits_float(minimum), bits_float(maximum)]
                found.append((channel, flags & 31, time_ms - span_ms, time_ms, count) + tuple(numbers))  # noqa: RUF005
        return found

    # Nothing is lost, nothing is twice.
    def check(self):
        counts = [1 if one[5] is None else struct.unpack(SPAN, one[5])[2] for one in self.emitted]
        assert sum(counts) + len(self.passed) == self.put_in


def test_a_whole_minute_is_one_summary():
    bench = Bench()
    for second in range(-1, 121):
        bench.put(T + 1000 * second, 10 + second % 4)
    assert bench.passed == [(0, T - 1000, float_bits(13))]
    assert bench.summaries() == [
        (0, 0, T, T + M, 60, 11.5, 10.0, 13.0),
        (0, 0, T + M, T + 2 * M, 60, 11.5, 10.0, 13.0),
    ]
    bench.thin.finish()
    bench.check()


def test_it_begins_with_a_whole_minute():
    bench = Bench()
    for second in range(30, 120):
        bench.put(T + 1000 * second, 5)
    assert len(bench.passed) == 30
    bench.thin.finish(T + 2 * M)
    assert bench.emitted == []  # a poll may still be under way
    bench.thin.finish(T + 2 * M + 5000)
    assert bench.summaries() == [(0, 0, T + M, T + 2 * M, 60, 5.0, 5.0, 5.0)]
    bench.check()


def test_a_reading_that_comes_late_is_a_record_of_its_own():
    bench = Bench()
    for second in range(-1, 60):
        bench.put(T + 1000 * second, 5)
    bench.thin.finish(T + M + 5000)
    bench.put(T + M - 1, 7)
    assert bench.passed[-1] == (0, T + M - 1, float_bits(7))
    bench.put(T + M + 5001, 8)
    assert len(bench.passed) == 2
    bench.thin.finish()
    bench.check()


def test_qualities_and_calibrations_are_never_mixed():
    bench = Bench()
    for second in range(-1, 60):
        why = quality.CALIBRATING if 20 <= second < 40 else quality.OK
        bench.put(T + 1000 * second, 1 if why else 2, flags=why, calibration=1 if second >= 50 else 0)
    bench.thin.finish(T + 2 * M)
    assert bench.summaries() == [
        (0, 0, T, T + 19001, 20, 2.0, 2.0, 2.0),
        (0, 1, T + 20000, T + 39001, 20, 1.0, 1.0, 1.0),
        (0, 0, T + 40000, T + 49001, 10, 2.0, 2.0, 2.0),
        (0, 0, T + 50000, T + M, 10, 2.0, 2.0, 2.0),
    ]
    assert [one[2] for one in bench.emitted] == [0, 0, 0, 1]
    bench.check()


def test_a_single_one_stays_what_it_was():
    bench = Bench()
    times = [T - 1000, T + 500, T + 1000, T + 1500]
    for time_ms, why in zip(times, (0, 0, 1, 0)):  # noqa: B905 (MicroPython has no strict=)
        bench.put(time_ms, 5, flags=why)
    bench.thin.finish()
    assert [(one[4], one[5]) for one in bench.emitted] == [
        (T + 500, None),
        (T + 1000, None),
        (T + 1500, None),
    ]
    bench.check()


def test_the_reasons_why_there_is_nothing_are_counted_too():
    bench = Bench()
    for second in range(-1, 60):
        bench.put(T + 1000 * second, 0, flags=quality.TIMEOUT | NO_RAW)
    bench.thin.finish(T + 2 * M)
    ((_, why, _, _, count, _, _, _),) = bench.summaries()
    assert (why, count) == (quality.TIMEOUT, 60)
    bench.check()


def test_slow_channels_and_untold_times_pass_by():
    bench = Bench()
    for minute in range(5):
        bench.put(T + M * minute + 50 * minute, 5)
    for second in range(200):
        bench.put(1000 * second, 5, channel=1, told=0)
    assert bench.emitted == [] and len(bench.passed) == 205


def test_extremes_are_bits_that_were_measured():
    bench = Bench()
    values = [-0.1, 1e-30, 3.4e38, -3.4e38, 0.3]
    bench.put(T - 1000, 1)
    for i, value in enumerate(values):
        bench.put(T + 1000 * i, value)
    bench.thin.finish()
    more = bench.emitted[0][5]
    assert struct.unpack(SPAN, more)[:2] == (float_bits(-3.4e38), float_bits(3.4e38))
    bench.check()


def test_clock_steps_lose_and_double_nothing():
    bench = Bench()
    n = 12345
    at = T
    for i in range(3000):
        n = (n * 1103515245 + 12345) & 0x7FFFFFFF
        at += 1000
        if n % 97 == 0:
            at += (n >> 8) % 600000 - 300000
        bench.put(at, i % 7, channel=i % 3, flags=quality.FAULT if n % 53 == 0 else quality.OK)
        if i % 11 == 0:
            bench.thin.finish(at)
        if len(bench.emitted) > 100 or i == 2999:
            bench.thin.finish()
            bench.summaries()
            bench.check()
            bench.emitted, bench.passed, bench.put_in = [], [], 0


# CONTROL: a minute that is off by one second straddles a window, and is seen.
def test_a_wrong_minute_is_seen():
    bench = Bench()
    end = bench.thin._end
    bench.thin._end = lambda channel, row, end_ms: end(channel, row, end_ms + 1000)
    for second in range(-1, 61):
        bench.put(T + 1000 * second, 5)
    seen = False
    try:
        bench.summaries()
    except AssertionError:
        seen = True
    assert seen
