# runs on: cpython
"""gateway.chart_page: a channel's columns, thinned beyond a week, from a real journal."""

import asyncio
import json
import math
import random
from collections import defaultdict

import pytest

from gateway import chart_page
from gateway.chart_page import POINTS_MAX, ChartPage, Point, step_of, thinned
from gateway.errors import NotThere
from gateway.zone import DAY_MS, HOUR_MS
from protocol import quality as q
from tests.gateway.feed_rig import LENGTH_MS, config_of, written
from tests.gateway.test_provincial import T0


def station(tmp_path, case):
    async def story():
        config = config_of(tmp_path, "alerts")
        async with written(config) as at:
            page = ChartPage(config, at.journal)

            async def ask(symbol, from_ms=None, to_ms=None):
                return json.loads(await page.ask(symbol, from_ms, to_ms))

            await case(at, ask)

    asyncio.run(story())


def test_each_window_is_a_point_and_what_is_not_valid_says_why(tmp_path):
    async def case(at, ask):
        await at.close(T0, {"COD": 10.123, "pH": 7.0})
        await at.close(T0 + LENGTH_MS, {"COD": 50.0, "pH": 7.0}, quality=q.CALIBRATING)
        await at.close(T0 + 2 * LENGTH_MS, {"COD": None}, quality=q.NO_DATA)
        await at.close(T0 + 3 * LENGTH_MS, {"COD": 12.0, "pH": 7.1})
        await at.close(T0 + 3 * LENGTH_MS, {"COD": 13.0}, revision=2)
        found = await ask("COD")
        assert found["t"] == [T0 + n * LENGTH_MS for n in range(4)]
        assert found["value"] == [10.12, None, None, 13.0], "the newest revision, with the decimals sent"
        assert found["quality"] == ["OK", "CALIBRATING", "NO_DATA", "OK"]
        assert found["step_ms"] == 0 and found["to_ms"] == T0 + 4 * LENGTH_MS
        assert found["from_ms"] == found["to_ms"] - DAY_MS, "the newest day"
        assert (await ask("COD", T0 + LENGTH_MS, T0 + 2 * LENGTH_MS))["t"] == [T0 + LENGTH_MS]
        assert (await ask("Temp"))["t"] == []

    station(tmp_path, case)


def test_limits_and_alerts_stand_in_it(tmp_path):
    async def case(at, ask):
        for n, value in enumerate((10.0, 80.0, 81.0, 10.0, 90.0)):
            await at.close(T0 + n * LENGTH_MS, {"COD": value, "pH": 10.0})
        found = await ask("COD")
        assert found["limits"] == {
            "min": None, "max": 75.0, "warn_min": None, "warn_max": 75.0, "basis": "QCVN 40:2011 A",
        }  # fmt: skip
        over, stands = found["alerts"]
        assert over["rule"] == stands["rule"] == "limit"
        assert over["from_ms"] == T0 + LENGTH_MS and over["to_ms"] is not None
        assert stands["from_ms"] == T0 + 4 * LENGTH_MS and stands["to_ms"] is None
        assert (await ask("COD", T0 - DAY_MS, T0))["alerts"] == []
        assert (await ask("Temp"))["limits"] is None

    station(tmp_path, case)


def test_a_channel_that_is_not_there_is_said_with_those_that_are(tmp_path):
    async def case(at, ask):
        with pytest.raises(NotThere, match="ask for one of COD, pH, Temp"):
            await ask("cod")

    station(tmp_path, case)


def test_an_empty_journal_has_an_empty_chart(tmp_path):
    async def case(at, ask):
        assert (await ask("COD"))["value"] == []

    station(tmp_path, case)


def test_a_step_is_the_shortest_that_holds_the_points():
    assert step_of(7 * DAY_MS, LENGTH_MS) == 0
    assert step_of(POINTS_MAX * LENGTH_MS, LENGTH_MS) == 0
    assert step_of(POINTS_MAX * LENGTH_MS + 1, LENGTH_MS) == HOUR_MS
    assert step_of(100 * DAY_MS, LENGTH_MS) == HOUR_MS
    assert step_of(365 * DAY_MS, LENGTH_MS) == 6 * HOUR_MS
    assert step_of(4000 * DAY_MS, LENGTH_MS) == DAY_MS


def slowly(points, step_ms):
    """The same from the definition: steps of GMT+7, means of what is valid."""
    steps = defaultdict(list)
    for point in points:
        steps[(point.t_ms + 7 * 3_600_000) // step_ms].append(point)
    found = []
    for step in sorted(steps):
        good = [one for one in steps[step] if one.value is not None]
        mean = sum(one.value for one in good) / len(good) if good else None
        found.append((step * step_ms - 7 * 3_600_000, mean, min((one.low for one in good), default=None),
                      max((one.high for one in good), default=None)))  # fmt: skip
    return found


@pytest.mark.parametrize("seed", range(20))
def test_thinned_equals_the_definition(seed):
    chance = random.Random(seed)
    points = []
    for n in sorted(chance.sample(range(288), 200)):
        value = None if chance.random() < 0.3 else chance.uniform(-10, 100)
        span = (None, None) if value is None else (value - 1, value + 1)
        points.append(Point(T0 + n * LENGTH_MS, value, *span, q.OK if value is not None else q.FAULT))
    step_ms = chance.choice(chart_page.STEPS_MS)
    found, expected = thinned(points, step_ms), slowly(points, step_ms)
    assert [(one.t_ms, one.low, one.high) for one in found] == [
        (t, low, high) for t, _, low, high in expected
    ]
    for one, (_, mean, _, _) in zip(found, expected, strict=True):
        assert (one.value is None) == (mean is None) == (one.quality == q.FAULT)
        assert mean is None or math.isclose(one.value or 0.0, mean)


def test_control_a_mean_of_what_is_not_valid_is_found(monkeypatch):
    monkeypatch.setattr(chart_page, "start_of", lambda t, length: t - t % length)  # the grid of UTC
    with pytest.raises(AssertionError):
        for seed in range(20):
            test_thinned_equals_the_definition(seed)
