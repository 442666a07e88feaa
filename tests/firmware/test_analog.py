# runs on: cpython, micropython
from firmware.analog import Analog, counted, current, scaled
from protocol import quality
from protocol.reading import bits_float, float_bits
from tests.firmware.wired_board import Channel, Config, Kept, WiredBoard, clock_of

LOOP = (0, 26, 150, 0, 14, 1, "mean", 1000, 0, None, None)


def _counter(take, wrap=0, multiply=1, divide=1, per_ms=1000, poll_ms=10000, most=None):
    return (1, 8, "up", 2, take, multiply, divide, per_ms, wrap, poll_ms, 0, None, most)


def _device(analogs=(), counters=(), time_ms=None, speed=1):
    board = WiredBoard(speed=speed)
    store = Kept()
    clock = clock_of(board, time_ms)
    channels = [Channel("level", calibration=3), Channel("rain", calibration=4)]
    config = Config(analogs=analogs, counters=counters, channels=channels)
    return board, store, clock, Analog(board, clock, store, config)


# ---- 4-20 mA


def test_the_limits_of_ne_43():
    for ma, expected in (
        (0, quality.OVERLOAD),
        (3.59, quality.OVERLOAD),
        (3.6, quality.OUT_OF_RANGE),
        (3.79, quality.OUT_OF_RANGE),
        (3.8, quality.OK),
        (4, quality.OK),
        (12, quality.OK),
        (20, quality.OK),
        (20.5, quality.OK),
        (20.51, quality.OUT_OF_RANGE),
        (21, quality.OUT_OF_RANGE),
        (21.01, quality.OVERLOAD),
        (22, quality.OVERLOAD),
    ):
        for ohms in (100, 150):
            bits, why = current([int(ma * 1000 * ohms + 0.5)], ohms, "mean")
            assert why == expected, (ma, ohms, why)
            assert bits == float_bits(ma), (ma, ohms, bits_float(bits))
    assert current([-40], 100, "mean") == (0, quality.OVERLOAD)  # an ADC's offset is no number with a sign


def test_several_samples():
    assert current([1200000, 1200010, 3000000], 100, "median")[0] == float_bits(12.0001) - 1  # two steps
    assert current([3000000, 1200000, 1200016, 0], 100, "median")[0] == float_bits(12.00008)
    assert current([1000000, 2000000], 100, "mean")[0] == float_bits(15.0)
    assert current([1199999, 1200000, 1200001], 100, "mean")[0] == float_bits(12.0)


def test_the_value_at_both_ends_and_between():
    for low, high in ((0, 14), (-50, 150), (0.1, 0.3), (100, 0)):
        assert scaled(float_bits(4.0), low, high) == float_bits(low)
        assert abs(bits_float(scaled(float_bits(20.0), low, high)) - high) < 1e-6 * (abs(low) + abs(high))
    assert scaled(float_bits(12.0), 0, 14) == float_bits(7.0)
    assert scaled(float_bits(3.2), 0, 14) == float_bits(-0.7) - 1  # by float32 steps: one ulp from the exact


# What one runtime makes of a number, the other does, and a board with 32-bit floats: these bits were worked
# out with exact fractions, each step rounded half to even.
def test_the_same_bits_everywhere():
    for samples, ohms, low, high, ma_bits, value_bits in VECTORS:
        bits, _ = current(samples, ohms, "mean")
        assert (bits, scaled(bits, low, high)) == (ma_bits, value_bits), (samples, bits)


VECTORS = (
    ([1804321], 150, 0, 14, 0x414075FE, 0x40E0CE7C),
    ([601234, 601237, 601229], 149.5, -50, 150, 0x4080B12C, 0xC246EB2B),
    ([3000001] * 10, 150, 0, 500, 0x41A00003, 0x43FA0006),
    ([777777, 777779], 47.0, 0.5, 7.25, 0x41846344, 0x40B96783),
)


def test_a_loop_is_read_when_it_is_due():
    board, store, _, analog = _device([LOOP], time_ms=1760000000250)
    board.pins[26] = 1800000
    steps = [(3000, lambda: board.pins.update({26: 0})), (5000, lambda: board.pins.update({26: None}))]
    board.go(analog.run(), 7500, steps)
    assert [row[1][0] for row in store.rows] == [1760000001000 + 1000 * i for i in range(7)]
    assert [row[1][1] for row in store.rows] == [1] * 7
    assert store.rows[0] == (0, (1760000001000, 1), float_bits(7.0), quality.OK, 3)
    assert store.rows[3][2:4] == (float_bits(-3.5), quality.OVERLOAD)
    assert store.rows[5][2:4] == (None, quality.TIMEOUT)
    assert analog.skipped == 0


