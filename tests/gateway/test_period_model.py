"""A period's figures against a slow reference that goes window by window, and what else they must hold to."""

from __future__ import annotations

import math
import time

import pytest

from gateway import hours as gateway_hours
from gateway.reports import period_build
from gateway.reports import period_model as model
from gateway.reports.period import between, period
from gateway.reports.period_runs import Limits
from gateway.reports.period_series import percentile
from gateway.windows import Window
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q
from tests.gateway.period_rig import GRID, LENGTH, SETTINGS, STATION, by_hour, records, reference, report_of
from tests.gateway.test_period import ZONES

CASES = [("2026-03-25", seed) for seed in range(12)] + [("2026-02", seed) for seed in (20, 21, 23)]


def agrees(report: model.Report, rows, asked) -> None:
    """AssertionError where the report and the reference differ."""
    for channel, setting in zip(report.channels, SETTINGS, strict=True):
        wanted = reference(rows, asked, setting)
        assert channel.capture_ms == wanted["capture_ms"]
        assert sum(channel.capture_ms.values()) == report.reach_ms - asked.from_ms
        found = channel.statistics
        assert (found.windows if found else 0) == len(wanted["values"])
        if found:
            assert math.isclose(found.mean, wanted["mean"], rel_tol=1e-15)
            assert (found.minimum.value, found.maximum.value) == (wanted["minimum"], wanted["maximum"])
            assert (found.minimum.start_ms, found.maximum.start_ms) == wanted["at"]
            for mine, its in zip(found.percentiles, wanted["percentiles"], strict=True):
                assert math.isclose(mine, its, rel_tol=1e-12)
        for buckets, its in ((channel.hours, wanted["hours"]), (channel.days, wanted["days"])):
            assert list(buckets.start_ms) == sorted(its)
            for at, start in enumerate(buckets.start_ms):
                count, mean = its[start]
                assert buckets.valid[at] == count
                assert mean is None or math.isclose(buckets.mean[at], mean, rel_tol=1e-15)
        assert [(e.from_ms, e.to_ms, e.worst) for e in channel.exceedances] == wanted["exceedances"]
        assert sum(e.windows for e in channel.exceedances) * LENGTH == channel.exceeded_ms
        assert [(s.from_ms, s.to_ms, s.quality) for s in channel.calibrating] == wanted["calibrating"]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_equals_a_slow_reference(name, seed):
    asked = period(name)
    rows = records(asked, seed, gaps=(0.0, 0.05, 0.6)[seed % 3])
    agrees(report_of(rows, asked), rows, asked)


