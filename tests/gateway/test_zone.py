"""Days of Vietnam, wherever the machine stands."""

from __future__ import annotations

import time
from datetime import date

import pytest

from gateway.reports.layout import named_after, stamp
from gateway.zone import DAY_MS, date_of, day_of, moment_ms, start_of

MIDNIGHT = 1_774_371_600_000  # 2026-03-24T17:00:00Z = 2026-03-25 00:00 in Vietnam


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Ho_Chi_Minh", "Pacific/Kiritimati"])
def elsewhere(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_day_begins_at_seventeen_hours_utc(elsewhere):
    assert stamp(MIDNIGHT) == "20260325000000"
    for shift in (0, 1, DAY_MS // 2, DAY_MS - 1):
        assert (day_of(MIDNIGHT + shift), date_of(MIDNIGHT + shift)) == (MIDNIGHT, date(2026, 3, 25))
    assert (day_of(MIDNIGHT - 1), date_of(MIDNIGHT - 1)) == (MIDNIGHT - DAY_MS, date(2026, 3, 24))


def test_spans_lie_on_the_same_grid(elsewhere):
    eight = 8 * 3_600_000
    found = [start_of(MIDNIGHT + n * eight + 5, eight) for n in (-1, 0, 1, 2, 3)]
    assert found == [MIDNIGHT + n * eight for n in (-1, 0, 1, 2, 3)]
    assert start_of(-1, DAY_MS) == -7 * 3_600_000  # 1970-01-01 06:59:59.999, of the day that began at 00:00


def test_a_window_is_named_after_its_end_unless_its_start_is_asked_for():
    assert (named_after("end", 5, 9), named_after("start", 5, 9)) == (9, 5)


@pytest.mark.parametrize(
    ("text", "after_midnight_ms"),
    [
        ("2026-03-25", 0), ("2026-03-25T10:00", 36_000_000), ("20260325100000", 36_000_000),
        ("2026-03-25T10:00:00.250", 36_000_250), ("2026-03-24T17:00:00Z", 0), ("2026-03-25T02:00+09:00", 0),
    ],
)  # fmt: skip
def test_moments_as_people_write_them(elsewhere, text, after_midnight_ms):
    assert moment_ms(text) - MIDNIGHT == after_midnight_ms


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01", "20261301000000", "1969-12-31", "9999-12-31T23:59:59-23:59", "1" * 4000]
)
def test_what_is_no_moment(text):
    with pytest.raises(ValueError):
        moment_ms(text)
