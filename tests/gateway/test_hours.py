"""gateway/hours.py: an hour of windows against a slow reference in fractions; what it says when some lack."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from gateway import hours
from gateway.hours import HOUR_MS, hour_of, of
from gateway.windows import OFF, Window
from protocol import quality as q
from tests.gateway.feed_rig import LENGTH_MS, window
from tests.gateway.test_provincial import T0

BAD = (q.CALIBRATING, q.MAINTENANCE, q.FAULT, q.TIMEOUT, q.COVERAGE, q.NO_DATA)


def hour(*windows: Window, share: float = 0.75) -> Window:
    (found,) = of(windows, 1, share)
    return found


def good(count: int, first: int = 0) -> list[Window]:
    return [window("COD", T0 + i * LENGTH_MS, float(i)) for i in range(first, first + count)]


def bad(count: int, quality: int, first: int) -> list[Window]:
    return [window("COD", T0 + i * LENGTH_MS, 1.5, quality) for i in range(first, first + count)]


def test_the_mean_of_twelve(seed=7):
    random = Random(seed)
    for _ in range(200):
        windows = [window("COD", T0 + i * LENGTH_MS, random.uniform(-1e6, 1e6)) for i in range(12)]
        random.shuffle(windows)
        found = hour(*windows)
        exact = sum(Fraction(w.value or 0) for w in windows) / 12
        assert found.value is not None
        assert abs(Fraction(found.value) - exact) <= abs(exact) / (1 << 52)
        assert (found.start_ms, found.end_ms, found.revision) == (T0, T0 + HOUR_MS, 1)
        assert (found.status, found.count, found.expected, found.valid_share) == ("00", 12, 12, 1.0)
        assert (found.minimum, found.maximum) == (
            min(w.value or 0 for w in windows), max(w.value or 0 for w in windows),
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_every_mixture_against_the_reference(seed):
    """Rules 1 and 2, written down slowly: which status, which value, which share."""
    random = Random(seed)
    for _ in range(200):
        share = random.choice([0.0, 0.5, 0.75, 1.0])
        rows = [
            window("COD", T0 + i * LENGTH_MS, random.uniform(0, 100), random.choice([q.OK] * 6 + [*BAD]))
            for i in range(12)
            if random.random() < 0.9
        ]
        if not rows:
            continue
        found = hour(*rows, share=share)
        valid = [Fraction(w.value or 0) for w in rows if w.status == "00"]
        others = [Fraction(w.value or 0) for w in rows if w.status != "00"]
        value = sum(valid) / len(valid) if valid else sum(others) / len(others)
        missing = {"01": 0, "02": 12 - len(rows)}
        for row in rows:
            if row.status != "00":
                missing[row.status] += 1
        status = "01" if missing["01"] >= missing["02"] else "02"
        if valid and len(valid) / 12 >= share:
            status = "00"
        assert found.value == pytest.approx(float(value), rel=1e-15)
        assert (found.status, found.count, found.expected) == (status, len(valid), 12)
        assert found.valid_share == len(valid) / 12


def test_control_a_mean_of_all_windows_is_found(monkeypatch):
    of_all = hours._span

    def wrong(windows, *more):
        found = of_all(windows, *more)
        return found._replace(value=sum(w.value for w in windows) / len(windows))

    monkeypatch.setattr(hours, "_span", wrong)
    with pytest.raises(AssertionError):
        test_every_mixture_against_the_reference(1)


def test_nine_of_twelve_are_enough_and_eight_are_not():
    assert hour(*good(9), *bad(3, q.TIMEOUT, 9)).status == "00"
    found = hour(*good(8), *bad(4, q.TIMEOUT, 8))
    assert (found.status, found.quality, found.value) == ("02", q.TIMEOUT, 3.5)


def test_a_calibration_explains_before_a_fault_that_is_as_long():
    assert hour(*good(4), *bad(4, q.CALIBRATING, 4), *bad(4, q.FAULT, 8)).status == "01"


def test_an_hour_without_any_reading_has_the_last_valid_value():
    rows = [w._replace(value=7.25, last=7.25) for w in bad(12, q.NO_DATA, 0)]
    found = hour(*rows)
    assert (found.value, found.status, found.count, found.last) == (7.25, "02", 0, 7.25)
    never = hour(*[w._replace(value=None, last=None) for w in rows])
    assert (never.value, never.status) == (None, "02")


def test_a_value_that_is_carried_does_not_weigh():
    carried = window("COD", T0, 7.0, q.NO_DATA, last=7.0)
    shown = window("COD", T0 + LENGTH_MS, 9.0, q.CALIBRATING, last=7.0)
    assert hour(carried, shown).value == 9.0


def test_a_part_of_an_hour_says_so():
    found = hour(*good(3, first=9))
    assert (found.start_ms, found.count, found.expected, found.status) == (T0, 3, 12, "02")


def test_other_lengths_and_several_channels():
    rows = [window(s, T0 + i * 900_000, 2.0 * i, length_ms=900_000) for i in range(4) for s in ("pH", "COD")]
    found = of(rows, 3, 0.75)
    assert [(w.symbol, w.value, w.expected, w.revision) for w in found] == [
        ("COD", 3.0, 4, 3),
        ("pH", 3.0, 4, 3),
    ]
    assert hour_of(T0 + HOUR_MS - 1) == T0 and hour_of(T0) == T0


def test_an_hour_in_which_nothing_was_running_says_so():
    off = [w._replace(reason=OFF) for w in bad(12, q.NO_DATA, 0)]
    assert hour(*off).reason == OFF and hour(*off[:-1], *good(1, 11)).reason == ""


def test_what_a_meter_shows_is_none_of_its_increases():
    """At 10:55 a channel became a meter's (average = "total"): what it showed before is not added up."""
    shown = [row._replace(average="mean", value=5000.0 + i) for i, row in enumerate(good(11))]
    found = hour(*shown, good(1, 11)[0]._replace(average="total", value=3.0))
    assert (found.value, found.count, found.status) == (3.0, 1, "02")
    old = [row._replace(average="") for row in good(6)]  # schema 4 says nothing: they are means
    assert hour(*old, *[row._replace(average="mean") for row in good(6, 6)]).value == 5.5


def test_an_hour_of_windows_without_any_value_comes_out():
    rows = [row._replace(value=None, average="vector", last=None) for row in good(12)]
    found = hour(*rows)
    assert (found.value, found.quality, found.count) == (None, q.NO_DATA, 0)
