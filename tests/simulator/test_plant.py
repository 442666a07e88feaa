"""simulator/plant*.py: the truth and what instruments show of it, as pure functions of seed and time."""

from __future__ import annotations

import itertools
import statistics

import pytest

from protocol import quality as q
from protocol.reading import bits_float, float_bits
from simulator.plant import Plant
from simulator.scenario import Scenario, parse
from simulator.scenario_model import DAY_MS

HOUR_MS = 3_600_000
BEGINS = 1_774_544_400_000  # Friday 2026-03-27 00:00 at GMT+7
HEAD = """
title = "t"
story = "s"
outcome = "o"
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = 20
[[expect]]
what = "nothing lost"
"""


def scenario(*processes: str) -> Scenario:
    return parse(HEAD + "".join(f'[[process]]\nchannel = "COD"\n{one}\n' for one in processes))


def plant(*processes: str, seed: int = 1) -> Plant:
    return Plant(scenario(*processes), seed)


def at(hours: float) -> int:
    return BEGINS + round(hours * HOUR_MS)


CALM = plant()


def change(other: Plant, hours: float) -> float:
    """What a process adds to the truth."""
    return other.value("COD", at(hours)) - CALM.value("COD", at(hours))


def factor(other: Plant, hours: float) -> float:
    return other.value("COD", at(hours)) / CALM.value("COD", at(hours))


def shown(other: Plant, hours: float) -> float:
    value, _ = other.reading("COD", at(hours))
    assert value is not None
    return value


EVERYTHING = (
    'what = "weekly"\nsize = 0.7',
    'what = "rain"\nsize = 0.6\nat = "1d 06:00"\nfor = "5h"',
    'what = "upset"\nsize = 40.0\nat = "2d"\nfor = "10h"',
    'what = "batch"\nsize = 30.0\nat = "3d 02:00"\nfor = "1h"\nevery = "1d"',
    'what = "drift"\nsize = 1.5\nat = "1d"\nfor = "6d"',
    'what = "fouling"\nsize = 0.03\nevery = "7d"',
    'what = "bubbles"\nsize = 25.0\nat = "4d"\nfor = "1d"',
    'what = "frozen"\nat = "5d"\nfor = "8h"',
    'what = "fault"\nat = "6d"\nfor = "1h"',
    'what = "standard"\nsize = 100.0\nat = "6d 02:00"\nfor = "1h"\nsays = true',
    'what = "dilution"\nsize = 0.5\nat = "8d"\nfor = "1d"',
    'what = "clamp"\nsize = 45.0\nat = "10d"\nfor = "1d"',
    'what = "replay"\nsize = 1\nat = "12d"\nfor = "1d"',
)


def test_a_run_replays_in_any_order_and_another_seed_is_another_run():
    times = [BEGINS + i * 1_700_000 for i in range(900)]
    one, other = plant(*EVERYTHING), plant(*EVERYTHING)
    forwards = [(one.value("COD", t), one.reading("COD", t)) for t in times]
    backwards = [(other.value("COD", t), other.reading("COD", t)) for t in reversed(times)]
    assert forwards == backwards[::-1]
    third = plant(*EVERYTHING, seed=2)
    assert [third.reading("COD", t) for t in times] != [found[1] for found in forwards]
    fourth = Plant(scenario(*EVERYTHING), 1, number=1)
    assert [fourth.reading("COD", t) for t in times] != [found[1] for found in forwards]


def test_without_anything_the_instrument_shows_the_truth_and_its_noise():
    differences = [
        shown(CALM, hours) - CALM.value("COD", at(hours) - at(hours) % 300_000) for hours in range(400)
    ]
    assert abs(statistics.fmean(differences)) < 0.2  # COD's noise is 1 mg/l
    assert 0.8 < statistics.pstdev(differences) < 1.2
    assert all(CALM.reading(channel, at(5))[1] == q.OK for channel in CALM.channels)


def test_what_is_shown_is_float32_and_changes_at_the_instruments_own_pace():
    values = [shown(CALM, minutes / 60) for minutes in range(60)]
    assert all(bits_float(float_bits(value)) == value for value in values)
    assert len(set(values)) == 12  # COD gives one figure in five minutes
    assert all(len(set(values[i : i + 5])) == 1 for i in range(0, 60, 5))


def test_rain_comes_and_goes():
    rain = plant('what = "rain"\nsize = 0.6\nat = "1d 06:00"\nfor = "5h"')
    assert factor(rain, 29.9) == factor(rain, 35.1) == 1
    assert factor(rain, 32) == pytest.approx(0.6)
    assert 0.6 < factor(rain, 30.5) < 1 and 0.6 < factor(rain, 34.5) < 1


def test_weekends_differ_without_a_jump():
    weekly = plant('what = "weekly"\nsize = 0.7')
    days = [factor(weekly, 24 * day + 12) for day in range(7)]  # Friday to Thursday, noon
    assert days == pytest.approx([1, 0.7, 0.7, 1, 1, 1, 1])
    steps = [factor(weekly, 6 * minutes / 60) for minutes in range(7 * 240)]
    assert max(abs(b - a) for a, b in itertools.pairwise(steps)) < 0.02


