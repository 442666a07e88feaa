"""gateway/loads_columns.py and fees.of_loads(): what loads.py and fees.py say of Windows; controls."""

from __future__ import annotations

from array import array
from random import Random

import pytest

from gateway import fees, loads
from gateway import loads_columns as module
from gateway.columns import Columns, none_of
from gateway.loads_columns import Flow, Product
from gateway.spans import Quarter, Span, quarter_of
from protocol import quality as q
from tests.gateway.windows_made import START_MS, STEP_MS, made

QUALITIES = (q.OK,) * 12 + (q.CALIBRATING, q.TIMEOUT, q.NO_DATA)
COUNT = 3 * 288


def columns_of(series: dict, symbol: str, unit: str) -> Columns:
    """The columns of Window objects by their start."""
    rows = [series[ms] for ms in sorted(series)]
    good = [row for row in rows if row.status == "00" and row.value is not None]
    bad = [row for row in rows if row not in good]
    return Columns(
        symbol, unit, array("q", [row.start_ms for row in good]), array("d", [row.value for row in good]),
        array("q", [row.start_ms for row in bad]), array("b", [row.quality for row in bad]),
    )  # fmt: skip


def windows(chance: Random, symbol: str, unit: str, gaps: float) -> dict:
    found = {}
    quality = q.OK
    for i in range(-5, COUNT + 5):
        if chance.random() < gaps:
            continue
        if chance.random() < gaps * 3:
            quality = chance.choice(QUALITIES)
        row = made(symbol, i, None if quality == q.NO_DATA else chance.gauss(40, 9), quality, unit)
        found[row.start_ms] = row
    return found


def periods(chance: Random) -> list[Span]:
    whole = Span(START_MS, START_MS + COUNT * STEP_MS)
    cuts = sorted(chance.sample(range(COUNT), 2))
    return [
        whole,
        Span(START_MS + cuts[0] * STEP_MS, START_MS + cuts[1] * STEP_MS),
        Span(START_MS, START_MS),
    ]


def differences(seed: int) -> list[str]:
    """Where the two ways of computing differ."""
    chance = Random(seed)
    gaps = (0.0, 0.02, 0.5)[seed % 3]
    flow, cod = windows(chance, "Flow", "m3/h", gaps), windows(chance, "COD", "mg/l", gaps)
    by_columns = Flow(columns_of(flow, "Flow", "m3/h"), STEP_MS)
    product = Product(by_columns, columns_of(cod, "COD", "mg/l"))
    found = []
    for period in periods(chance):
        if product.load(period) != loads.load(flow, cod, "COD", period, STEP_MS):
            found.append(f"load {period}")
        if by_columns.volume(period) != loads.volume(flow, "Flow", period, STEP_MS):
            found.append(f"volume {period}")
    return found


@pytest.mark.parametrize("seed", range(9))
def test_the_same_figures_and_gaps_as_from_windows(seed):
    assert differences(seed) == []


def test_control_a_product_shifted_by_a_window_is_found(monkeypatch):
    slow = module._on_grid

    def shifted(columns, step_ms):
        starts, values = slow(columns, step_ms)
        return starts, values if columns.symbol == "Flow" else values[1:] + values[:1]

    monkeypatch.setattr(module, "_on_grid", shifted)
    assert differences(1) != []


def test_control_gaps_that_forget_their_end_are_found(monkeypatch):
    whole = module.gaps_of
    monkeypatch.setattr(module, "gaps_of", lambda *arguments: whole(*arguments)[:-1])
    assert differences(1) != []


def test_by_hand():
    """12 windows of 5 minutes at 60 m3/h are 60 m3; 100 mg/l of it 6 kg; the half of it without COD 3 kg."""
    hour = Span(START_MS, START_MS + 12 * STEP_MS)
    flow = {(row := made("Flow", i, 60.0, unit="m3/h")).start_ms: row for i in range(12)}
    cod = {(row := made("COD", i, 100.0)).start_ms: row for i in range(6)}
    load = Product(Flow(columns_of(flow, "Flow", "m3/h"), STEP_MS), columns_of(cod, "COD", "mg/l")).load(hour)
    assert load.mass_kg == pytest.approx(3.0, rel=1e-12)
    assert (load.covered_ms, load.share) == (6 * STEP_MS, 0.5)
    assert [(gap.start_ms, gap.end_ms, gap.why) for gap in load.gaps] == [
        (START_MS + 6 * STEP_MS, START_MS + 12 * STEP_MS, "COD: no window")
    ]


def test_windows_off_the_grid_do_not_count():
    odd = Columns("Flow", "m3/h", array("q", [START_MS + 60_000]), array("d", [60.0]), array("q"), array("b"))
    assert Flow(odd, STEP_MS).volume(Span(START_MS, START_MS + STEP_MS)).covered_ms == 0


def test_units_that_give_no_mass_are_refused():
    with pytest.raises(loads.UnitRefused):
        Flow(none_of("Flow", "m"), STEP_MS)
    with pytest.raises(loads.UnitRefused):
        Product(Flow(none_of("Flow", "m3/h"), STEP_MS), none_of("SO2", "mg/Nm3"))


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("decree", [fees.WASTEWATER, fees.EMISSION])
def test_a_draft_from_loads_is_that_from_windows(decree, monitored):
    chance = Random(5)
    channels = {"Flow": windows(chance, "Flow", "m3/h", 0.02), "COD": windows(chance, "COD", "mg/l", 0.02)}
    quarter, rates = quarter_of(START_MS), {"COD": 2000.0, "TSS": 2400.0}
    assert quarter == Quarter(2026, 1)
    slow = fees.wastewater if decree == fees.WASTEWATER else fees.emission
    wanted = slow(channels, "Flow", rates, quarter, STEP_MS, monitored=monitored)
    flow = Flow(columns_of(channels["Flow"], "Flow", "m3/h"), STEP_MS)
    load = Product(flow, columns_of(channels["COD"], "COD", "mg/l")).load(quarter.period)
    volume = flow.volume(quarter.period)
    mine = fees.of_loads(decree, volume, {"COD": load}, rates, quarter, monitored=monitored)
    # what a parameter that was not measured lacks is told once, by its sentence in `missing`
    plain = [(line.load.symbol, line.load.mass_kg, line.load.share, line.fee_vnd) for line in mine.lines]
    assert plain == [
        (each.load.symbol, each.load.mass_kg, each.load.share, each.fee_vnd) for each in wanted.lines
    ]
    assert mine._replace(lines=()) == wanted._replace(lines=())
