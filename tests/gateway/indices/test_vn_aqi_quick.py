"""gateway/indices/vn_aqi_quick.py: the same figures as whole numbers give, at every breakpoint, at halves,
at a weight of 1/2; and the largest mean over eight hours. Controls: floats alone, means of other windows.

QUANTRAC_AQI_HOURS=1000000 compares as many hours (two minutes).
"""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from gateway.indices import counted, exact, vn_aqi, vn_aqi_quick
from gateway.zone import HOUR_MS

COUNT = int(os.environ.get("QUANTRAC_AQI_HOURS", "20000"))
DIGITS = (0, 1, 2, 4, 17)


def twelve(random: Random, name: str) -> list[float | None]:
    """Twelve hours as they come, about a breakpoint, of a weight of 1/2, or all alike; some are missing."""
    kind, digits, top = random.random(), random.choice(DIGITS), random.choice((3, 30, 60, 150, 500, 900))
    base = random.uniform(0, top)
    if kind < 0.3:
        found = [base * random.uniform(0.4, 1.6) for _ in range(12)]
    elif kind < 0.6:
        found = [random.uniform(0, top) for _ in range(12)]
    elif kind < 0.8:
        at = random.choice(vn_aqi.BREAKPOINTS[name])
        found = [at + random.choice((-1, 0, 1)) * random.choice((0, 0.1, 0.5, 0.01)) for _ in range(12)]
    elif kind < 0.9:
        found = [round(base) + random.choice((0, round(base))) for _ in range(12)]
    else:
        found = [random.randrange(2000) / random.choice((4, 10, 3))] * 12
    gaps = random.choice((0, 0, 0.15))
    return [None if random.random() < gaps else counted(round(value, digits)) for value in found]


def slow(name: str, oldest_first: list[float | None]) -> tuple[int | None, str]:
    cast = vn_aqi.nowcast(oldest_first[::-1])
    if cast is None:
        return None, f"{name}: fewer than 2 of the newest 3 hours"
    return vn_aqi.sub_index(name, cast.value), vn_aqi.lacking(name, cast.missing, vn_aqi.is_least(cast))


def dust_differences(count: int, seed: int = 5) -> list[tuple]:
    random, found = Random(seed), []
    for _ in range(count):
        name = random.choice(vn_aqi.DUSTS)
        hours = twelve(random, name)
        if vn_aqi_quick.dust(name, hours) != slow(name, hours):
            found.append((name, hours))
    return found


def gas_differences() -> list[tuple]:
    """At every breakpoint and every half of an index, beside them by 0.1 and by a float's last digit."""
    found = []
    for scale, limits in vn_aqi.BREAKPOINTS.items():
        for low, high in pairwise(limits):
            for part in range(101):  # levels are 50 or 100 apart: every whole and every half, of 50
                at = float(low + Fraction(high - low, 100) * part)
                for x in (at, at + 0.1, at - 0.1, at * (1 + 2e-16), at * (1 - 2e-16), at * (1 + 1e-9)):
                    index = vn_aqi_quick.index_of(scale, max(0.0, x))
                    if index is not None and index != vn_aqi.sub_index(scale, max(0.0, x)):
                        found.append((scale, x))
    return found


def test_dusts_are_those_of_whole_numbers():
    assert not dust_differences(COUNT)


def test_gases_are_those_of_whole_numbers_about_breakpoints_and_halves():
    assert not gas_differences()


def test_control_floats_alone_are_found(monkeypatch):
    monkeypatch.setattr(vn_aqi_quick, "EDGE", 0.0)
    assert gas_differences()
    assert dust_differences(3000)


def test_control_a_weight_beside_a_half_by_floats_is_found(monkeypatch):
    """0.15 / 0.3 is 1/2 as written; in floats too, so the other formula has to be asked for exactly there."""
    hours = [0.3] * 11 + [0.15]
    assert vn_aqi_quick.dust("PM10", [each * 300 for each in hours]) == slow(
        "PM10", [each * 300 for each in hours]
    )
    monkeypatch.setattr(vn_aqi_quick, "SMALLEST", -1.0)
    assert dust_differences(3000)


def test_what_is_next_to_nothing_is_left_to_whole_numbers():
    """The smallest float is 4.94e-324 and is written 5e-324: a ratio of such says nothing."""
    for hours in ([5e-324] * 11 + [1.5e-323], [0.0] * 12, [1e-101] * 12, [1e308] * 12):
        assert vn_aqi_quick.dust("PM2.5", hours) == slow("PM2.5", hours)


def test_a_week_of_hours_is_that_of_each_hour():
    random = Random(11)
    held = {
        name: {i * HOUR_MS: random.uniform(-2, 400) for i in range(168) if random.random() < 0.9}
        for name in vn_aqi.PARAMETERS
    }
    held["CO"][3 * HOUR_MS] = float("nan")
    found = list(vn_aqi_quick.hours(held, 0, 168 * HOUR_MS - 1))
    assert len(found) == 168
    for i, hour in enumerate(found):
        newest = {name: [of.get((i - k) * HOUR_MS) for k in range(12)] for name, of in held.items()}
        assert hour == vn_aqi.hourly(newest)._replace(nowcast={}), i


# The largest of a day's means over eight hours (vn_aqi.daily) ----------------------------------------------


def longest_differences(count: int) -> list[tuple]:
    random, found = Random(9), []
    for _ in range(count):
        digits = random.choice(DIGITS)
        base = random.choice((0.0, 1e-320, 100.0))
        spread = random.choice((0.0, 1e-13, 1.0, 50.0))
        hours = [round(base + random.uniform(0, spread), digits) for _ in range(31)]
        some = [None if random.random() < 0.1 else value for value in hours]
        means = []
        for i in range(24):
            there = [value for each in some[i : i + 8] if (value := exact(each)) is not None]
            if len(there) >= 6:
                means.append(sum(there, Fraction(0)) / len(there))
        day = vn_aqi.daily({"O3": some[7:]}, {"O3": some[:7]})
        wanted = max(means, default=None)
        if day.used.get("O3 8h") != (None if wanted is None else float(wanted)):
            found.append((some, wanted))
    return found


def test_the_largest_mean_is_that_of_whole_numbers():
    assert not longest_differences(1500)


def test_control_a_largest_mean_by_another_window_is_found(monkeypatch):
    monkeypatch.setattr(vn_aqi, "_enough", lambda hours: [value for value in hours[1:] if value is not None])
    with pytest.raises(AssertionError):
        assert not longest_differences(50)
