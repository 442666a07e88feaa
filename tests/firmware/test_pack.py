# runs on: cpython, micropython
import struct

from firmware import pack
from firmware.pack import EVENT, NO_RAW, SPAN, SUMMARY, TOLD, Pack
from protocol import messages, quality
from protocol.reading import float_bits

T = 1760000000000


# Writes and reads one by one, which a small heap has room for. -> count, bytes, bytes of the longest
def _there_and_back(records):
    writer = Pack()
    reader = Pack()
    n = total = longest = 0
    for record in records:
        out = bytearray()
        writer.add(out, *record)
        taken = reader.take(bytes(out) + b"more", 0)
        assert taken[:6] == record and taken[6] == len(out), (n, taken, record)
        n += 1
        total += len(out)
        longest = max(longest, len(out))
    return n, total, longest


def _reading(channel, raw, time_ms, why=quality.OK, calibration=0, told=TOLD):
    if raw is None:
        return channel, why | NO_RAW | told, calibration, 0, time_ms, None
    return channel, why | told, calibration, raw, time_ms, None


def _numbers(seed):
    n = seed
    while True:
        n = (n * 1103515245 + 12345) & 0x7FFFFFFF
        yield n >> 8


def test_every_shape_comes_back():
    raws = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x41C80000, 0x41C80001, 0x41C90000, 0xC1C80000, None)
    raws += (0x3F800000, 0xBF800000, 0x7FC00000, 0xFFC00001, 0x00010000, 0xFFFF0000, 0x80008000)
    for a in raws:
        for later_ms in (0, 1, 255):
            records = []
            for b in raws:
                records.append(_reading(3, a, T, quality.TIMEOUT if a is None else quality.OK))
                records.append(_reading(3, b, T + later_ms, quality.TIMEOUT if b is None else quality.OK))
            _there_and_back(records)


def test_times_of_every_distance():
    times = (0, 1, 255, 256, 65535, 65536, 65537, T, T - 1, T + 254, T + 255, T + 70000, 5, 2**53 - 1, 0)
    _there_and_back([_reading(i % 3, 7, time_ms) for i, time_ms in enumerate(times)])


def _any(n):
    some = _numbers(1)
    for i in range(n):
        why = next(some) % 12
        raw = (next(some) << 9 ^ next(some)) & 0xFFFFFFFF if quality.has_value(why) else None
        told = TOLD if next(some) % 2 else 0
        channel = (0, 5, 254, 255, next(some) & 255)[next(some) % 5]
        yield _reading(channel, raw, T + i * (next(some) % 500), why, next(some) & 0xFFFF, told)


def test_channels_in_any_order_flags_and_calibrations_that_change():
    assert _there_and_back(_any(600))[0] == 600


def test_events_with_their_details():
    details = ("", "cửa mở", "x" * 600, [12345, T], None, {"a": 1})
    records = [_reading(0, 5, T)]
    for i, detail in enumerate(details):
        records.append((messages.DOOR + i, EVENT | (TOLD if i % 2 else 0), 0, 0, T + i, detail))
        records.append(_reading(1, 6 + i, T + i))
    assert 600 < _there_and_back(records)[2] <= pack.RECORD_MAX


def _summaries(n):
    some = _numbers(2)
    for i in range(n):
        mean = (next(some) << 9 ^ next(some)) & 0xFFFFFFFF
        more = struct.pack(SPAN, mean ^ next(some) & 0xFFF, 0xFFFFFFFF - mean, 1 + i * i, 1 + i * 200)
        if i == n - 1:
            more = struct.pack(SPAN, 0, 0xFFFFFFFF, 0xFFFFFFFF, 60000)
        yield i % 40, SUMMARY | quality.OK | TOLD, 0, mean, T + 60000 * (i // 40), more
        yield _reading(i % 40, mean, T + 60000 * (i // 40))


def test_summaries():
    assert _there_and_back(_summaries(300))[0] == 600


def test_begin_makes_it_independent_of_what_was_before():
    writer = Pack()
    for i in range(50):
        writer.add(bytearray(), *_reading(i % 12, 0x41C80000 + i, T + i, calibration=i))
    writer.begin()
    out = bytearray()
    writer.add(out, *_reading(4, 0x41C80007, T + 9))
    assert Pack().take(bytes(out), 0)[:6] == _reading(4, 0x41C80007, T + 9)


# Twelve channels of five units, a tenth of a second from unit to unit, values that move a little.
def _moving(seconds):
    some = _numbers(3)
    for second in range(seconds):
        for channel in range(12):
            value = 20 + channel + (next(some) % 100) / 200  # two digits behind the point, steps of 0.005
            yield _reading(channel, float_bits(value), T + second * 1000 + channel // 3 * 97)


def test_a_steady_station_takes_five_bytes_a_reading_at_most():
    n, total, _ = _there_and_back(_moving(60))
    assert n == 720 and total < 5 * n
    n, total, _ = _there_and_back([_reading(i % 12, 0x41C80000, T + i // 12 * 1000) for i in range(240)])
    assert total - 12 * 14 < 1.3 * n


# CONTROL: a reader that did not see what came before gives something else.
def test_the_order_matters():
    writer = Pack()
    out = bytearray()
    writer.add(out, *_reading(4, 0x41C80007, T))
    second = len(out)
    writer.add(out, *_reading(4, 0x41C80009, T + 5))
    assert Pack().take(bytes(out), second)[:6] != _reading(4, 0x41C80009, T + 5)
