"""gateway/alert_levels.py, warnings, hysteresis, coverage of exceedances: examples by hand, random series."""

from __future__ import annotations

from random import Random

import pytest

from gateway import alert_levels as module
from gateway.alert_levels import Levels, shows, warns
from gateway.alert_states import EXCEEDS, NEAR, WITHIN, parse
from gateway.alerts import Alerts
from protocol import quality as q
from tests.gateway.configured import channel, configured
from tests.gateway.feed_rig import LENGTH_MS, window
from tests.gateway.test_provincial import T0

COD = 'limits = { max = 75.0, basis = "permit" }'


def at(i: int, value: float | None, quality: int = q.OK, revision: int = 1, symbol: str = "COD"):
    return window(symbol, T0 + i * LENGTH_MS, value, quality, revision)


def play(alerts: Alerts, *windows) -> list[tuple[str, str, int]]:
    """(rule, what is said, number of the window since which)."""
    said = [alert for each in windows for alert in alerts.closed([each])]
    return [(alert.rule, alert.said, (alert.since_ms - T0) // LENGTH_MS) for alert in said]


def test_levels_by_hand():
    """75 x 0.8 = 60; 6 + 6 x 0.2 = 7.2; pH 6 to 9: a fifth of 3 is 0.6, half at each end; -5 - 1 = -6."""
    assert Levels(None, 75.0).inner(0.8) == Levels(None, 60.0)
    assert Levels(6.0, None).inner(0.8) == Levels(7.2, None)
    assert Levels(6.0, 9.0).inner(0.8) == Levels(6.3, 8.7)
    assert Levels(None, -5.0).inner(0.8) == Levels(None, -6.0)
    assert Levels(None, 74.25).inner(0.8) == Levels(None, 59.4)
    assert Levels(6.0, 9.0).inner(1.0) == Levels(6.0, 9.0)


@pytest.mark.parametrize(
    ("value", "limit", "warning"),
    [
        (57.0, WITHIN, WITHIN), (57.01, WITHIN, NEAR), (60.0, WITHIN, NEAR), (60.01, WITHIN, EXCEEDS),
        (71.25, WITHIN, EXCEEDS), (71.26, NEAR, EXCEEDS), (75.0, NEAR, EXCEEDS), (75.01, EXCEEDS, NEAR),
    ],
)  # fmt: skip
def test_what_a_value_shows_at_each_edge(value, limit, warning):
    """Limit 75: ends at 71.25 = 0.95 x 75. Warning 60: ends at 57 = 0.95 x 60."""
    assert shows(Levels(None, 75.0), value, 0.95) == limit
    assert warns(Levels(None, 75.0), value, 0.8, 0.95)[0] == warning


def test_a_least_value_and_a_range_mirror_it():
    """DO at least 6: warned below 7.2, which ends at 7.2 + 0.36 = 7.56. pH: 6.3 and 8.7, ends 0.06 within."""
    oxygen, ph = Levels(6.0, None), Levels(6.0, 9.0)
    assert [warns(oxygen, v, 0.8, 0.95)[0] for v in (5.9, 7.19, 7.2, 7.55, 7.57)] == [
        NEAR, EXCEEDS, NEAR, NEAR, WITHIN,
    ]  # fmt: skip
    assert [warns(ph, v, 0.8, 0.95)[0] for v in (6.29, 6.31, 7.5, 8.65, 8.71)] == [
        EXCEEDS, NEAR, WITHIN, NEAR, EXCEEDS,
    ]  # fmt: skip


@pytest.fixture
def alerts(tmp_path):
    return Alerts(configured(tmp_path, channel("COD", "mg/l", 2, COD)).channel)


def test_a_warning_before_and_after_the_limit(alerts):
    values = [50.0, 62.0, 59.0, 76.0, 74.0, 70.0, 58.0, 56.0, 76.0, 10.0]
    assert play(alerts, *(at(i, value) for i, value in enumerate(values))) == [
        ("near", "raised", 1), ("limit", "raised", 3), ("limit", "cleared", 3), ("near", "cleared", 1),
        ("limit", "raised", 8), ("limit", "cleared", 8),
    ]  # fmt: skip


def test_a_warning_carries_the_window_and_its_level(alerts):
    (warning,) = alerts.closed([at(0, 62.004)])
    assert (warning.rule, warning.basis, warning.windows[0][3:5]) == ("near", "permit", (62.0, 60.0))


def test_an_instruments_own_fault_lasts_until_a_window_is_good(alerts):
    rows = [
        at(0, None, q.FAULT),
        at(1, None, q.TIMEOUT),
        at(2, 5.0, q.CALIBRATING),
        at(3, 5.0),
        at(4, 1.0, q.TIMEOUT),
    ]
    assert play(alerts, *rows) == [("instrument fault", "raised", 0), ("instrument fault", "cleared", 0)]


FLAPPING = [76.0 if i % 2 else 74.0 for i in range(40)]


def told_of_flapping(folder, more: str) -> int:
    config = configured(folder, channel("COD", "mg/l", 2, COD.replace(" }", f", warn_share = 1.0{more} }}")))
    return len(play(Alerts(config.channel), *(at(i, value) for i, value in enumerate(FLAPPING))))


def test_an_alert_does_not_flap(tmp_path):
    assert told_of_flapping(tmp_path, "") == 1


def test_control_without_hysteresis_it_flaps(tmp_path):
    assert told_of_flapping(tmp_path, ", clear_share = 1.0") == 39


def test_control_a_warning_flaps_as_well_without_it(tmp_path, monkeypatch):
    values = [at(i, 60.5 if i % 2 else 59.5) for i in range(40)]
    config = configured(tmp_path, channel("COD", "mg/l", 2, COD))
    assert len(play(Alerts(config.channel), *values)) == 1
    monkeypatch.setattr(module.Levels, "inner", lambda self, share: Levels(None, 60.0))
    assert len(play(Alerts(config.channel), *values)) == 39


# Random series ----------------------------------------------------------------------------------------------


def series(seed: int, count: int = 250) -> list:
    """Windows as they close, wandering around the limit, with gaps and late revisions."""
    random, found, revisions, value = Random(seed), [], {}, 70.0
    for i in range(count):
        value = min(110.0, max(20.0, value + random.uniform(-9, 9)))
        found.append(at(i, value, random.choice([q.OK, q.OK, q.OK, q.TIMEOUT, q.CALIBRATING, q.FAULT])))
        if random.random() < 0.25:
            j = random.randrange(max(0, i - 15), i + 1)
            revisions[j] = revisions.get(j, 1) + 1
            found.append(at(j, random.uniform(60, 90), revision=revisions[j]))
    return found


def figure(row) -> float | None:
    """What is sent of it, as the reference has it: two decimals of what is valid."""
    return float(f"{row.value:.2f}") if row.quality == q.OK else None


def times_told(told) -> list[int]:
    """`told`: each window with what was said of it. For each that exceeds: how many alerts cover it then, by
    what was said alone. A late one right behind a time that was told belongs to it.
    """
    spans, found, newest = [], [], -1
    for row, said in told:
        for alert in said:
            if alert.said == "raised":
                spans.append([alert.since_ms, 1 << 62])
            elif alert.said == "cleared":
                spans[[end for _, end in spans].index(1 << 62)][1] = alert.windows[0].start_ms
            elif alert.said == "past":
                spans.append([alert.since_ms, alert.since_ms + LENGTH_MS])
        late, newest = row.start_ms < newest, max(newest, row.start_ms)
        value = figure(row)
        if value is None or value <= 75.0:
            continue
        cover = [span for span in spans if span[0] <= row.start_ms < span[1]]
        if late and not cover:
            cover = [span for span in spans if span[1] == row.start_ms][:1]
            for span in cover:
                span[1] += LENGTH_MS
        found.append(len(cover))
    return found


def run(folder, rows, restart: Random | None = None):
    """Each window with what is said of it."""
    channels = configured(folder, channel("COD", "mg/l", 2, COD)).channel
    alerts, said, newest = Alerts(channels), [], {}
    for row in rows:
        if restart is not None and restart.random() < 0.2:
            learned = [found for _, told in said for alert in told if (found := parse(alert.event()))]
            alerts = Alerts(channels, learned, newest)
        said.append((row, alerts.closed([row])))
        newest["COD"] = max(newest.get("COD", 0), row.start_ms)
    return said


def of_the_limit(told, *left_out: str):
    return [(row, [a for a in said if a.rule == "limit" and a.said not in left_out]) for row, said in told]


@pytest.mark.parametrize("seed", range(40))
def test_every_exceedance_of_a_sent_figure_is_covered_by_exactly_one_alert(tmp_path, seed):
    told = times_told(of_the_limit(run(tmp_path, series(seed))))
    assert len(told) > 20 and set(told) == {1}


def test_control_a_late_window_that_is_not_told_is_caught(tmp_path):
    for seed in range(8):
        assert set(times_told(of_the_limit(run(tmp_path, series(seed)), "past"))) == {0, 1}


def test_control_a_limit_that_is_a_little_off_is_caught(tmp_path, monkeypatch):
    off = lambda levels, value, share: EXCEEDS if value > 75.3 else WITHIN  # noqa: E731
    monkeypatch.setattr("gateway.alerts.shows", off)
    assert any(set(times_told(of_the_limit(run(tmp_path, series(seed))))) != {1} for seed in range(8))


@pytest.mark.parametrize("seed", range(20))
def test_restarted_anywhere_the_same_is_said(tmp_path, seed):
    rows = series(seed)
    whole, again = run(tmp_path, rows), run(tmp_path, rows, Random(seed + 100))
    whole, again = ([alert for _, said in told for alert in said] for told in (whole, again))
    steps = [[alert for alert in said if alert.said != "past"] for said in (whole, again)]
    assert steps[0] == steps[1] and {alert.rule for alert in steps[0]} == {
        "limit",
        "near",
        "instrument fault",
    }
    assert {a.since_ms for a in whole if a.said == "past"} <= {a.since_ms for a in again}


def test_control_without_what_was_said_a_restart_says_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.gateway.test_alert_levels.parse", lambda body: None)
    with pytest.raises(AssertionError):
        for seed in range(20):
            test_restarted_anywhere_the_same_is_said(tmp_path, seed)
