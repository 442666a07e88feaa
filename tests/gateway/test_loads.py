"""gateway/loads.py: conversions by hand, what is covered, gaps with their reasons, substitutions apart, a
slow reference with exact fractions; controls.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from gateway import loads as module
from gateway.loads import (
    HIGHEST,
    LIMIT,
    MEAN,
    NO_WINDOW,
    Gap,
    UnitRefused,
    kg_factor,
    load,
    series,
    substituted,
    volume,
)
from gateway.spans import Span
from protocol import quality as q
from tests.gateway.windows_made import START_MS, STEP_MS, channel, made

HOUR = 3_600_000


def of(windows: int) -> Span:
    return Span(START_MS, START_MS + windows * STEP_MS)


@pytest.mark.parametrize(
    "flow_unit, unit, kg",
    [
        # of flow 1 and concentration 1 in an hour, by hand:
        ("m3/h", "mg/l", 1e-3),  # 1 m3 at 1 g/m3
        ("l/s", "mg/l", 3.6e-3),  # 3,600 l at 1 mg
        ("m3/day", "mg/l", 1e-3 / 24),
        ("m3/s", "mg/l", 3.6),
        ("m3", "mg/l", 1e-3),  # the meter rose by 1 within the hour
        ("m3/h", "ug/l", 1e-6),
        ("m³/h", "µg/l", 1e-6),
        ("Nm3/h", "mg/Nm3", 1e-6),
        ("Nm3", "mg/Nm3", 1e-6),
        ("m3/h", "mg/m3", 1e-6),
    ],
)
def test_conversions(flow_unit, unit, kg):
    assert kg_factor(flow_unit, unit, HOUR) == pytest.approx(kg, rel=1e-15)
    for_window = kg / 12 if flow_unit not in ("m3", "Nm3") else kg
    assert kg_factor(flow_unit, unit, STEP_MS) == pytest.approx(for_window, rel=1e-15)


@pytest.mark.parametrize(
    "flow_unit, unit, said",
    [
        ("Nm3/h", "mg/m3", "same state of the gas"),
        ("m3/h", "mg/Nm3", "same state of the gas"),
        ("Nm3/h", "ppm", "converted by the analyser"),
        ("m3/h", "", "gives no load"),
        ("m/s", "mg/l", "A flow in 'm/s' is not known"),
    ],
)
def test_units_that_give_no_mass_are_refused(flow_unit, unit, said):
    with pytest.raises(UnitRefused, match=said):
        kg_factor(flow_unit, unit, STEP_MS)


def test_a_worked_hour():
    """12 m3/h at 50 mg/l for an hour: 12 m3 x 50 g/m3 = 600 g; at 100 for 30 minutes more: 600 g."""
    flow = channel("Flow", [12.0] * 18, "m3/h")
    cod = channel("COD", [50.0] * 12 + [100.0] * 6)
    found = load(flow, cod, "COD", of(18), STEP_MS)
    assert found.mass_kg == pytest.approx(1.2, rel=1e-12)
    assert found.volume_m3 == pytest.approx(18.0, rel=1e-12)
    assert (found.covered_ms, found.share, found.gaps) == (18 * STEP_MS, 1.0, ())


def test_a_meter_that_counts():
    """Increases of 0.5 and 1.5 m3 at 40 and 20 mg/l: 20 g + 30 g."""
    found = load(channel("Flow", [0.5, 1.5], "m3"), channel("COD", [40.0, 20.0]), "COD", of(2), STEP_MS)
    assert (found.mass_kg, found.volume_m3) == (pytest.approx(0.05), 2.0)


def test_a_stack():
    """30,000 Nm3/h of dust at 40 mg/Nm3 for a day: 30,000 x 24 x 40 = 28.8e6 mg = 28.8 kg."""
    flow, dust = channel("Flow", [30_000.0] * 288, "Nm3/h"), channel("PM", [40.0] * 288, "mg/Nm3")
    assert load(flow, dust, "PM", of(288), STEP_MS).mass_kg == pytest.approx(28.8, rel=1e-12)


def test_gaps_are_listed_with_their_reasons_and_not_filled():
    flow = channel("Flow", [12.0] * 8, "m3/h")
    cod = channel("COD", [50.0] * 8)
    flow[START_MS + STEP_MS] = made("Flow", 1, None, q.TIMEOUT, "m3/h")
    for i in (2, 3):
        cod[START_MS + i * STEP_MS] = made("COD", i, 48.0, q.CALIBRATING)
    flow[START_MS + 4 * STEP_MS] = made("Flow", 4, None, q.FAULT, "m3/h")
    cod[START_MS + 4 * STEP_MS] = made("COD", 4, 48.0, q.COVERAGE)
    del flow[START_MS + 6 * STEP_MS], cod[START_MS + 6 * STEP_MS]
    del cod[START_MS + 7 * STEP_MS]
    found = load(flow, cod, "COD", of(8), STEP_MS)
    assert [(gap.start_ms, gap.end_ms, gap.why) for gap in found.gaps] == [
        (START_MS + i * STEP_MS, START_MS + j * STEP_MS, why)
        for i, j, why in (
            (1, 2, "Flow: TIMEOUT"),
            (2, 4, "COD: CALIBRATING"),
            (4, 5, "Flow: FAULT; COD: COVERAGE"),
            (6, 7, NO_WINDOW),
            (7, 8, f"COD: {NO_WINDOW}"),
        )
    ]
    assert found.covered_ms == 2 * STEP_MS and found.share == 0.25
    assert found.mass_kg == pytest.approx(2 * 0.05), "the value of a calibrating window counts nowhere"


def test_control_a_load_that_counts_invalid_windows_is_caught(monkeypatch):
    monkeypatch.setattr(module, "_figure", lambda window: window and window.value)
    with pytest.raises(AssertionError):
        test_gaps_are_listed_with_their_reasons_and_not_filled()


def test_only_the_period_counts():
    flow, cod = channel("Flow", [12.0] * 10, "m3/h"), channel("COD", [50.0] * 10)
    inner = Span(START_MS + 3 * STEP_MS, START_MS + 5 * STEP_MS)
    assert load(flow, cod, "COD", inner, STEP_MS).mass_kg == pytest.approx(0.1)
    assert volume(flow, "Flow", inner, STEP_MS).volume_m3 == pytest.approx(2.0)


def test_nothing_at_all():
    found = load({}, {}, "COD", of(3), STEP_MS)
    assert (found.mass_kg, found.share) == (0.0, 0.0)
    assert found.gaps == (Gap(START_MS, START_MS + 3 * STEP_MS, NO_WINDOW),)
    assert load({}, {}, "COD", Span(5, 5), STEP_MS).share == 0.0


def test_the_newest_revision_counts():
    rows = [made("COD", 0, 1.0, revision=2), made("COD", 0, 2.0, revision=3), made("COD", 0, 3.0)]
    for order in (rows, rows[::-1]):
        assert [window.value for window in series(order)["COD"].values()] == [2.0]


def test_a_unit_that_changes_in_mid_life_is_refused():
    cod = channel("COD", [50.0] * 4)
    cod[START_MS + 2 * STEP_MS] = made("COD", 2, 50.0, unit="ug/l")
    with pytest.raises(UnitRefused, match="COD changed its unit from 'mg/l' to 'ug/l'"):
        load(channel("Flow", [1.0] * 4, "m3/h"), cod, "COD", of(4), STEP_MS)


def test_volume_has_gaps_of_its_own():
    flow = channel("Flow", [12.0, None, 12.0], "m3/h")
    found = volume(flow, "Flow", of(4), STEP_MS)
    assert found.volume_m3 == pytest.approx(2.0) and found.share == 0.5
    assert [gap.why for gap in found.gaps] == ["Flow: NO_DATA", f"Flow: {NO_WINDOW}"]


# Substitutions --------------------------------------------------------------------------------------------


def gappy():
    """Flow 12, 24, -, 12 m3/h; COD 50, 100, 60, - mg/l."""
    flow, cod = channel("Flow", [12.0, 24.0, None, 12.0], "m3/h"), channel("COD", [50.0, 100.0, 60.0, None])
    return flow, cod, load(flow, cod, "COD", of(4), STEP_MS)


@pytest.mark.parametrize(
    "method, limit, kg",
    [
        # third window: mean flow 16 x 60; fourth: 12 x mean COD 70; a twelfth of an hour each, g to kg
        (MEAN, None, (16 * 60 + 12 * 70) / 12 / 1000),
        (HIGHEST, None, (24 * 60 + 12 * 100) / 12 / 1000),
        (LIMIT, 75.0, (16 * 60 + 12 * 75) / 12 / 1000),
    ],
)
def test_substitutions_by_hand(method, limit, kg):
    flow, cod, measured = gappy()
    found = substituted(flow, cod, measured, STEP_MS, method, limit)
    assert found.mass_kg == pytest.approx(kg, rel=1e-12)
    assert (found.method, found.filled_ms, found.left_ms) == (method, 2 * STEP_MS, 0)
    assert measured.mass_kg == pytest.approx((12 * 50 + 24 * 100) / 12 / 1000), "the load itself is as it was"


def test_what_nothing_can_stand_for_is_left():
    flow, cod = channel("Flow", [None, None], "m3/h"), channel("COD", [50.0, None])
    found = substituted(flow, cod, load(flow, cod, "COD", of(2), STEP_MS), STEP_MS, MEAN)
    assert (found.mass_kg, found.filled_ms, found.left_ms, found.flow) == (0.0, 0, 2 * STEP_MS, None)


def test_a_substitution_without_a_name_is_refused():
    flow, cod, measured = gappy()
    for method in ("guess", LIMIT):
        with pytest.raises(ValueError, match="is no substitution"):
            substituted(flow, cod, measured, STEP_MS, method)


# A slow reference -----------------------------------------------------------------------------------------


def compare(seed: int) -> None:
    random = Random(seed)
    qualities = [q.OK] * 6 + [q.CALIBRATING, q.TIMEOUT, q.COVERAGE, q.OUT_OF_RANGE]
    rows = [
        made(symbol, i, round(random.uniform(0, 100), 3), random.choice(qualities), unit)
        for symbol, unit in (("Flow", "l/s"), ("COD", "mg/l"))
        for i in range(300)
        if random.random() < 0.9
    ]
    random.shuffle(rows)
    found = series(rows)
    first, last = sorted(random.sample(range(301), 2))
    period = Span(START_MS + first * STEP_MS, START_MS + last * STEP_MS)
    result = load(found["Flow"], found["COD"], "COD", period, STEP_MS)
    mg, litres, covered = Fraction(0), Fraction(0), 0
    for i in range(first, last):
        pair = [w for w in rows if w.start_ms == START_MS + i * STEP_MS and w.status == "00"]
        if len(pair) == 2:
            flow, cod = sorted(pair, key=lambda w: w.symbol == "COD")
            mg += Fraction(flow.value or 0.0) * 300 * Fraction(cod.value or 0.0)
            litres += Fraction(flow.value or 0.0) * 300
            covered += 1
    assert result.mass_kg == pytest.approx(float(mg / 10**6), rel=1e-14)
    assert result.volume_m3 == pytest.approx(float(litres / 1000), rel=1e-14)
    assert result.covered_ms == covered * STEP_MS
    assert (
        result.covered_ms + sum(g.end_ms - g.start_ms for g in result.gaps) == period.end_ms - period.start_ms
    )


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_slow_reference(seed):
    compare(seed)


def test_control_a_wrong_factor_is_caught(monkeypatch):
    monkeypatch.setitem(module._FLOWS, "l/s", module._Flow(3.5, True, False))
    with pytest.raises(AssertionError):
        compare(1)
