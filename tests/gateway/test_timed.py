"""Channels whose readings depend on their order: meters, states, directions, slow and stuck instruments."""

from __future__ import annotations

import math
from random import Random

import pytest

from gateway import flags, timed
from gateway.accumulate import Cell, State
from gateway.checks import Checks
from gateway.timed import Timed
from gateway.windows import THINNED, Channel, Settings, Window, Windows, body, parse_body
from protocol import quality as q
from protocol.messages import Summary
from protocol.reading import bits_float, float_bits
from tests.gateway.test_windows import LENGTH, START, frame

NOW = START + 86_400_000
SOURCE = "device/st-01"


def windows_of(interval_ms: int = 60_000, **channel) -> Windows:
    windows = Windows([Channel("X", "m3", SOURCE, "x", holds=True, **channel)], Settings())
    windows.lanes[SOURCE].describe(1, [("x", interval_ms, 0, ())])
    windows.next_ms = START
    windows._virgin = False
    return windows


def give(windows: Windows, *readings: tuple[int, float], quality: int = q.OK) -> None:
    """Readings of (minute since START, value), in one frame each."""
    for minute, value in readings:
        windows.lanes[SOURCE].add(frame((int(minute * 60_000), value, quality)), NOW, 0.0)


def closed(windows: Windows, count: int = 1) -> list[Window]:
    return [windows.close(windows.next_ms)[0] for _ in range(count)]


# Meters


def test_a_meter_gives_its_increase_since_the_window_before():
    windows = windows_of(average="total")
    give(windows, (0, 100.0), (1, 101.0), (2, 103.0), (3, 104.0), (4, 104.0), (5, 110.0), (6, 111.0))
    one, two = closed(windows, 2)
    assert (one.value, one.status, one.meter) == (4.0, "00", 104.0)
    assert (two.value, two.meter) == (7.0, 111.0)  # 104 -> 111: what was counted between the windows is in it
    assert one.minimum is one.maximum is one.deviation is None


def test_a_meter_counts_on_through_an_outage():
    windows = windows_of(average="total")
    give(windows, (0, 10.0), (4, 14.0), (15, 40.0))
    rows = closed(windows, 4)
    assert [row.value for row in rows] == [4.0, 0.0, 0.0, 26.0]
    assert [row.quality for row in rows] == [q.COVERAGE, q.NO_DATA, q.NO_DATA, q.COVERAGE]


def test_a_meter_rolls_over_where_that_is_known_and_near():
    windows = windows_of(average="total", rollover=1000.0)
    give(windows, (0, 990.0), (1, 998.0), (2, 3.0))
    [row] = closed(windows)
    assert (row.value, row.flags) == (13.0, "")  # 8 and 2 + 3
    give(windows, (5, 4.0), (6, 1.0))
    [row] = closed(windows)
    assert (row.value, row.flags) == (1.0, "METER_BACK 1")  # 4 is not near its end


def test_a_meter_that_was_changed_counts_from_there_and_says_so():
    windows = windows_of(average="total")
    give(windows, (0, 5000.0), (1, 5001.0), (2, 12.0), (3, 13.5))
    [row] = closed(windows)
    assert (row.value, row.flags, row.meter) == (2.5, "METER_BACK 1", 13.5)
    assert flags.counts(row.flags) == {"METER_BACK": 1}


def test_a_meter_by_means_of_thinned_readings():
    windows = windows_of(average="total")
    give(windows, (0, 1.0))
    mean = Summary(1, 2, START + 240_000, 1, 120_000, ((0, *map(float_bits, (3.0, 2.0, 4.0)), 5, q.OK, 0),))
    windows.lanes[SOURCE].add_summary(mean, NOW, 0.0)
    [row] = closed(windows)
    assert (row.value, row.count, row.meter) == (3.0, 6, 4.0)


