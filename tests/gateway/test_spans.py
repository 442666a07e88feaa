"""gateway/spans.py: days, months, quarters begin at GMT+7 whatever the machine's zone; declarations."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime

import pytest

from gateway.spans import Quarter, Span, days, month, quarter_of


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Ho_Chi_Minh", "America/New_York", "Pacific/Kiritimati"])
def test_at_gmt_7_everywhere(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        # 2026-03-01 00:00 +07:00 is 2026-02-28 17:00 UTC.
        assert month(2026, 2) == Span(ms(2026, 1, 31, 17), ms(2026, 2, 28, 17))
        assert month(2026, 12).end_ms == ms(2026, 12, 31, 17)
        assert Quarter(2026, 1).period == Span(ms(2025, 12, 31, 17), ms(2026, 3, 31, 17))
        assert Quarter(2026, 4).period == Span(ms(2026, 9, 30, 17), ms(2026, 12, 31, 17))
        found = list(days(ms(2026, 2, 27, 17), ms(2026, 3, 1, 17)))
        assert found == [
            Span(ms(2026, 2, 27, 17), ms(2026, 2, 28, 17)), Span(ms(2026, 2, 28, 17), ms(2026, 3, 1, 17)),
        ]  # fmt: skip
    finally:
        os.environ.pop("TZ", None)
        monkeypatch.undo()
        time.tzset()


def test_a_day_belongs_where_it_begins():
    start = ms(2026, 2, 27, 17)
    assert [p.start_ms for p in days(start + 1, start + 86_400_000)] == []
    assert [p.start_ms for p in days(start, start + 1)] == [start]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_quarters_meet_and_hold_their_moments(number):
    period = Quarter(2026, number).period
    assert quarter_of(period.start_ms) == quarter_of(period.end_ms - 1) == Quarter(2026, number)
    assert quarter_of(period.end_ms) == (Quarter(2026, number + 1) if number < 4 else Quarter(2027, 1))


def test_declared_by_the_20th_of_the_next_quarter():
    assert [Quarter(2026, n).declared_by for n in (1, 2, 3, 4)] == [
        date(2026, 4, 20), date(2026, 7, 20), date(2026, 10, 20), date(2027, 1, 20),
    ]  # fmt: skip


def test_leap_years():
    february = month(2028, 2)
    assert february.end_ms - february.start_ms == 29 * 86_400_000
