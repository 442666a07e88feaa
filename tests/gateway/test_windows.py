"""Windows against a slow reference written from the definitions, and the rules of closing one by one."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.lane import BACK_MS, FUTURE_MS, LIVELY_S, Lane
from gateway.windows import (
    EMPTY_MS,
    LATE,
    LATE_QUIET_S,
    OFF,
    Channel,
    Settings,
    Window,
    Windows,
    body,
    parse_body,
)
from protocol import quality as q
from protocol.messages import Readings
from protocol.reading import bits_float, float_bits

START = 1_774_397_100_000  # 2026-03-25 07:05:00 +07, a window's start
MINUTE = 60_000
LENGTH = 5 * MINUTE
NOW = START + 3_600_000


def windows_of(*channels: Channel, interval_ms: int = 25_000, **changed) -> Windows:
    """Windows with one device st-01; 12 readings a window unless said otherwise."""
    channels = channels or (Channel("COD", "mg/l", "device/st-01", "cod"),)
    windows = Windows(channels, Settings(**changed))
    for name, lane in windows.lanes.items():
        quantities = dict.fromkeys(c.quantity for c in channels if c.source == name)
        lane.describe(1, [(quantity, interval_ms, 0, ()) for quantity in quantities])
    return windows


def frame(*rows, base_ms: int = START, boot: int = 1, clock: int = 1) -> Readings:
    """Rows of (offset_ms, value or None, quality[, channel[, calibration]])."""
    return Readings(
        boot,
        1,
        base_ms,
        clock,
        tuple(
            (
                rest[0] if rest else 0,
                offset,
                None if value is None else float_bits(value),
                quality,
                rest[1] if rest[1:] else 0,
            )
            for offset, value, quality, *rest in rows
        ),
    )


def give(
    windows: Windows,
    *rows,
    lane: str = "device/st-01",
    now_ms: int = NOW,
    mono_s: float = 0.0,
    **frame_fields,
):
    return windows.lanes[lane].add(frame(*rows, **frame_fields), now_ms, mono_s)


def reference(samples, expected, share_min=0.75, carried=None, low=-math.inf, high=math.inf):
    """The window of samples (value, quality), from the definitions: (value, quality, valid, min, max)."""
    judged = []
    for value, quality in samples:
        if quality == q.OK and value is not None and not low <= value <= high:
            quality = q.OUT_OF_RANGE
        judged.append((value, quality))
    valid = [Fraction(value) for value, quality in judged if quality == q.OK]
    other = [Fraction(value) for value, quality in judged if quality != q.OK and value is not None]
    if valid:
        value = float(sum(valid) / len(valid))
    elif other:
        value = float(sum(other) / len(other))
    else:
        value = carried
    if valid and min(Fraction(1), Fraction(len(valid), expected)) >= Fraction(share_min):
        return value, q.OK, len(valid), min(valid), max(valid)
    missing = [quality for _, quality in judged if quality != q.OK]
    missing += [q.COVERAGE if judged else q.NO_DATA] * (expected - len(judged))
    by_status = {s: [m for m in missing if q.status(m) == s] for s in ("01", "02")}
    group = by_status["01"] if len(by_status["01"]) >= len(by_status["02"]) else by_status["02"]
    order = (
        q.CALIBRATING,
        q.MAINTENANCE,
        q.FAULT,
        q.OVERLOAD,
        q.OUT_OF_RANGE,
        q.BAD_REPLY,
        q.TIMEOUT,
        q.OFF,
        q.TIME_UNTRUSTED,
        q.COVERAGE,
        q.NO_DATA,
    )
    reason = max(group, key=lambda m: (group.count(m), -order.index(m))) if group else q.NO_DATA
    return value, reason, len(valid), min(valid, default=None), max(valid, default=None)


def agrees(window: Window, samples, expected, **more) -> bool:
    value, quality, valid, low, high = reference(samples, expected, **more)
    close = window.value == (value if value is None else pytest.approx(value, rel=1e-15, abs=1e-300))
    return (
        close
        and (window.quality, window.status, window.count) == (quality, q.status(quality), valid)
        and ((window.minimum, window.maximum) == (low, high))
    )


def test_every_subset_of_twelve_samples():
    values = [20.0, 21.5, 19.25, 30.0, 0.1, 7.7, -3.0, 1e6, 12.0, 5.5, 5.25, 99.0]
    values = [bits_float(float_bits(value)) for value in values]
    for chosen in range(1 << 12):
        windows = windows_of()
        samples = [(v, q.OK) for i, v in enumerate(values) if chosen >> i & 1]
        rows = [(i * 25_000, v, q.OK) for i, v in enumerate(values) if chosen >> i & 1]
        if rows:
            give(windows, *rows)
        else:
            windows.next_ms = START
        [window] = windows.close(START)
        assert agrees(window, samples, 12), bin(chosen)
        assert (window.status == "00") == (len(samples) >= 9), bin(chosen)
        assert window.valid_share == len(samples) / 12


SAMPLES = st.lists(
    st.tuples(
        st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**70), max_value=2.0**70),
        st.sampled_from(
            [q.OK] * 6 + [q.CALIBRATING, q.MAINTENANCE, q.FAULT, q.TIMEOUT, q.BAD_REPLY, q.OFF, q.OVERLOAD]
        ),
    ),
    max_size=40,
)


@settings(max_examples=2000, deadline=None)
@given(SAMPLES, st.integers(1, 40), st.integers(1, 8), st.randoms(use_true_random=False))
def test_windows_equal_the_slow_reference(samples, expected, at_once, rng: Random):
    samples = [(value if q.has_value(quality) else None, quality) for value, quality in samples]
    length = LENGTH // expected
    channel = Channel("COD", "mg/l", "device/st-01", "cod", low=-1e15, high=1e15)
    windows = windows_of(channel, interval_ms=length)
    expected = LENGTH // length
    windows.next_ms = START
    rows = [(rng.randrange(LENGTH), value, quality) for value, quality in samples]
    for start in range(0, len(rows), at_once):
        give(windows, *rows[start : start + at_once])
        if rng.random() < 0.2:
            windows.states[0].settle()
    [window] = windows.close(START)
    assert agrees(window, samples, expected, low=-1e15, high=1e15)


@settings(max_examples=300, deadline=None)
@given(SAMPLES, st.randoms(use_true_random=False))
def test_order_and_interruptions_do_not_show(samples, rng: Random):
    samples = [(value if q.has_value(quality) else None, quality) for value, quality in samples]

    def outcome(rows):
        windows = windows_of()
        windows.next_ms = START
        for row in rows:
            give(windows, row)
            if rng.random() < 0.3:
                windows.states[0].settle()
        return windows.close(START)[0]._replace(last=None)

    rows = [(1000 + i, value, quality) for i, (value, quality) in enumerate(samples)]
    assert outcome(rows) == outcome(rng.sample(rows, len(rows)))


def test_edges_belong_to_the_window_that_starts_there():
    windows = windows_of()
    give(windows, (-1, 1.0, q.OK), (0, 2.0, q.OK), (LENGTH - 1, 3.0, q.OK), (LENGTH, 4.0, q.OK))
    rows = [windows.close(windows.next_ms)[0] for _ in range(3)]
    assert [row.start_ms for row in rows] == [START - LENGTH, START, START + LENGTH]
    assert [(row.count, row.value) for row in rows] == [(1, 1.0), (2, 2.5), (1, 4.0)]
    assert all(row.end_ms == row.start_ms + LENGTH for row in rows)


def test_the_grid_is_that_of_the_given_offset():
    windows = windows_of(length_ms=86_400_000)
    day = 1_774_371_600_000  # 2026-03-25 00:00 +07
    assert windows.start_of(day) == day and windows.start_of(day - 1) == day - 86_400_000
    assert windows_of().start_of(START) == START and windows_of().start_of(START - 1) == START - LENGTH


def test_a_number_always_comes_out():
    windows = windows_of()
    windows.next_ms = START
    assert windows.close(START)[0].value is None  # never had one: a number would be invented
    give(windows, (LENGTH, 5.0, q.OK), (LENGTH + 1, 7.0, q.OK))
    assert windows.close(START + LENGTH)[0].value == 6.0  # too few, but valid ones
    give(windows, (2 * LENGTH, 9.0, q.FAULT), (2 * LENGTH + 1, 11.0, q.CALIBRATING))
    faulty = windows.close(START + 2 * LENGTH)[0]
    assert (faulty.value, faulty.last, faulty.count, faulty.minimum) == (10.0, 7.0, 0, None)
    give(windows, (3 * LENGTH, None, q.TIMEOUT))
    assert windows.close(START + 3 * LENGTH)[0].value == 7.0  # the last valid one
    assert windows.close(START + 4 * LENGTH)[0].last == 7.0


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([q.CALIBRATING] * 4 + [q.TIMEOUT] * 4 + [q.OK] * 4, q.CALIBRATING),  # equal: 01 before 02
        ([q.CALIBRATING] * 3 + [q.TIMEOUT] * 5 + [q.OK] * 4, q.TIMEOUT),
        ([q.TIMEOUT] * 2 + [q.BAD_REPLY] * 2 + [q.CALIBRATING] * 3 + [q.OK] * 5, q.BAD_REPLY),
        ([q.MAINTENANCE] * 6 + [q.CALIBRATING] * 2 + [q.OK] * 4, q.MAINTENANCE),
        ([q.OK] * 5, q.COVERAGE),
        ([], q.NO_DATA),
        ([q.CALIBRATING] * 3 + [q.OK] * 9, q.OK),  # 75 %: valid, whatever the rest was
    ],
)
def test_the_reason_that_explains_most(samples, reason):
    windows = windows_of()
    windows.next_ms = START
    if samples:
        give(
            windows,
            *[(i, 1.0 if q.has_value(quality) else None, quality) for i, quality in enumerate(samples)],
        )
    [window] = windows.close(START)
    assert (window.quality, window.status) == (reason, q.status(reason))


def test_values_that_are_no_numbers_are_never_averaged():
    windows = windows_of()
    rows = tuple(
        (0, i, bits, q.OK, 0) for i, bits in enumerate((0x7FC00001, 0x7F800000, 0xFF800000, float_bits(4.0)))
    )
    windows.lanes["device/st-01"].add(Readings(1, 1, START, 1, rows), NOW, 0.0)
    [window] = windows.close(START)
    assert (window.value, window.count, window.quality) == (4.0, 1, q.COVERAGE)


def test_engineering_values_and_the_plausible_range():
    channel = Channel("COD", "mg/l", "device/st-01", "cod", low=0.0, high=50.0)
    windows = windows_of(channel)
    lane = windows.lanes["device/st-01"]
    lane.describe(1, [("cod", 25_000, 7, ((0.0, 0.0), (10.0, 20.0)))])
    give(windows, (0, 10.0, q.OK, 0, 7), (1, 10.0, q.OK, 0, 0), (2, 30.0, q.OK, 0, 7), (3, 1.0, q.OK, 0, 9))
    [window] = windows.close(START)
    # 20 under calibration 7, 10 under none; 60 is implausible; calibration 9 was never announced
    assert (window.value, window.count) == (15.0, 2)
    give(windows, (LENGTH, 60.0, q.OK, 0, 0))
    assert windows.close(START + LENGTH)[0].quality == q.COVERAGE
    assert windows.states[0].read == windows.states[0].windowed == 5


def lived(seed: int) -> list:
    """What calibrated readings come to, in frames as devices send them: greetings and other boots in between,
    windows that close, somebody who looks at the newest. Of an odd seed almost all are good.
    """
    chance, odd = Random(seed), seed % 2
    low, high = chance.choice([(0.0, 50.0), (-math.inf, math.inf), (-1e300, 1e300)])
    channels = [Channel(n, "", "device/st-01", n, low=low, high=high) for n in ("cod", "ph", "do")]
    windows = windows_of(*channels, interval_ms=1000)
    lane = windows.lanes["device/st-01"]
    curves = [(), ((0.0, 1.5),), ((0.0, 0.1), (10.0, 20.3)), ((0.0, 0.0), (5.0, 7.0), (9.0, 1e38))]
    seen: list = []
    for greeting in range(3):
        numbers = [chance.choice([0, 5 + greeting]) for _ in channels]
        for boot in (1, 2):
            said = [
                (c.quantity, 1000, n, chance.choice(curves)) for c, n in zip(channels, numbers, strict=True)
            ]
            lane.describe(boot, said[::-1] if boot == 2 else said)
        for n in range(20):
            rows = []
            for i in range(6):
                value = chance.choice([chance.uniform(-2, 60), 3e38, math.inf, math.nan, 9.0, 10.0])
                usual = chance.random() < 0.8
                if odd and chance.random() < 0.99:
                    value, usual = chance.uniform(0, 15), True
                number = numbers[i % 3] if usual else chance.choice([0, 5, 9])
                rows.append((i * 100, value, q.OK, 3 if chance.random() < 0.01 else i % 3, number))
            if chance.random() < 0.05:
                rows.append((600, None, q.TIMEOUT, 0, 0))
            base_ms = START + (greeting * 20 + n) * 6000 + (LENGTH if greeting == 2 else 0)
            if chance.random() < 0.02:
                rows.append((4 * 86_400_000, 1.0, q.OK, 0, 0))  # no credible time
            give(windows, *rows, base_ms=base_ms, boot=chance.choice([1, 1, 1, 1, 2]))
            if chance.random() < 0.1:
                newest = [lane.newest(state, NOW) for state in windows.states]
                seen.append([told and (told.value, told.quality) for told in newest])
            if chance.random() < 0.1:
                seen.append((lane.read_now(), lane.unrouted, [state.open() for state in windows.states]))
    seen += [windows.close(START + number * LENGTH) for number in range(3)]
    return [*seen, lane.read_now(), [state.windowed for state in windows.states]]


def test_readings_come_out_the_same_the_quick_way(monkeypatch):
    together, taken = Lane._taken_together, []
    monkeypatch.setattr(Lane, "_taken_together", lambda *of: taken.append(together(*of)) or taken[-1])
    quick = [lived(seed) for seed in range(30)]
    assert taken.count(True) > 100 < taken.count(False)
    monkeypatch.setattr(Lane, "_aim", lambda self, time_ms: self._aim_nowhere())
    assert repr([lived(seed) for seed in range(30)]) == repr(quick)


@pytest.mark.parametrize("forgets", ["_enter", "describe", "newest", "read_now", "_add_doubtful", "closing"])
def test_control_a_quick_way_that_is_not_taken_in_time_is_caught(monkeypatch, forgets):
    """... by one who comes for what was kept."""
    right = [repr(lived(seed)) for seed in range(30)]
    method, flush = getattr(Lane, forgets), Lane._flush

    def forgetful(self, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(Lane, "_flush", lambda self: None)
            return method(self, *arguments)

    monkeypatch.setattr(Lane, forgets, forgetful)
    assert Lane._flush is flush
    assert [repr(lived(seed)) for seed in range(30)] != right


def test_control_a_quick_way_without_limits_is_caught(monkeypatch):
    right, aim = [repr(lived(seed)) for seed in range(10)], Lane._aim

    def without(self, time_ms: int) -> None:
        aim(self, time_ms)
        self._fast = {n: (fresh, -1e300, 1e300, points) for n, (fresh, _, _, points) in self._fast.items()}

    monkeypatch.setattr(Lane, "_aim", without)
    assert [repr(lived(seed)) for seed in range(10)] != right


def test_points_that_are_no_curve_are_as_if_nobody_had_told_them():
    windows = windows_of()
    [state], lane = windows.states, windows.lanes["device/st-01"]
    lane.describe(1, [("cod", 25_000, 7, ((0.0, 0.0), (10.0, 20.0)))])
    give(windows, (0, 5.0, q.OK, 0, 7))
    assert lane.newest(state, NOW)[1:] == (10.0, q.OK)
    told = lane.told
    lane.describe(1, [("cod", 25_000, 7, ((0.0, 0.0), (0.0, 20.0)))])  # a step
    give(windows, (25_000, 5.0, q.OK, 0, 7))
    assert lane.newest(state, NOW)[1:] == (5.0, q.FAULT) and lane.told == told + 1
    assert windows.close(START)[0].value == 10.0


def test_a_corrected_curve_counts_from_then_on():
    windows = windows_of()
    [state], lane = windows.states, windows.lanes["device/st-01"]
    lane.describe(1, [("cod", 25_000, 7, ((0.0, 0.0), (10.0, 20.0)))])
    give(windows, (0, 5.0, q.OK, 0, 7))
    told = lane.told
    lane.corrected("cod", 7, ((0.0, 0.0), (10.0, 30.0)))
    give(windows, (25_000, 5.0, q.OK, 0, 7))
    assert lane.newest(state, NOW)[1:] == (15.0, q.OK) and lane.told == told + 1
    assert windows.close(START)[0].value == 12.5  # 10 by the old curve, 15 by the new one


def test_much_of_one_window_is_added_up_on_the_way(monkeypatch):
    """A lane keeps SETTLE_READINGS at most, a cell FRESH_MAX; what comes out is the same."""

    def story() -> tuple[int, int, list[Window]]:
        windows = windows_of(interval_ms=100)
        [state], lane = windows.states, windows.lanes["device/st-01"]
        kept = fresh = 0
        for n in range(300):
            give(windows, (n * 100, 0.1 * n, q.OK))
            kept = max(kept, sum(len(rows) for _, rows, *_ in lane._kept))
            fresh = max(fresh, len(state.cells[START].fresh))
        assert lane.read_now() == [300]
        return kept, fresh, windows.close(START)

    usual = story()
    monkeypatch.setattr("gateway.lane.SETTLE_READINGS", 20)
    monkeypatch.setattr("gateway.accumulate.FRESH_MAX", 40)
    assert usual[0] == 300
    kept, fresh, rows = story()
    assert kept <= 20 and fresh <= 40 + 21 and rows == usual[2]


def test_channel_numbers_mean_what_the_boot_said():
    windows = windows_of(Channel("COD", "", "device/st-01", "cod"), Channel("pH", "", "device/st-01", "ph"))
    lane = windows.lanes["device/st-01"]
    lane.describe(2, [("ph", 25_000, 0, ()), ("cod", 25_000, 0, ()), ("door", 1000, 0, ())])
    give(windows, (0, 50.0, q.OK, 0), (0, 7.0, q.OK, 1), boot=1)
    give(windows, (1, 7.5, q.OK, 0), (1, 51.0, q.OK, 1), (1, 1.0, q.OK, 2), (1, 1.0, q.OK, 99), boot=2)
    cod, ph = windows.close(START)
    assert (cod.value, ph.value, lane.unrouted) == (50.5, 7.25, 2)


def test_one_quantity_may_feed_two_channels():
    windows = windows_of(
        Channel("COD", "", "device/st-01", "cod"), Channel("COD2", "", "device/st-01", "cod", high=30.0)
    )
    give(windows, (0, 20.0, q.OK), (1, 40.0, q.OK))
    first, second = windows.close(START)
    assert (first.value, first.count, second.value, second.count) == (30.0, 2, 20.0, 1)


# Time -------------------------------------------------------------------------------------------------------


def test_ticks_are_placed_by_the_boot_they_belong_to():
    windows = windows_of()
    lane = windows.lanes["device/st-01"]
    assert give(windows, (0, 1.0, q.OK), base_ms=5000, clock=0) == (None, None)
    lane.place(1, START - 5000)
    assert not lane.place(1, START)  # a later greeting was on the way for longer
    assert give(windows, (0, 2.0, q.OK), base_ms=5000, clock=0) == (START, START)
    give(windows, (0, 3.0, q.OK), base_ms=5000, clock=0, boot=2)
    assert windows.close(START)[0].count == 1
    assert (windows.states[0].read, windows.states[0].unplaced, windows.states[0].windowed) == (3, 2, 1)


@pytest.mark.parametrize(
    "wrong", [NOW + FUTURE_MS + 1, NOW + 3_650 * 86_400_000, NOW - BACK_MS - 1, 0, 946_684_800_000]
)
def test_incredible_times_belong_to_no_window(wrong):
    windows = windows_of()
    give(windows, (0, 1.0, q.OK))
    assert give(windows, (0, 9.0, q.OK), base_ms=wrong) == (None, None)
    first = give(windows, (0, 9.0, q.OK), (START + 10 - wrong, 3.0, q.OK), base_ms=wrong)
    assert first == (START + 10, START + 10)
    assert windows.lanes["device/st-01"].progress == START + 10
    [window] = windows.close(windows.next_ms)
    assert (window.start_ms, window.value, windows.states[0].unplaced) == (START, 2.0, 2)


# Closing ----------------------------------------------------------------------------------------------------


def two_sources(**changed) -> Windows:
    return windows_of(
        Channel("COD", "", "device/st-01", "cod"), Channel("Flow", "", "bus/tank", "Flow", 25_000), **changed
    )


def test_a_window_closes_when_every_source_is_past_it():
    windows = two_sources()
    give(windows, (0, 1.0, q.OK), lane="bus/tank")
    give(windows, (LENGTH - 1, 1.0, q.OK))
    give(windows, (LENGTH, None, q.TIMEOUT), lane="bus/tank")
    assert windows.due(START + LENGTH, 1000.0) is None
    give(windows, (LENGTH, 1.0, q.OK))
    assert windows.due(START + LENGTH, 0.0) == START  # whatever the gateway's own clock and start
    assert [w.symbol for w in windows.close(START)] == ["COD", "Flow"]
    assert windows.due(START + LENGTH, 0.0) is None


def test_a_dead_source_never_blocks():
    windows = two_sources(grace_ms=120_000, start_grace_s=30.0)
    give(windows, (LENGTH, 1.0, q.OK), mono_s=500.0, base_ms=START)
    windows.next_ms = START
    end = START + LENGTH
    assert windows.due(end + 119_999, 500.0) is None
    assert windows.due(end + 120_000, 500.0) == START


def test_not_by_the_grace_right_after_the_start():
    windows = Windows(
        [Channel("COD", "", "device/st-01", "cod")], Settings(start_grace_s=30.0), mono_s=1000.0
    )
    windows.resume(START, {})
    assert windows.due(START + 10 * LENGTH, 1029.9) is None
    assert windows.due(START + 10 * LENGTH, 1030.0) == START


def test_a_backlog_that_is_coming_is_waited_for_within_the_bound():
    windows = two_sources(start_grace_s=0.0, hold_max_s=60.0)
    windows.next_ms = START
    give(windows, (20 * LENGTH, 1.0, q.OK), lane="bus/tank", now_ms=START + 21 * LENGTH, mono_s=100.0)
    now = START + 20 * LENGTH
    give(windows, (1000, 1.0, q.OK), mono_s=100.0)
    assert windows.due(now, 101.0) is None  # st-01 is delivering old readings just now
    give(windows, (LENGTH, 1.0, q.OK), mono_s=102.0)
    assert windows.due(now, 102.0) == START
    windows.close(START)
    assert windows.due(now, 102.0 + LIVELY_S + 0.1) == START + LENGTH  # it fell silent: no reason to wait
    give(windows, (LENGTH + 1, 1.0, q.OK), mono_s=150.0)
    assert windows.due(now, 151.0) is None
    for second in range(151, 220):
        give(windows, (LENGTH + second, 1.0, q.OK), mono_s=float(second))
        due = windows.due(now, float(second))
    assert due == START + LENGTH  # it has been at it for longer than a minute


def test_a_new_journal_begins_with_the_window_of_the_first_reading():
    windows = windows_of()
    assert windows.due(NOW, 1e6) is None
    give(windows, (10 * LENGTH, 1.0, q.OK))
    give(windows, (2 * LENGTH, 1.0, q.OK))  # another device's older one, while nothing was closed
    assert windows.next_ms == START + 2 * LENGTH
    windows.close(START + 2 * LENGTH)
    give(windows, (0, 1.0, q.OK), mono_s=5.0)
    assert windows.next_ms == START + 3 * LENGTH and windows.late_waiting == 1


def test_too_many_open_windows_force_the_oldest(monkeypatch):
    monkeypatch.setattr("gateway.windows.OPEN_CELLS_MAX", 5)
    windows = two_sources()
    for i in range(7):
        give(windows, (i * LENGTH, 1.0, q.OK), now_ms=NOW + LENGTH * 20)
    assert windows.due(START, 0.0) == START and windows.forced == 1


def test_gaps_too_long_to_fill_are_skipped_up_to_what_there_is():
    windows = windows_of()
    windows.resume(START, {})
    assert windows.skip(START + EMPTY_MS + LENGTH - 1) is None
    assert windows.skip(START + EMPTY_MS + LENGTH) == (START, START + LENGTH)
    give(windows, (5 * LENGTH, 1.0, q.OK))
    assert windows.skip(START + 2 * EMPTY_MS) == (START + LENGTH, START + 5 * LENGTH)
    assert windows.skip(START + 3 * EMPTY_MS) is None  # that one has a reading


# Late readings ----------------------------------------------------------------------------------------------


def test_late_readings_make_a_revision_with_its_reason():
    windows = windows_of()
    rows = [(i * 25_000, float(i), q.OK) for i in range(12)]
    give(windows, *rows[:6])
    first = windows.close(START)
    give(windows, *rows[6:], mono_s=10.0)
    assert windows.states[0].late == 6 and windows.due(NOW, 1e6) is not None
    assert windows.late_due(10.0 + LATE_QUIET_S / 2) == []
    [late] = windows.late_due(10.0 + LATE_QUIET_S)
    scratch = windows.scratch(late.start_ms)
    for part in (rows[:6], rows[6:]):
        scratch.lanes["device/st-01"].add(frame(*part), NOW, 0.0)
    [revised] = windows.revised(scratch.close(START), first)
    assert (revised.revision, revised.reason, revised.value, revised.count, revised.status) == (
        2,
        LATE,
        5.5,
        12,
        "00",
    )
    late.settled()
    assert (windows.states[0].read, windows.states[0].windowed, windows.states[0].late) == (12, 12, 0)
    assert windows.revised(scratch.close(START), [*first, revised._replace(value=1.0)])[0].revision == 3


def test_late_readings_that_could_not_be_computed_are_not_forgotten():
    """The disk did not let its readings be read: they wait, together with those that came meanwhile."""
    windows = windows_of()
    windows.close(START)
    give(windows, (0, 1.0, q.OK), (1, 2.0, q.OK), mono_s=10.0)
    [late] = windows.late_due(10.0 + LATE_QUIET_S)
    assert windows.late_waiting == 0
    windows.again(late)
    assert windows.late_waiting == 1
    [late] = windows.late_due(11.0 + LATE_QUIET_S)
    give(windows, (2, 3.0, q.OK), mono_s=1000.0)
    windows.again(late)
    [both] = windows.late_due(1000.0 + LATE_QUIET_S)
    assert both.start_ms == START and windows.late_waiting == 0 and windows.states[0].late == 3
    both.settled()
    assert (windows.states[0].late, windows.states[0].windowed) == (0, 3)


def test_what_was_counted_as_unplaced_can_be_taken_back_under_another_boot():
    windows = windows_of()
    [state], lane = windows.states, windows.lanes["device/st-01"]
    untold = frame((0, 1.0, q.OK), (1, 2.0, q.OK), base_ms=500, boot=2, clock=0)
    lane.add(untold, NOW, 0.0)
    give(windows, (0, 1.0, q.OK))
    assert (state.unplaced, lane.read_now()) == (2, [3])
    lane.not_counted(untold)
    assert (state.unplaced, lane.read_now()) == (0, [1])
    assert lane.place(2, START - 500)
    assert lane.add(untold, NOW, 0.0) == (START, START + 1)
    assert (state.unplaced, lane.read_now(), windows.close(START)[0].count) == (0, [3], 3)


def test_only_what_changed_is_revised():
    windows = windows_of(Channel("COD", "", "device/st-01", "cod"), Channel("pH", "", "device/st-01", "ph"))
    give(windows, (0, 1.0, q.OK, 0), (0, 7.0, q.OK, 1))
    first = windows.close(START)
    scratch = windows.scratch(START)
    scratch.lanes["device/st-01"].add(
        frame((0, 1.0, q.OK, 0), (0, 7.0, q.OK, 1), (5, 8.0, q.OK, 1)), NOW, 0.0
    )
    assert [w.symbol for w in windows.revised(scratch.close(START), first)] == ["pH"]


def test_a_scratch_takes_its_window_only():
    windows = windows_of()
    scratch = windows.scratch(START)
    scratch.lanes["device/st-01"].add(frame(*[(o, 1.0, q.OK) for o in (-1, 0, LENGTH - 1, LENGTH)]), NOW, 0.0)
    assert scratch.close(START)[0].count == 2


def test_bodies_are_read_back():
    windows = windows_of()
    give(windows, (0, 0.1, q.OK), (1, 1e-30, q.OK), (2, None, q.TIMEOUT))
    for window in windows.close(START) + windows.close(START + LENGTH):
        assert parse_body(body(window, 17)) == (window, 17)


def test_counts_balance_whatever_comes():
    rng = Random(20260325)
    windows = two_sources(start_grace_s=0.0)
    given_rows = 0
    for i in range(2000):
        lane = rng.choice(["device/st-01", "bus/tank"])
        wild = rng.choice([0, 0, 0, 0, -20 * LENGTH, 40 * 86_400_000, -70 * 86_400_000])
        rows = [
            (
                rng.randrange(2 * LENGTH) + wild,
                rng.random() if quality not in (q.TIMEOUT, q.OFF) else None,
                quality,
            )
            for quality in rng.choices([q.OK, q.FAULT, q.TIMEOUT, q.OFF], k=rng.randint(1, 9))
        ]
        boot, clock = rng.choice([(1, 1), (1, 1), (1, 1), (2, 0)])
        give(
            windows,
            *rows,
            lane=lane,
            base_ms=START + i * 9000,
            now_ms=START + i * 9000,
            mono_s=i / 10,
            boot=boot,
            clock=clock,
        )
        given_rows += len(rows)
        while (start := windows.due(START + i * 9000, i / 10)) is not None:
            windows.close(start)
        if i % 3 == 0:
            for late in windows.late_due(i / 10):
                late.settled()
        counts = [sum(lane.read_now()) for lane in windows.lanes.values()]
        assert sum(counts) == given_rows
        assert given_rows == sum(s.windowed + s.open() + s.late + s.unplaced for s in windows.states)
    assert windows.closed > 50 and all(s.unplaced and s.windowed for s in windows.states)


def test_windows_have_no_overlaps_and_no_holes():
    rng = Random(7)
    windows = windows_of()
    closed = []
    for i in range(3000):
        give(
            windows,
            (rng.randrange(60_000), 1.0, q.OK),
            base_ms=START + i * 30_000,
            now_ms=START + i * 30_000,
            mono_s=float(i),
        )
        while (start := windows.due(START + i * 30_000, float(i))) is not None:
            closed += windows.close(start)
    assert len(closed) > 250
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(closed))


# A gateway that was off -------------------------------------------------------------------------------


def started_later(**settings) -> Windows:
    channels = [Channel("A", "", "device/a", "a", 1000), Channel("B", "", "bus/b", "B", 1000)]
    patience = Settings(grace_ms=0, start_grace_s=30.0, **settings)
    return Windows(channels, patience, 1000.0, START + 10 * LENGTH)


def test_windows_from_before_the_start_wait_for_a_device_that_is_not_back_yet():
    windows = started_later()
    windows.next_ms = START
    windows.lanes["bus/b"].progress = START + 11 * LENGTH
    windows.lanes["bus/b"].heard_s = 1001.0
    assert windows.due(START + 11 * LENGTH, 1000.0 + 500) is None  # device/a may hold readings
    assert windows.due(START + 11 * LENGTH, 1000.0 + 601) == START  # it may also be dead
    windows.next_ms = START + 10 * LENGTH
    assert windows.due(START + 12 * LENGTH, 1000.0 + 31) == START + 10 * LENGTH  # ran then


def test_windows_without_any_reading_from_before_the_start_say_so():
    windows = started_later()
    windows.next_ms = START
    assert {row.reason for row in windows.close(START)} == {OFF}
    windows.next_ms = START + 10 * LENGTH
    assert {row.reason for row in windows.close(START + 10 * LENGTH)} == {""}


def test_the_patience_for_a_backlog_begins_anew():
    windows = started_later(hold_max_s=100.0)
    lane = windows.lanes["device/a"]
    lane.heard_s = 2000.0
    assert lane.worth_waiting(START, 2000.0, 100.0)
    lane.heard_s = 2101.0
    assert not lane.worth_waiting(START, 2101.0, 100.0)  # it delivers, and comes no nearer
    lane.progress += 3_600_000
    assert lane.worth_waiting(START, 2101.0, 100.0)  # an hour of backlog in 101 seconds
    lane.keeps_up()
    lane.heard_s = 9000.0
    assert lane.worth_waiting(START, 9000.0, 100.0)  # the next backlog has its own patience


def test_a_window_that_was_never_closed_in_order_is_no_first_revision():
    """File destinations get revision 1: a stamp before the newest one would be out of order there."""
    windows = started_later()
    fresh = started_later().close(START)
    assert {row.revision for row in windows.revised(fresh, [])} == {2}


def test_readings_of_windows_that_stay_open_are_not_kept():
    """A backlog of one source while another is waited for: only the newest window's are in memory."""
    windows = windows_of(
        Channel("COD", "mg/l", "device/st-01", "cod"),
        Channel("pH", "", "device/st-02", "ph"),
        interval_ms=1000,
    )
    for start in range(0, 20 * LENGTH, LENGTH):
        give(windows, *[(start + n * 1000, 7.0, q.OK) for n in range(200)], now_ms=NOW + 40 * LENGTH)
    [state, _] = windows.states
    assert len(state.cells) == 20 and sum(cell.count() for cell in state.cells.values()) < 20 * 200 + 1
    windows.lanes["device/st-01"].newest(state, NOW)
    kept = [len(cell.fresh) for _, cell in sorted(state.cells.items())]
    assert kept[:-1] == [0] * 19 and kept[-1] == 200