def test_samples_lie_apart_and_are_one_record():
    board, store, _, analog = _device([(0, 26, 150, 0, 14, 10, "mean", 1000, 0, 0, 5)])
    board.pins[26] = [1700000, 1900000] * 50
    board.go(analog.run(), 3100)
    assert [row[2:4] for row in store.rows] == [(float_bits(7.0), quality.OUT_OF_RANGE)] * 4
    assert [row[1][0] for row in store.rows] == [18, 1018, 2018, 3018]
    # one reading that fails in the middle is none
    board, store, _, analog = _device([(0, 26, 150, 0, 14, 3, "mean", 1000, 0, None, None)])
    board.pins[26] = [1800000, None, 1800000, 1800000, 1800000, 1800000]
    board.go(analog.run(), 1100)
    assert [row[2:4] for row in store.rows] == [(None, quality.TIMEOUT), (float_bits(7.0), quality.OK)]


# ---- pulses


def test_an_amount_loses_no_pulse():
    board, store, _, analog = _device(counters=[_counter("amount", multiply=1, divide=5)])
    counts = [100, 103, 103, 150, 151]
    board.pins[8] = 100
    steps = [(10000 * i - 5000, _count(board, count)) for i, count in enumerate(counts) if i]
    board.go(analog.run(), 40001, steps)
    assert [row[3] for row in store.rows] == [quality.NO_DATA] + [quality.OK] * 4
    assert [row[2] for row in store.rows] == [None, float_bits(0.6), 0, float_bits(9.4), float_bits(0.2)]
    assert store.rows[1][0] == 1 and store.rows[1][4] == 4


def _count(board, count):
    return lambda: board.pins.update({8: count})


def test_a_rate_is_per_time_that_passed():
    board, store, clock, analog = _device(counters=[_counter("rate", per_ms=3600000)], time_ms=1760000000000)
    steps = [(5000, _count(board, 100)), (15000, lambda: clock.tell(1760000035000, True))]
    board.go(analog.run(), 21000, steps)
    # 0 s: nothing to compare with; 10 s: 100 in 10 s; the step skips to 40 s, which comes after 10 s more
    assert [row[2:4] for row in store.rows] == [
        (None, quality.NO_DATA),
        (float_bits(36000.0), quality.OK),
        (0, quality.OK),
    ]
    assert [row[1][0] - 1760000000000 for row in store.rows] == [0, 10000, 40000]


def test_a_count_that_wraps_and_one_that_falls():
    board, store, _, analog = _device(counters=[_counter("amount", wrap=65536)])
    board.pins[8] = 65530
    board.go(analog.run(), 10001, [(5000, _count(board, 4))])
    assert store.rows[1][2:4] == (float_bits(10.0), quality.OK)
    board, store, _, analog = _device(counters=[_counter("amount")])
    board.pins[8] = 65530
    board.go(analog.run(), 20001, [(5000, _count(board, 4)), (15000, _count(board, 6))])
    assert [row[2:4] for row in store.rows[1:]] == [(None, quality.NO_DATA), (float_bits(2.0), quality.OK)]


def test_a_plausible_rate():
    board, store, _, analog = _device(counters=[_counter("rate", most=5)])
    board.go(analog.run(), 10001, [(5000, _count(board, 100))])
    assert store.rows[1][2:4] == (float_bits(10.0), quality.OUT_OF_RANGE)


def test_rates_in_float32_steps():
    assert counted(7, 1, 3, 0, 0) == 0x40155555
    assert counted(7, 1, 3, 3600000, 10001) == 0x4451FAA0
    assert counted(4294967295, 1, 1, 0, 0) == float_bits(4294967296.0)
    assert counted(16777217, 1, 1, 0, 0) == float_bits(16777216.0)


# ---- the task


def test_skipped_times_are_counted_and_a_fast_station_is_followed():
    board, store, _, analog = _device([LOOP], speed=60)
    board.pins[26] = 1800000
    board.go(analog.run(), 100)
    assert len(store.rows) + analog.skipped == 6 and len(store.rows) >= 5
    board, store, _, analog = _device([LOOP])
    board.pins[26] = 1800000
    board.now_ms = 5500
    calls = []
    board.go(analog.run(lambda: calls.append(board.now_ms)), 6500)
    assert analog.skipped == 5 and len(store.rows) == 2
    assert max([b - a for a, b in zip(calls, calls[1:])]) <= 200  # noqa: B905, RUF007 (MicroPython)


# The control: taken as 0 to 20 mA, the loop would show other numbers and no broken wire.
def test_control_the_offset_of_4_ma_matters():
    bits, _ = current([1800000], 150, "mean")
    assert scaled(bits, 0, 14) == float_bits(7.0) != float_bits(14 * bits_float(bits) / 20)
