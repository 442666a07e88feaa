# runs on: cpython
"""gateway.index_now: the index of the newest hour or day is the one that the report says of it."""

import asyncio
from types import SimpleNamespace

import pytest

from gateway import index_now
from gateway.index_now import IndexNow, air, water
from gateway.indices import vn_aqi, vn_wqi
from gateway.zone import DAY_MS, HOUR_MS, day_of
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.feed_rig import LENGTH_MS, Written, window
from tests.gateway.test_provincial import T0

HOUR = T0 - T0 % HOUR_MS
AIR = [SimpleNamespace(symbol=symbol, unit=unit) for symbol, unit in
       (("PM2.5", "µg/m3"), ("PM10", "ug/m3"), ("CO", "mg/m3"), ("SO2", "ppb"))]  # fmt: skip


def hour(symbol, back, value, quality=q.OK):
    return window(symbol, HOUR - back * HOUR_MS, value, quality, length_ms=HOUR_MS)


def test_air_is_rated_as_the_tables_say():
    means = [hour("PM2.5", n, 30.0) for n in range(12)] + [hour("CO", 0, 2.0), hour("SO2", 0, 500.0)]
    found = air(AIR, means, HOUR)
    expected = vn_aqi.hourly({"PM2.5": [30.0] * 12, "PM10": [None] * 12, "CO": [2000.0] + [None] * 11})
    assert found is not None and (found.value, found.deciding) == (expected.value, "PM2.5")
    # 30 of PM2.5 lies between 25 (50) and 50 (100): 50 + 50 x 5/25 = 60, "Trung bình".
    assert (found.value, found.label.vi, found.start_ms) == (60, "Trung bình", HOUR)


def test_what_is_not_valid_is_not_there():
    means = [hour("PM2.5", n, 30.0, q.OK if n > 2 else q.FAULT) for n in range(12)]
    assert air(AIR, means, HOUR) is None, "of the newest three hours two have to be there"
    assert air(AIR, [], HOUR) is None and air([], [], HOUR) is None


def test_water_is_rated_as_the_tables_say():
    units = {"pH": "", "DO": "mg/l", "Temp": "oC", "COD": "mg/l", "NH4": "mg/l", "As": "ug/l"}
    channels = [SimpleNamespace(symbol=symbol, unit=unit) for symbol, unit in units.items()]
    day = day_of(T0)
    shown = {"pH": 7.2, "DO": 6.0, "Temp": 25.0, "COD": 9.0, "NH4": 0.2, "As": 4.0}
    means = [window(symbol, day, value, length_ms=DAY_MS) for symbol, value in shown.items()]
    means.append(window("COD", day - DAY_MS, 500.0, length_ms=DAY_MS))
    expected = vn_wqi.quality({**shown, "As": 0.004})
    found = water(channels, means, day)
    assert expected.value is not None and found is not None
    assert (found.value, found.deciding, found.length_ms) == (expected.value, expected.deciding, DAY_MS)


def station(tmp_path, case, kind="ambient-air"):
    async def story():
        config = configured(tmp_path, channel("PM2.5", "ug/m3", 2) + channel("PM10", "ug/m3", 2))
        config = config.model_copy(update={"station": config.station.model_copy(update={"kind": kind})})
        at = await Written(config).open()
        try:
            await case(at, IndexNow(config, at.journal, lambda: at.now_ms))
        finally:
            await at.journal.close()

    asyncio.run(story())


async def lived(at, hours, value=30.0):
    for start_ms in range(HOUR, HOUR + hours * HOUR_MS, LENGTH_MS):
        await at.close(start_ms, {"PM2.5": value, "PM10": value})


def test_from_a_journal_the_newest_whole_hour(tmp_path):
    async def case(at, index):
        await index.look()
        assert index.newest is None
        await lived(at, 3)
        at.now_ms = HOUR + 3 * HOUR_MS + index_now.SETTLE_MS
        await index.look()
        assert index.newest is not None and index.newest.start_ms == HOUR + 2 * HOUR_MS
        assert index.newest.value == 60 and index.newest.deciding == "PM2.5"
        at.now_ms += 3 * HOUR_MS
        assert index.newest is None, "it is old"

    station(tmp_path, case)


def test_the_hour_is_not_taken_before_its_last_window_can_be_there(tmp_path):
    async def case(at, index):
        await lived(at, 3)
        at.now_ms = HOUR + 3 * HOUR_MS + index_now.SETTLE_MS - 1
        await index.look()
        assert index.newest is not None and index.newest.start_ms == HOUR + HOUR_MS

    station(tmp_path, case)


@pytest.mark.parametrize("kind", ["wastewater", "stack", "groundwater"])
def test_other_stations_have_none(tmp_path, kind):
    async def case(at, index):
        await lived(at, 3)
        at.now_ms = HOUR + 4 * HOUR_MS
        await index.look()
        assert index.newest is None

    station(tmp_path, case, kind)
