"""Periods: their borders at GMT+7 in every time zone, and names that are none."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from gateway.reports.period import between, period
from gateway.zone import DAY_MS, HOUR_MS, day_of

GMT7 = timezone(timedelta(hours=7))
ZONES = ("Asia/Ho_Chi_Minh", "America/New_York", "Pacific/Auckland", "UTC")


def ms(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=GMT7).timestamp() * 1000)  # type: ignore[arg-type]


@pytest.fixture(params=ZONES)
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "kind", "begin", "end"),
    [
        ("2026-03-25", "day", (2026, 3, 25), (2026, 3, 26)),
        ("2026-12-31", "day", (2026, 12, 31), (2027, 1, 1)),
        ("2028-02-29", "day", (2028, 2, 29), (2028, 3, 1)),
        ("2026-03", "month", (2026, 3, 1), (2026, 4, 1)),  # clocks change in New York and in Auckland
        ("2026-12", "month", (2026, 12, 1), (2027, 1, 1)),
        ("2026-Q1", "quarter", (2026, 1, 1), (2026, 4, 1)),
        ("2026-Q4", "quarter", (2026, 10, 1), (2027, 1, 1)),
        ("2026-H1", "half-year", (2026, 1, 1), (2026, 7, 1)),
        ("2026-H2", "half-year", (2026, 7, 1), (2027, 1, 1)),
        ("2026", "year", (2026, 1, 1), (2027, 1, 1)),
    ],
)
def test_borders_are_midnights_of_gmt7(zone, name, kind, begin, end):
    found = period(name)
    assert (found.name, found.kind, found.from_ms, found.to_ms) == (name, kind, ms(*begin), ms(*end))


@pytest.mark.parametrize(
    "name",
    ["", "2026-3", "2026-13", "2026-00", "2026-02-29", "2026-04-31", "2026-Q5", "2026-H3", "2026-W12", 
     "26-03", "2026-H1-01", "1999-01", "2026-03-00", " 2026", "2026\n", "٢٠٢٦"],
)  # fmt: skip
def test_what_is_no_period_is_told_in_a_sentence(name):
    with pytest.raises(ValueError, match=r"is no period: .*\."):
        period(name)


def test_reports_that_are_due(zone):
    assert period("2026-H1").due_ms == ms(2026, 6, 15)
    assert period("2026").due_ms == ms(2026, 11, 15)
    assert [period(name).due_ms for name in ("2026-H2", "2026-Q2", "2026-06", "2026-06-15")] == [None] * 4


def test_a_range_is_of_full_hours(zone):
    found = between(ms(2026, 3, 25, 10), ms(2026, 3, 27, 11))
    assert (found.name, found.bucket_ms) == ("2026-03-25T10--2026-03-27T11", DAY_MS)
    assert between(ms(2026, 3, 25, 10), ms(2026, 3, 27, 10)).bucket_ms == HOUR_MS
    for begin, end in ((5, 5), (6, 5), (0, HOUR_MS + 1), (0, 367 * DAY_MS)):
        with pytest.raises(ValueError, match="\\."):
            between(begin, end)


def test_days_begin_at_midnight_of_gmt7(zone):
    midnight = ms(2026, 3, 25)
    assert [day_of(midnight + shift) for shift in (0, 1, DAY_MS - 1)] == [midnight] * 3
    assert day_of(midnight - 1) == midnight - DAY_MS
    assert midnight % DAY_MS == 17 * HOUR_MS  # 17:00 UTC of the day before
