"""gateway/indices/vn_aqi.py: the decision's own examples, every breakpoint and both sides of it, NowCast, a
slow reference in decimals; controls with a breakpoint moved by one and NowCast's weight off.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from random import Random

import pytest

from gateway.indices import vn_aqi
from gateway.indices.vn_aqi import (
    BREAKPOINTS,
    LEVELS,
    UnitRefused,
    daily,
    hourly,
    in_ug_m3,
    nowcast,
    sub_index,
    unrounded,
)

# Quyết định 1459/QĐ-TCMT, mục 2.3: PM2.5 of 09:00 to 20:00, here the newest first.
EXAMPLE = [20.6, 19.6, 22.4, 20.3, 16.5, 19.0, 16.5, 19.5, 23.5, 20.5, 24.7, 26.9]
# Mục 2.2.2.a: O3 of 18:00 to 24:00 of the day before, and of 01:00 to 24:00 (labels are ends of hours).
O3_BEFORE = [15.7, 14.2, 17.7, 18.9, 19.3, 15.7, 19.7]
O3_DAY = [
    22.6, 27.1, 29.0, 31.9, 25.3, 34.7, 35.2, 41.6, 45.7, 49.2, 55.8, 69.6,
    78.3, 91.5, 97.7, 81.2, 71.8, 43.5, 34.3, 21.5, 20.5, 19.4, 20.4, 21.3,
]  # fmt: skip
O3_8H = [
    18.0, 19.4, 21.2, 23.0, 23.8, 25.8, 28.2, 30.9, 33.8, 36.6, 39.9, 44.7,
    51.3, 58.4, 66.2, 71.1, 74.4, 73.7, 71.0, 65.0, 57.8, 48.7, 39.1, 31.6,
]  # fmt: skip
TABLE = {  # Bảng 2 once more, written down by hand for this test
    "O3": "0 160 200 300 400 800 1000 1200",
    "O3 8h": "0 100 120 170 210 400",
    "CO": "0 10000 30000 45000 60000 90000 120000 150000",
    "SO2": "0 125 350 550 800 1600 2100 2630",
    "NO2": "0 100 200 700 1200 2350 3100 3850",
    "PM10": "0 50 150 250 350 420 500 600",
    "PM2.5": "0 25 50 80 150 250 350 500",
}
INDEX = [0, 50, 100, 150, 200, 300, 400, 500]


# The decision's examples ----------------------------------------------------------------------------------


def test_nowcast_of_the_decision():
    """w* = 16.5 / 26.9 = 0.613 > 0.5, so w = w*; the decision says 20.3 µg/m³."""
    found = nowcast(EXAMPLE)
    assert found is not None
    assert found.ratio == Fraction(165, 269) == found.weight
    assert round(float(found.value), 1) == 20.3
    assert found.missing == 0


def test_hour_of_the_decision():
    """O3 136.1 x 50/160 = 42.53; PM2.5 20.27 x 2 = 40.5; NO2 (118.7 - 100) x 50/100 + 50 = 59.35.

    The decision prints 60 for NO2, which does not follow from its own formula (and its daily 65.4 is 65).
    """
    found = hourly({"O3": [136.1], "NO2": [118.7], "PM2.5": EXAMPLE})
    assert found.sub == {"PM2.5": 41, "O3": 43, "NO2": 59}
    assert (found.value, found.deciding, found.missing) == (59, "NO2", ())
    assert found.rated is not None and found.rated.name.vi == "Trung bình"
    assert found.nowcast == pytest.approx({"PM2.5": 20.2658}, abs=1e-4)


def test_day_of_the_decision():
    """89.3 x 50/100 = 44.65; 114.6 x 50/160 = 35.8; 65.4; (55.7 - 50) x 50/30 + 100 = 109.5.

    Rounded: 45, 36, 65, 110.
    """
    assert [sub_index("O3 8h", 89.3), sub_index("O3", 114.6)] == [45, 36]
    assert [sub_index("NO2", 130.8), sub_index("PM2.5", 55.7)] == [65, 110]


def test_eight_hour_means_of_the_decision(monkeypatch):
    """All 24 of them as printed, but for a last digit (its hours had more of them); 74.4 at 17:00."""
    monkeypatch.setattr(vn_aqi, "SHARE_MIN", 1)
    for hour in range(24):
        only = [O3_DAY[i] if i <= hour else None for i in range(24)]
        largest = daily({"O3": only, "PM10": [10.0] * 24}, {"O3": O3_BEFORE}).used["O3 8h"]
        assert abs(largest - max(O3_8H[: hour + 1])) < 0.07, f"up to the hour that ends at {hour + 1}"
    found = daily({"O3": O3_DAY, "PM10": [10.0] * 24}, {"O3": O3_BEFORE})
    assert round(found.used["O3 8h"], 1) == 74.4
    assert found.sub == {"PM10": 10, "O3": 31, "O3 8h": 37}  # 97.7 x 50/160 = 30.5; 74.4 x 1/2 = 37.2


# Every breakpoint and beside it ----------------------------------------------------------------------------


def check_breakpoints():
    """At a breakpoint its level; beside it a share of the segment below or above, by the formula."""
    for scale, text in TABLE.items():
        points = list(zip(map(Decimal, text.split()), map(Decimal, INDEX), strict=False))
        for i, (at, level) in enumerate(points):
            assert sub_index(scale, float(at)) == level, (scale, at)
            for beside in (at - Decimal("0.1"), at + Decimal("0.1"), at - 1, at + 1):
                if beside < 0:
                    continue
                parts = unrounded(scale, Fraction(beside))
                found = None if parts is None else Fraction(*parts)
                if beside > points[-1][0]:
                    assert found == (None if len(points) < 8 else 500)
                    continue
                low, high = (points[i - 1], points[i]) if beside < at else (points[i], points[i + 1])
                rise = Fraction(high[1] - low[1]) / Fraction(high[0] - low[0])
                expected = Fraction(low[1]) + rise * Fraction(beside - low[0])
                assert found == expected, (scale, beside)
                assert sub_index(scale, float(beside)) == int(expected + Fraction(1, 2))


def test_at_every_breakpoint_and_just_beside_it():
    check_breakpoints()


@pytest.mark.parametrize("scale", list(BREAKPOINTS))
@pytest.mark.parametrize("by", [-1, 1])
def test_control_a_breakpoint_moved_by_one_is_caught(scale, by, monkeypatch):
    for i in range(1, len(BREAKPOINTS[scale])):
        moved = list(BREAKPOINTS[scale])
        moved[i] += by
        monkeypatch.setitem(vn_aqi.BREAKPOINTS, scale, tuple(moved))
        with pytest.raises(AssertionError):
            check_breakpoints()


def test_levels_are_the_decisions():
    assert list(LEVELS) == INDEX


@pytest.mark.parametrize(
    "scale, value, index",
    [
        ("PM2.5", 65, 125),  # half-way 50..80: 100 + 50/2
        ("PM10", 385, 250),  # half-way 350..420
        ("SO2", 950, 219),  # 200 + 100 x 150/800 = 218.75
        ("NO2", 3475, 450),  # half-way 3100..3850
        ("CO", 5000, 25),
        ("O3", 600, 250),
        ("O3 8h", 305, 250),
        ("SO2", 3.75, 2),  # 1.5: a half goes up
        ("O3", 4.8, 2),  # 4.8 x 50/160 is 1.5, although the nearest binary number is below
        ("PM2.5", 20.25, 41),
    ],
)
def test_between_breakpoints_and_halves(scale, value, index):
    assert sub_index(scale, value) == index


def test_o3_of_eight_hours_above_400_has_no_index():
    """The index of one hour decides then: 420 -> 200 + 100 x 20/400 = 205."""
    assert sub_index("O3 8h", 400) == 300
    found = daily({"O3": [420.0] * 24, "PM2.5": [10.0] * 24}, {"O3": [420.0] * 7})
    assert found.sub == {"PM2.5": 20, "O3": 205}
    assert (found.value, found.deciding) == (205, "O3")
    assert found.missing == ("O3: no index of 8 hours above 400 µg/m³",)


def test_o3_takes_the_larger_of_its_two():
    """150 all day: 1 h 150 x 50/160 = 46.9; 8 h 100 + 50 x 30/50 = 130."""
    found = daily({"O3": [150.0] * 24, "PM2.5": [10.0] * 24})
    assert (found.sub["O3"], found.sub["O3 8h"], found.value, found.deciding) == (47, 130, 130, "O3 8h")


# NowCast --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "low, value",
    [
        # Newest 100, all others `low`. Ratio 0.5 and below: sum of (1/2)^i c_i = 50 + low x (1/2 - 1/4096).
        (50.0, 50 + 50 * (0.5 - 1 / 4096)),
        (49.9, 50 + 49.9 * (0.5 - 1 / 4096)),
        (10.0, 50 + 10 * (0.5 - 1 / 4096)),
        # Ratio 0.501: w = 0.501; (100 + 50.1 (w + .. + w^11)) / (1 + .. + w^11), geometric sums
        (50.1, (100 + 50.1 * 0.501 * (1 - 0.501**11) / 0.499) / ((1 - 0.501**12) / 0.499)),
        (100.0, 100.0),
    ],
)
def test_ratio_at_and_beside_a_half(low, value):
    found = nowcast([100.0] + [low] * 11)
    assert found is not None
    assert float(found.value) == pytest.approx(value, rel=1e-12)
    assert found.weight == max(Fraction(1, 2), Fraction(str(low)) / 100)


@pytest.mark.parametrize("there", [(1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_two_of_the_newest_three_are_enough(there):
    assert nowcast([30.0 if flag else None for flag in there] + [None] * 9) is not None


@pytest.mark.parametrize("there", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)])
def test_one_of_the_newest_three_is_not(there):
    hours = [30.0 if flag else None for flag in there] + [30.0] * 9
    assert nowcast(hours) is None
    assert hourly({"PM10": hours}).missing[0] == "PM10: fewer than 2 of the newest 3 hours"


def test_missing_hours_lose_their_weight():
    """40 and 30 an hour apart, w = 3/4: (40 + 30 x 9/16) / (1 + 9/16) = 56.875 / 1.5625 = 36.4."""
    found = nowcast([40.0, None, 30.0])
    assert found is not None and (found.value, found.missing) == (Fraction(364, 10), 10)


def test_a_sum_that_is_not_divided_says_so():
    """Weight 1/2, second hour missing: 100/2 + 10/8 = 51.25, as the decision writes it."""
    hours = [100.0, None, 10.0]
    found = nowcast(hours)
    assert found is not None and float(found.value) == 51.25
    assert hourly({"PM10": hours}).missing == ("PM10: 10 of 12 hours, the sum is not divided by the weights",)


def value_of(hours) -> Fraction:
    found = nowcast(hours)
    assert found is not None
    return found.value


def test_odd_figures():
    assert value_of([0.0] * 12) == 0
    assert value_of([-3.0, 0.0, -1.0]) == 0, "below zero is zero"
    assert nowcast([float("nan"), float("inf"), 3.0]) is None
    assert nowcast([]) is None
    long = [10.0] * 12 + [900.0] * 5
    assert value_of(long) == 10, "twelve hours count"


# What is missing ------------------------------------------------------------------------------------------


def test_without_dust_there_is_no_index():
    found = hourly({"O3": [900.0], "PM10": [None, None, 30.0]})
    assert found.value is None and found.rated is None and found.deciding == ""
    assert found.sub == {"O3": 350}
    assert found.missing[-1] == "PM10 or PM2.5, without which there is no VN_AQI"
    assert daily({"SO2": [10.0] * 24}).value is None


def test_a_day_says_what_it_lacks():
    """17 of 24 hours are below three quarters, 18 are not; of eight hours six."""
    short = daily({"PM10": [40.0] * 17 + [None] * 7, "PM2.5": [20.0] * 18})
    assert (short.value, short.sub) == (40, {"PM2.5": 40})
    assert short.missing == ("PM2.5: 6 of 24 hours", "PM10: 7 of 24 hours", "PM10: the mean of 24 hours")
    six = daily({"O3": [80.0] * 6 + [None] * 18, "PM10": [1.0] * 24})
    assert six.sub["O3 8h"] == 40
    five = daily({"O3": [80.0] * 5 + [None] * 19, "PM10": [1.0] * 24})
    assert "O3 8h" not in five.sub and five.sub["O3"] == 25


@pytest.mark.parametrize(
    "value, name", [(50, "Tốt"), (51, "Trung bình"), (100, "Trung bình"), (101, "Kém"), (150, "Kém")]
)
def test_class_is_of_the_rounded_index(value, name):
    dust = {50: 25.0, 51: 25.3, 100: 50.0, 101: 50.5, 150: 80.0}[value]
    found = hourly({"PM2.5": [dust] * 12})
    assert found.value == value and found.rated is not None and found.rated.name.vi == name


# Units ----------------------------------------------------------------------------------------------------


def test_units():
    for unit in ("ug/m3", "µg/m3", "\u03bcg/m3", "µg/Nm3", "UG/M3"):
        assert in_ug_m3(12.5, unit) == 12.5
    assert in_ug_m3(1.1, "mg/m3") == 1100.0
    assert in_ug_m3(None, "mg/Nm3") is None and in_ug_m3(float("nan"), "mg/m3") is None
    with pytest.raises(UnitRefused, match=r"^O3 is in 'ppb', .* Set the analyser to µg/m³"):
        in_ug_m3(40.0, "ppb", "O3")
    with pytest.raises(UnitRefused, match="Give the channel's unit"):
        in_ug_m3(40.0, "")


# Against a slow reference ---------------------------------------------------------------------------------


def slow_index(scale: str, c: Decimal) -> int | None:
    limits = [Decimal(each) for each in TABLE[scale].split()]
    if c > limits[-1]:
        return 500 if len(limits) == 8 else None
    for i in range(len(limits) - 1):
        if limits[i] <= c <= limits[i + 1]:
            step = Decimal(INDEX[i + 1] - INDEX[i]) / (limits[i + 1] - limits[i])
            return int((INDEX[i] + step * (c - limits[i])).quantize(Decimal(1), ROUND_HALF_UP))
    raise AssertionError(c)


def slow_nowcast(hours: list[float | None]) -> Decimal | None:
    figures = [None if each is None else Decimal(str(each)) for each in hours]
    if sum(each is None for each in figures[:3]) > 1:
        return None
    there = [each for each in figures if each is not None]
    w = min(there) / max(there) if max(there) > 0 else Decimal(1)
    top = bottom = Decimal(0)
    if w > Decimal("0.5"):
        for i in range(12):
            if figures[i] is not None:
                top += w**i * figures[i]
                bottom += w**i
        return top / bottom
    for i in range(12):
        if figures[i] is not None:
            top += Decimal("0.5") ** (i + 1) * figures[i]
    return top


def generated(random: Random, top: float, count: int, gaps: float) -> list[float | None]:
    level, found = random.uniform(0, top), []
    for _ in range(count):
        level = min(max(level + random.gauss(0, top / 12), 0), top * 1.1)
        found.append(None if random.random() < gaps else round(level, random.choice((0, 1, 3))))
    return found


def compare(seed: int) -> int:
    """Hours and days of a generated week; how many sub-indices were compared."""
    random, compared = Random(seed), 0
    tops = {name: float(TABLE[name].split()[random.choice((1, 3, 6))]) for name in vn_aqi.PARAMETERS}
    gaps = random.choice((0.0, 0.05, 0.3))
    series = {name: generated(random, tops[name], 48, gaps) for name in vn_aqi.PARAMETERS}
    with localcontext() as context:
        context.prec = 60
        for hour in range(12, 48):
            newest = {name: series[name][hour::-1][:12] for name in series}
            expected = {}
            for name in ("PM2.5", "PM10"):
                cast = slow_nowcast(newest[name])
                if cast is not None:
                    expected[name] = slow_index(name, cast)
            for name in ("O3", "NO2", "SO2", "CO"):
                if newest[name][0] is not None:
                    expected[name] = slow_index(name, Decimal(str(newest[name][0])))
            found = hourly(newest)
            assert found.sub == expected, (seed, hour)
            dusty = "PM10" in expected or "PM2.5" in expected
            assert found.value == (max(expected.values()) if dusty else None)
            compared += len(expected)
        day = daily(
            {n: each[24:] for n, each in series.items()}, {n: each[17:24] for n, each in series.items()}
        )
        assert day.sub == slow_day(series), seed
    return compared + len(day.sub)


def slow_day(series: dict[str, list[float | None]]) -> dict[str, int]:
    expected = {}
    for name, hours in series.items():
        there = [Decimal(str(each)) for each in hours[24:] if each is not None]
        if name in ("PM2.5", "PM10"):
            if len(there) >= 18:
                expected[name] = slow_index(name, sum(there) / len(there))
        elif there:
            expected[name] = slow_index(name, max(there))
    means = []
    for end in range(25, 49):
        eight = [Decimal(str(each)) for each in series["O3"][end - 8 : end] if each is not None]
        if len(eight) >= 6:
            means.append(sum(eight) / len(eight))
    if means and slow_index("O3 8h", max(means)) is not None:
        expected["O3 8h"] = slow_index("O3 8h", max(means))
    return expected


def test_equals_a_slow_reference():
    assert sum(compare(seed) for seed in range(40)) > 7000


def test_control_nowcast_without_its_weight_is_caught(monkeypatch):
    monkeypatch.setattr(vn_aqi, "_LESS", Fraction(1))
    with pytest.raises(AssertionError):
        test_equals_a_slow_reference()
    with pytest.raises(AssertionError):
        test_ratio_at_and_beside_a_half(10.0, 50 + 10 * (0.5 - 1 / 4096))


def test_control_a_breakpoint_moved_is_caught_by_the_reference(monkeypatch):
    for scale in BREAKPOINTS:
        limits = BREAKPOINTS[scale]
        monkeypatch.setitem(vn_aqi.BREAKPOINTS, scale, (*limits[:2], limits[2] + 1, *limits[3:]))
    with pytest.raises(AssertionError):
        test_equals_a_slow_reference()