def test_meters_against_a_slow_reference():
    """In whatever order readings come: the increase of all windows is what the meter counted."""
    for seed in range(300):
        rng = Random(seed)
        windows = windows_of(average="total", rollover=1000.0)
        meter, readings, total = rng.uniform(0, 900), [], 0.0
        shown = None
        for minute in range(60):
            step = rng.choice([0, rng.uniform(0, 40)])
            meter = (meter + step) % 1000.0
            if rng.random() < 0.8:
                value = bits_float(float_bits(meter))
                if shown is not None:
                    total += value - shown if value >= shown else 1000 - shown + value
                shown = value
                readings.append((minute, value))
        at = 0
        while at < len(readings):  # a backlog of some, in any order, but within a window
            part = readings[at : at + rng.randrange(1, 4)]
            at += len(part)
            give(windows, *rng.sample(part, len(part)))
        rows = closed(windows, 12)
        near = [row for row in rows if row.flags]
        if not near:  # steps are below the tenth that makes a rollover of a fall
            assert sum(row.value or 0.0 for row in rows) == pytest.approx(total, rel=1e-9)
    assert seed == 299


# Directions and states


def test_a_direction_is_that_of_the_mean_vector():
    windows = windows_of(average="vector")
    give(windows, *[(minute, value) for minute, value in enumerate((350.0, 355.0, 0.0, 5.0, 10.0))])
    [row] = closed(windows)
    assert min(row.value, 360 - row.value) < 1e-6 and row.status == "00"
    assert row.deviation == pytest.approx(50**0.5, abs=0.01)  # the ordinary one, of so few degrees


def test_a_direction_by_means_of_thinned_readings():
    """Five readings about west count as five; what went round more than half of the circle has no mean."""
    windows = windows_of(average="vector")
    give(windows, (0, 180.0))
    for number, (mean, low, high) in enumerate(((270.0, 260.0, 280.0), (180.0, 0.0, 359.0))):
        row = (0, *map(float_bits, (mean, low, high)), 5, q.OK, 0)
        at_ms = START + 240_000 - number * 60_000
        windows.lanes[SOURCE].add_summary(Summary(1, 2, at_ms, 1, 60_000, (row,)), NOW, 0.0)
    assert windows.states[0].open() == 11
    [row] = closed(windows)
    assert row.value == pytest.approx(180.0 + math.degrees(math.atan2(5, 1)))
    assert (row.count, row.reason) == (6, THINNED)


def test_a_state_is_the_newest_by_its_own_time():
    windows = windows_of(average="last")
    give(windows, (3, 1.0), (1, 0.0), (2, 0.0))
    [row] = closed(windows)
    assert (row.value, row.minimum, row.maximum) == (1.0, 0.0, 1.0)


# Slow instruments


def test_a_slow_analyser_is_not_missing_between_its_results():
    """A new COD every 30 minutes: it holds for 45, and then it is missing."""
    windows = windows_of(interval_ms=1_800_000)
    give(windows, (2, 16.5))
    rows = closed(windows, 11)
    assert [row.status for row in rows] == ["00"] * 9 + ["02"] * 2  # 2 + 45 = 47 minutes: nine whole windows
    assert {row.value for row in rows} == {16.5}
    assert [row.count for row in rows] == [1] + [0] * 10
    assert rows[-1].quality == q.NO_DATA