def test_an_upset_is_a_hump_and_a_batch_mixes():
    upset = plant('what = "upset"\nsize = 40.0\nat = "2d"\nfor = "10h"')
    assert change(upset, 53) == pytest.approx(40) and change(upset, 48) == change(upset, 58) == 0
    batch = plant('what = "batch"\nsize = 30.0\nat = "3d 02:00"\nfor = "2h"\nmix = "20min"\nevery = "1d"')
    for day in (3, 4):
        assert change(batch, 24 * day + 2) == pytest.approx(0, abs=1e-9)
        assert change(batch, 24 * day + 2 + 1 / 3) == pytest.approx(30 * (1 - 1 / 2.718281828), rel=1e-6)
        assert change(batch, 24 * day + 3.99) == pytest.approx(30, rel=0.01)
        assert 0 < change(batch, 24 * day + 4.5) < 10
        assert change(batch, 24 * day + 8) == 0


def test_drift_and_dirt_are_the_instruments_own_and_end_when_it_is_seen_to():
    drift = plant('what = "drift"\nsize = 1.5\nat = "1d"\nfor = "6d"')
    assert change(drift, 100) == 0
    assert shown(drift, 24 * 6) - shown(CALM, 24 * 6) == pytest.approx(7.5, abs=1e-4)
    assert shown(drift, 24 * 7.1) == shown(CALM, 24 * 7.1)
    dirt = plant('what = "fouling"\nsize = 0.03\nevery = "7d"')
    clean, dirty = plant(), dirt
    for day in (6, 13):
        true = clean.value("COD", at(24 * day)) * 0.97**6
        assert dirty.reading("COD", at(24 * day))[0] == pytest.approx(
            true + shown(clean, 24 * day) - clean.value("COD", at(24 * day)), rel=1e-5
        )


def test_bubbles_hit_single_readings():
    bubbles = plant('what = "bubbles"\nsize = 25.0\nat = "1d"\nfor = "10d"\nprobability = 0.3')
    hits = [shown(bubbles, 24 + n / 12) - shown(CALM, 24 + n / 12) for n in range(2000)]
    share = sum(hit > 1 for hit in hits) / len(hits)
    assert 0.25 < share < 0.35
    assert all(abs(hit) < 1e-4 or 12.4 <= hit <= 25.1 for hit in hits)
    assert all(change(bubbles, 24 + n / 12) == 0 for n in range(100))


def test_frozen_faulty_and_in_a_standard():
    frozen = plant('what = "frozen"\nat = "5d 01:02"\nfor = "8h"')
    values = {shown(frozen, 24 * 5 + 1.05 + n / 20) for n in range(150)}
    assert values == {shown(CALM, 24 * 5 + 1)}
    fault = plant('what = "fault"\nat = "6d"\nfor = "1h"')
    assert fault.reading("COD", at(144.5))[1] == q.FAULT and fault.reading("COD", at(145.5))[1] == q.OK
    for says, quality in (("true", q.CALIBRATING), ("false", q.OK)):
        gas = plant(f'what = "standard"\nsize = 100.0\nat = "6d"\nfor = "1h"\nsays = {says}')
        value, found = gas.reading("COD", at(144.5))
        assert found == quality and value == pytest.approx(100, abs=5)
        assert change(gas, 144.5) == 0


def test_beyond_what_the_instrument_can_show_it_says_so():
    step = plant('what = "step"\nsize = 100000.0\nat = "2d"')
    assert step.reading("COD", at(47))[1] == q.OK
    assert step.reading("COD", at(49))[1] in (q.OK, q.OUT_OF_RANGE)
    value, quality = plant('what = "drift"\nsize = 1000000.0\nat = "1d"').reading("COD", at(240))
    assert quality == q.OUT_OF_RANGE and value is not None


def test_cheats_change_what_is_shown_and_not_what_is_there():
    diluted = plant('what = "dilution"\nsize = 0.5\nat = "8d"\nfor = "1d"')
    noise = shown(CALM, 200) - CALM.value("COD", at(200))
    assert shown(diluted, 200) == pytest.approx(CALM.value("COD", at(200)) / 2 + noise, rel=1e-5)
    clamped = plant('what = "clamp"\nsize = 38.0\nat = "8d"\nfor = "1d"')
    assert {shown(clamped, 192 + n / 10) <= 38.0 for n in range(240)} == {True}
    assert any(shown(clamped, 192 + n / 10) == 38.0 for n in range(240))
    replay = plant('what = "replay"\nsize = 2\nat = "8d"\nfor = "1d"')
    assert [shown(replay, 200 + n) for n in range(10)] == [shown(CALM, 152 + n) for n in range(10)]
    for cheat in (diluted, clamped, replay):
        assert change(cheat, 200) == 0


def test_the_mean_is_of_the_truth():
    step = plant('what = "step"\nsize = 10.0\nat = "2d"')
    calm = CALM.mean("COD", at(47), at(49))
    assert step.mean("COD", at(47), at(49)) == pytest.approx(calm + 5, abs=0.01)


def test_an_effect_works_for_its_channel_only():
    upset = plant('what = "upset"\nsize = 40.0\nat = "2d"\nfor = "10h"')
    for channel in upset.channels:
        if channel != "COD":
            assert upset.reading(channel, at(53)) == CALM.reading(channel, at(53))
    assert DAY_MS == 24 * HOUR_MS