@pytest.mark.parametrize("zone", ZONES)
def test_equals_it_in_every_time_zone(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        asked = between(period("2026-03-07").from_ms, period("2026-03-09").to_ms)  # New York springs forward
        rows = records(asked, 99)
        agrees(report_of(rows, asked), rows, asked)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_equals_it_before_the_period_is_over():
    asked = period("2026-H1")
    rows = [row for row in records(asked, 5) if row[0] < asked.from_ms + 9 * DAY_MS + 40 * LENGTH]
    report = report_of(rows, asked)
    agrees(report, rows, asked)
    assert report.reach_ms == max(row[3] for row in rows) < asked.to_ms


def test_control_an_edge_off_by_one_is_found():
    asked = period("2026-03-25")
    rows = records(asked, 1, gaps=0.0)
    late = asked._replace(from_ms=asked.from_ms + LENGTH)
    with pytest.raises(AssertionError):
        agrees(report_of(rows, late), rows, asked)
    early = asked._replace(to_ms=asked.to_ms + LENGTH)
    with pytest.raises(AssertionError):
        agrees(report_of(rows, early), rows, asked)


def test_control_the_oldest_revision_is_found(monkeypatch):
    asked = period("2026-03-25")
    rows = records(asked, 1)

    def oldest(self, symbol, of_symbol):
        first = {row[0]: row for row in reversed(of_symbol)}
        columns = zip(*[first[start] for start in sorted(first)], strict=True)
        starts, _, _, ends, units, values, qualities, _ = columns
        return starts, ends, units, values, qualities

    monkeypatch.setattr(period_build._Collected, "_newest_of", oldest)
    with pytest.raises(AssertionError):
        agrees(report_of(rows, asked), rows, asked)


def test_control_a_border_in_utc_is_found():
    asked = period("2026-03-25")
    rows = records(asked, 2, margin=100)
    utc = asked._replace(from_ms=asked.from_ms + 7 * HOUR_MS, to_ms=asked.to_ms + 7 * HOUR_MS)
    with pytest.raises(AssertionError):
        agrees(report_of(rows, utc), rows, asked)


def test_an_hour_is_what_the_gateway_sends_as_one():
    asked = period("2026-03-25")
    rows = records(asked, 7, gaps=0.01)
    newest = {row[0]: row for row in rows if row[1] == "COD" and asked.from_ms <= row[0] < asked.to_ms}
    channel = report_of(rows, asked).channels[0]
    compared = 0
    for at, start in enumerate(channel.hours.start_ms):
        windows = [
            Window(
                row[1], row[4], row[0], row[3], row[2], row[5], row[6], q.status(row[6]), 1, 1, 1.0, row[5],
                row[5], "", row[5],
            )
            for row in newest.values()
            if start <= row[0] < start + HOUR_MS
        ]  # fmt: skip
        (hour,) = gateway_hours.of(windows, 1, GRID.share_min)
        assert (hour.count, hour.expected) == (channel.hours.valid[at], channel.hours.expected[at])
        assert (hour.status == "00") == channel.hours.is_valid(at, GRID.share_min)
        if hour.status == "00":
            assert hour.value == channel.hours.mean[at]
            compared += 1
    assert compared > 5


def test_channels_may_be_spread_over_parts_in_any_way():
    asked = period("2026-02")
    rows = records(asked, 3)
    whole = report_of(rows, asked)
    parts = []
    for mine in (SETTINGS[::2], SETTINGS[1::2]):
        symbols = {setting.symbol for setting in mine}
        of_mine = [row for row in rows if row[1] in symbols]
        parts.append(
            period_build.collect(asked, mine, GRID, by_hour(of_mine, asked), max(row[3] for row in rows))
        )
    spread = period_build.build(
        STATION,
        asked,
        SETTINGS,
        GRID,
        parts[::-1],
        max(row[3] for row in rows),
        model.Beside(),
        whole.evidence,
    )
    assert [channel.symbol for channel in spread.channels] == ["COD", "pH", "Flow"]
    assert [channel._replace(hours=0, days=0) for channel in spread.channels] == [
        channel._replace(hours=0, days=0) for channel in whole.channels
    ]
    assert (spread.revised, spread.revised_count, spread.data_ms) == (
        whole.revised, whole.revised_count, whole.data_ms,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("capture", "wanted"),
    [
        # 1/3 each: 33.33 * 3 = 99.99; the hundredth that is left goes to the first that lost as much as any
        ({"a": 1, "b": 1, "c": 1, "d": 0}, [33.34, 33.33, 33.33, 0.0]),
        # 1/7 = 14.2857 %, 6/7 = 85.7142 %: what is left goes to the one that lost more (14.28 lost 0.0057)
        ({"a": 1, "b": 6, "c": 0, "d": 0}, [14.29, 85.71, 0.0, 0.0]),
        ({"a": 5, "b": 0, "c": 0, "d": 0}, [100.0, 0.0, 0.0, 0.0]),
        ({"a": 0, "b": 0, "c": 0, "d": 0}, [0.0, 0.0, 0.0, 0.0]),
        # one window of a year of 105,120: 0.00095 % shows as 0.00, and the sum still is 100
        ({"a": 105_119, "b": 1, "c": 0, "d": 0}, [100.0, 0.0, 0.0, 0.0]),
    ],
)
def test_shares_add_up(capture, wanted):
    assert list(model.shares(capture).values()) == wanted


def test_shares_always_add_up():
    for number in range(1, 2000):
        capture = {name: (number * 7919 * (at + 3)) % 9973 for at, name in enumerate("abcd")}
        percent = model.shares(capture)
        assert round(sum(percent.values()) * 100) == 10_000
        for name, part in percent.items():
            assert abs(part - 100 * capture[name] / sum(capture.values())) < 0.01


def test_percentiles_by_hand():
    # places (n - 1) * p / 100: of five values 4 * 0.9 = 3.6, between the fourth and the fifth: 40 + 0.6 * 10
    assert percentile([10.0, 20.0, 30.0, 40.0, 50.0], 90) == 46.0
    assert percentile([10.0, 20.0, 30.0, 40.0, 50.0], 50) == 30.0
    assert percentile([10.0, 20.0], 95) == 19.5
    assert [percentile([7.0], p) for p in (50, 98, 100)] == [7.0, 7.0, 7.0]


def rows_of(
    values: list[tuple[float | None, int]], symbol: str = "COD", begin: int | None = None, unit="mg/l"
):
    begin = period("2026-03-25").from_ms if begin is None else begin
    return [
        (begin + at * LENGTH, symbol, 1, begin + (at + 1) * LENGTH, unit, value, quality, "")
        for at, (value, quality) in enumerate(values)
    ]


def test_an_exceedance_is_by_the_figure_that_is_sent():
    asked = period("2026-03-25")
    # one decimal, limit 75: 75.04 is sent as 75.0, which is allowed; 75.06 as 75.1, which is not
    values = [
        (75.0, 0),
        (75.04, 0),
        (75.06, 0),
        (80.0, 0),
        (75.04, 0),
        (90.0, 0),
        (None, q.TIMEOUT),
        (76.0, 0),
    ]
    channel = report_of(rows_of(values), asked).channels[0]
    begin = asked.from_ms
    assert [(e.from_ms - begin, e.to_ms - begin, e.worst, e.ended) for e in channel.exceedances] == [
        (2 * LENGTH, 4 * LENGTH, 80.0, "within"),
        (5 * LENGTH, 6 * LENGTH, 90.0, "without"),
        (7 * LENGTH, 8 * LENGTH, 76.0, "end"),
    ]


def test_an_exceedance_does_not_go_over_a_gap_or_an_hour_that_is_missing():
    asked = period("2026-03-25")
    rows = rows_of([(80.0, 0)]) + rows_of([(80.0, 0)], begin=asked.from_ms + 3 * HOUR_MS)
    channel = report_of(rows, asked).channels[0]
    assert [(e.windows, e.ended) for e in channel.exceedances] == [(1, "without"), (1, "end")]


def test_one_goes_on_over_the_edge_of_an_hour():
    asked = period("2026-03-25")
    channel = report_of(rows_of([(80.0, 0)] * 30 + [(1.0, 0)]), asked).channels[0]
    assert [(e.windows, e.ended) for e in channel.exceedances] == [(30, "within")]


def test_from_above_to_below_is_another_exceedance():
    asked = period("2026-03-25")
    rows = rows_of([(9.5, 0), (5.0, 0), (5.5, 0)], "pH", unit="")
    channel = report_of(rows, asked).channels[1]
    assert [(e.windows, e.worst, e.limit) for e in channel.exceedances] == [(1, 9.5, 9.0), (2, 5.0, 6.0)]


def test_a_unit_that_changes_makes_two_channels():
    asked = period("2026-03-25")
    rows = rows_of([(80.0, 0), (10.0, 0)]) + rows_of(
        [(0.08, 0)], begin=asked.from_ms + 2 * LENGTH, unit="g/l"
    )
    report = report_of(rows, asked)
    found = [
        (c.symbol, c.unit, c.statistics and c.statistics.mean, len(c.exceedances)) for c in report.channels
    ]
    assert found[:2] == [("COD", "mg/l", 45.0, 1), ("COD", "g/l", 0.08, 0)]
    assert report.channels[1].limits == Limits()


def test_a_channel_that_is_not_configured_any_more_is_there():
    asked = period("2026-03-25")
    report = report_of(rows_of([(3.0, 0)], "Old", unit="m"), asked)
    assert [(c.symbol, c.capture_ms["valid"]) for c in report.channels][-1] == ("Old", LENGTH)


def test_late_revisions_in_a_row_are_one_span():
    asked = period("2026-03-25")
    rows = rows_of([(1.0, 0)] * 4)
    rows += [(*row[:2], 2, *row[3:7], "late data") for row in rows[1:3]]
    rows.sort(key=lambda row: row[:3])
    report = report_of(rows, asked)
    begin = asked.from_ms
    assert report.revised == (model.Revised("COD", begin + LENGTH, begin + 3 * LENGTH, 2, 2, "late data"),)
    assert report.revised_count == 2


def test_an_empty_period_has_no_data():
    asked = between(period("2026-03-25").from_ms, period("2026-03-26").to_ms)
    report = report_of([], asked)
    assert report.data_ms is None
    assert [channel.statistics for channel in report.channels] == [None, None, None]


@pytest.mark.parametrize("average", ["total", "vector", "last", "mean"])
def test_an_hour_and_a_day_of_a_meter_a_direction_a_state_are_what_the_gateway_sends(average):
    asked = period("2026-03-25")
    setting = model.Setting("X", "m3", 3, Limits(), (), average)
    values = [
        (300.0 + at * 7.3 % 120, q.OK if at % 7 else q.COVERAGE) for at in range(288)
    ]  # fmt: skip
    if average == "vector":
        values = [(value % 360, quality) for value, quality in values]
    rows = rows_of(values, "X", unit="m3")
    channel = report_of(rows, asked, (setting,)).channels[0]
    windows = [
        Window(
            row[1], row[4], row[0], row[3], row[2], row[5], row[6], q.status(row[6]), 1, 1, 1.0, row[5],
            row[5], "", row[5], average=average,
        )
        for row in rows
    ]  # fmt: skip
    for buckets, step_ms in ((channel.hours, HOUR_MS), (channel.days, DAY_MS)):
        for at, start in enumerate(buckets.start_ms):
            within = [window for window in windows if start <= window.start_ms < start + step_ms]
            (wanted,) = gateway_hours.of(within, 1, GRID.share_min, step_ms)
            assert buckets.mean[at] == wanted.value
    assert len(channel.hours.mean) == 24
    assert channel.statistics is not None
    total = sum(value for value, _ in values) if average == "total" else None
    assert channel.statistics.total == (None if total is None else pytest.approx(total, rel=1e-12))


def test_hours_and_days_are_held_against_limits_of_their_own():
    asked = period("2026-03-25")
    means = (("hour", Limits(50.0, None, "an hour")), ("day", Limits(40.0, None, "a day")))
    setting = model.Setting("COD", "mg/l", 1, Limits(), means)
    # two hours of 60 among 22 of 40: two hours beyond 50, and a day of (264 * 40 + 24 * 60) / 288 = 41.67
    values = [(40.0, 0)] * 12 + [(60.0, 0)] * 24 + [(40.0, 0)] * 252
    channel = report_of(rows_of(values), asked, (setting,)).channels[0]
    assert [(e.span, e.windows, e.worst, e.ended) for e in channel.exceedances] == [
        ("hour", 2, 60.0, "within"), ("day", 1, 41.7, "end"),
    ]  # fmt: skip
    assert (channel.exceeded_ms, channel.basis_of("day")) == (0, "a day")