def test_a_slow_analyser_that_is_read_each_second_is_not_stuck():
    rules = tuple(Checks(stuck_ms=2 * 3_600_000))
    windows = windows_of(interval_ms=60_000, update_ms=1_800_000, checks=rules)
    give(windows, *[(minute, 16.5 + minute // 30) for minute in range(180)])
    assert {row.status for row in closed(windows, 36)} == {"00"}


def test_control_an_old_channel_has_no_value_that_holds():
    windows = windows_of(interval_ms=1_800_000)
    windows.states[0].channel = windows.states[0].channel._replace(holds=False)
    give(windows, (2, 16.5))
    assert [row.status for row in closed(windows, 3)] == ["00", "02", "02"]


# Stuck


def stuck_after(minutes: int, values, resolution: float = 0.0) -> list[Window]:
    windows = windows_of(checks=tuple(Checks(stuck_ms=minutes * 60_000, resolution=resolution)))
    give(windows, *enumerate(values))
    return closed(windows, len(values) // 5)


def test_the_same_for_longer_than_allowed_is_stuck():
    values = [1.0, 2.0, 3.0, 4.0, 5.0] + [7.25] * 25 + [8.0] + [7.0] * 4
    rows = stuck_after(15, values)
    assert [row.quality for row in rows] == [q.OK] * 3 + [flags.STUCK] * 3 + [q.OK]
    assert [row.value for row in rows[1:6]] == [7.25] * 5
    assert rows[3].flags == "STUCK 5" and rows[3].last == 7.25
    assert rows[2].steady_ms == rows[5].steady_ms == START + LENGTH


def test_what_the_instrument_cannot_tell_apart_is_the_same():
    values = [7.25, 7.26] * 15
    assert [row.quality for row in stuck_after(15, values)] == [q.OK] * 6
    stuck = [row.quality for row in stuck_after(15, values, resolution=0.02)]
    assert stuck == [q.OK] * 2 + [flags.STUCK] * 4


def test_control_a_window_alone_cannot_be_stuck(monkeypatch):
    monkeypatch.setattr(timed.Timed, "_steady", lambda self, checks, before: None)
    assert {row.quality for row in stuck_after(15, [7.25] * 30)} == {q.OK}


# What they have in common


def test_flagged_readings_are_counted_and_kept_out_of_the_mean():
    windows = windows_of(checks=tuple(Checks(low=0.0, high=14.0, spike=3.0)))
    give(windows, (0, 7.0), (1, 7.0), (2, 12.0), (3, 7.0), (4, 99.0))
    [row] = closed(windows)
    assert (row.value, row.count, row.valid_share, row.status) == (7.0, 3, 0.6, "02")
    assert row.flags == "IMPLAUSIBLE 1, SPIKE 1" and row.quality == flags.IMPLAUSIBLE


@pytest.mark.parametrize("average", ["mean", "vector", "total", "last"])
def test_order_of_arrival_does_not_show(average):
    for seed in range(100):
        rng = Random(seed)
        rules = tuple(Checks(low=-50.0, high=400.0, spike=200.0, rate_per_min=900.0, stuck_ms=180_000))
        readings = [(rng.randrange(0, 300) / 60, rng.choice([0.0, rng.uniform(0, 359)])) for _ in range(20)]
        readings = list(dict(readings).items())  # no two of one moment

        def outcome(order, rules=rules):
            windows = windows_of(average=average, checks=rules)
            give(windows, *order)
            return closed(windows)[0]

        assert outcome(readings) == outcome(rng.sample(readings, len(readings)))


@pytest.mark.parametrize("average", ["mean", "vector", "total", "last"])
def test_counts_balance_while_they_are_open(average):
    windows = windows_of(average=average)
    state = windows.states[0]
    give(windows, (0, 1.0), (1, 2.0), (7, 3.0))
    give(windows, (2, 5.0), quality=q.FAULT)
    assert (state.read, state.open(), state.windowed) == (4, 4, 0)
    closed(windows)
    assert (state.read, state.open(), state.windowed) == (4, 1, 3)


def test_a_row_is_read_back_and_one_of_before_too():
    windows = windows_of(average="total")
    give(windows, (0, 1.0), (4, 3.0))
    [row] = closed(windows)
    assert parse_body(body(row, 9)) == (row, 9)
    old = row.as_before(row._replace(average=""))
    assert parse_body(body(old, 9)) == (old, 9) and len(body(old, 9)) < len(body(row, 9))


def test_another_unit_begins_anew():
    windows = windows_of(average="total")
    row = Window(
        "X", "l", START, START + LENGTH, 1, 4.0, q.OK, "00", 5, 5, 1.0, None, None, "", 4.0, meter=9.0,
        average="total",
    )  # fmt: skip
    windows.resume(START + LENGTH, {"X": row})
    assert windows.states[0].carried.meter is None
    windows.resume(START + LENGTH, {"X": row._replace(unit="m3")})
    assert windows.states[0].carried.meter == 9.0


@pytest.mark.parametrize("check", [True, False])
def test_a_late_reading_does_not_change_what_was_made_before_there_was_the_check(check):
    """The window was made by a channel that nobody watched for standing still. Watched, it would leave since
    when; the windows behind it were made without, and no late reading makes them others.
    """
    windows = windows_of(checks=STUCK if check else ())
    give(windows, (0, 5.0), (1, 6.0))
    (new,) = closed(windows)
    old = new._replace(steady_ms=None, last=4.0)
    assert (new.steady_ms is not None) == check
    assert not windows.passes_on([new], [old])
    assert windows.passes_on([new], [old._replace(steady_ms=START)]) == check


# What readings that nobody saw one by one leave


STUCK = tuple(Checks(stuck_ms=15 * 60_000))


def test_behind_a_mean_of_readings_stuck_begins_anew():
    """5.0 at first; means of half an hour, of which nobody knows what they were; and 5.0 once more."""
    windows = windows_of(checks=STUCK)
    give(windows, (0, 5.0))
    row = (0, *map(float_bits, (5.0, 1.0, 12.0)), 30, 0, 0)
    for number in range(1, 7):
        windows.lanes[SOURCE].add_summary(
            Summary(1, number, START + number * LENGTH + 60_000, 1, 60_000, (row,)), NOW, 0.0
        )
    give(windows, (36, 5.0), (41, 5.0))
    rows = closed(windows, 9)
    assert [row.steady_ms for row in rows[:3]] == [START, None, None]
    assert all("STUCK" not in row.flags for row in rows)
    assert rows[7].steady_ms == rows[8].steady_ms == START + 36 * 60_000


def test_control_a_mean_that_counts_as_the_same_is_found(monkeypatch):
    right = Timed._steady

    def whole(self, checks, before):
        self.thinned = False
        return right(self, checks, before)

    monkeypatch.setattr(Timed, "_steady", whole)
    with pytest.raises(AssertionError):
        test_behind_a_mean_of_readings_stuck_begins_anew()


def test_a_cell_that_does_not_look_leaves_no_since_when():
    """A check that was taken out and put in again does not go on from where it was then."""
    cell = Cell()
    cell.take(0, 9.0)
    left = cell.outcome(1, 0.75, State(5.0, 1, 2.0, 3)).state
    assert left == State(9.0)
    assert Cell().outcome(1, 0.75, State(5.0, 1, 2.0, 3)).state == State(5.0, 1, 2.0, 3)  # nothing was read


def test_directions_that_cancel_each_other_out_at_the_very_first():
    """There is no mean and none before: the newest direction, since a number always comes out."""
    windows = windows_of(average="vector")
    give(windows, *[(minute, 180.0 * (minute % 2)) for minute in range(4)])
    (row,) = closed(windows)
    assert (row.value, row.quality, row.last) == (180.0, q.OK, 180.0)


def test_the_newest_reading_of_what_is_kept_with_its_times():
    """It has a value before its window closes, and a reading that arrives late is not the newest."""
    windows = windows_of(average="last")
    lane = windows.lanes[SOURCE]
    give(windows, (6, 5.0))
    assert (found := lane.newest(windows.states[0], NOW)) and found.value == 5.0
    give(windows, (1, 4.0))
    found = lane.newest(windows.states[0], NOW)
    assert found is not None and (found.time_ms, found.value) == (START + 6 * 60_000, 5.0)


def test_a_backlog_that_nobody_closes_does_not_fill_the_memory(monkeypatch):
    """Another source is waited for, while this one brings days: the oldest windows close all the same."""
    monkeypatch.setattr("gateway.windows.OPEN_SAMPLES_MAX", 20)
    other = Channel("Y", "m3", "device/st-02", "y", holds=True)
    for channel, forced in ((Channel("X", "m3", SOURCE, "x", average="last", holds=True), 5), (PLAIN, 0)):
        windows = Windows([channel, other], Settings())
        windows.lanes[SOURCE].describe(1, [("x", 60_000, 0, ())])
        give(windows, *[(minute, 1.0) for minute in range(50)])
        while (start_ms := windows.due(START, 0.0)) is not None:
            windows.close(start_ms)
        assert windows.forced == windows.closed == forced  # the lane has 5 yet: 45 - 5 x 5 = 20


PLAIN = Channel("X", "m3", SOURCE, "x", holds=True)
"""Its readings are added up, and cost nothing."""
