"""The table of days of outage (outage.py): its parts measure what they say."""

import pytest

from tests.power import outage


def test_readings_of_the_scenes_take_five_bytes_at_most():
    a_day, per_reading = outage.measure(12, 10, 10, False)
    assert 2 < per_reading < 5
    assert a_day == pytest.approx(12 * 8640 * per_reading)


def test_thinning_makes_a_fast_station_last_ten_times_as_long():
    plain = outage.measure(12, 1, 5, False)[0]
    thinned = outage.measure(12, 1, 5, True)[0]
    assert 10 * thinned < plain
    without, with_thinning = outage.days(1_000_000, plain, thinned)
    assert with_thinning > 5 * without


def test_a_chip_is_filled_and_keeps_its_reserve():
    counts = outage.fill(1408 * 1024, 100_000)
    assert 100_000 <= counts["slot"] <= 100_000 + 2 * outage.BLOCK
    assert counts["left"] >= outage.RESERVE * 0.9
    assert 0.9 * counts["budget"] < counts["held"] <= counts["budget"] < counts["free"]
    assert counts["segments"] <= 100
    assert counts["start_bytes"] < counts["held"]  # a start does not read the log
