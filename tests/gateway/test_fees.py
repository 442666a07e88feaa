"""gateway/fees.py: quarterly fees by hand, what is missing, substitutions beside; the section; a control."""

from __future__ import annotations

from datetime import date

import pytest

from gateway import fees as module
from gateway.config import ConfigFaults, load
from gateway.fees import EMISSION, WASTEWATER, emission, vnd, wastewater
from gateway.loads import MEAN
from gateway.spans import Quarter
from tests.gateway.configured import SAMPLE, written
from tests.gateway.windows_made import channel

HOUR_MS = 3_600_000
Q1 = Quarter(2026, 1)
HOURS = 90 * 24  # of a first quarter with 28 days in February


def hourly(symbol, values, unit):
    """Windows of one hour from the quarter's start on."""
    start_ms = Q1.period.start_ms
    rows = channel(symbol, values, unit)
    return {
        start_ms + i * HOUR_MS: row._replace(
            start_ms=start_ms + i * HOUR_MS, end_ms=start_ms + (i + 1) * HOUR_MS
        )
        for i, row in enumerate(rows.values())
    }


def station(cod=60.0, hours=HOURS):
    return {
        "Flow": hourly("Flow", [10.0] * HOURS, "m3/h"),
        "COD": hourly("COD", [cod] * hours, "mg/l"),
        "TSS": hourly("TSS", [30.0] * HOURS, "mg/l"),
    }


def test_wastewater_with_monitoring():
    """21,600 m3; COD 60 g/m3: 1,296 kg x 2,000 = 2,592,000; TSS 648 kg x 2,400 = 1,555,200."""
    draft = wastewater(station(), "Flow", {"COD": 2000, "TSS": 2400}, Q1, HOUR_MS)
    assert (draft.decree, draft.declared_by, draft.missing) == (WASTEWATER, date(2026, 4, 20), ())
    assert draft.volume.volume_m3 == pytest.approx(21_600)
    assert [line.load.mass_kg for line in draft.lines] == pytest.approx([1296, 648])
    assert [line.fee_vnd for line in draft.lines] == [2_592_000, 1_555_200]
    assert (draft.fixed_vnd, draft.total_vnd, draft.substituted_vnd) == (0, 4_147_200, None)


def test_wastewater_without_monitoring_is_volume_by_a_flat_rate():
    """21,600 x 1,700 = 36,720,000."""
    draft = wastewater(station(), "Flow", {"COD": 2000}, Q1, HOUR_MS, monitored=False)
    assert (draft.total_vnd, draft.lines, draft.monitored) == (36_720_000, (), False)


def test_control_another_flat_rate_is_caught(monkeypatch):
    monkeypatch.setattr(module, "FLAT_VND_M3", 1500)
    with pytest.raises(AssertionError):
        test_wastewater_without_monitoring_is_volume_by_a_flat_rate()


def test_emission():
    """10,000 Nm3/h x 2,160 h x 50 mg = 1,080 kg of dust x 0.8 = 864; 200 mg of SO2: 4,320 x 0.7 = 3,024."""
    stack = {
        "Flow": hourly("Flow", [10_000.0] * HOURS, "Nm3/h"),
        "PM": hourly("PM", [50.0] * HOURS, "mg/Nm3"),
        "SO2": hourly("SO2", [200.0] * HOURS, "mg/Nm3"),
    }
    draft = emission(stack, "Flow", {"PM": 0.8, "SO2": 0.7}, Q1, HOUR_MS)
    assert draft.decree == EMISSION
    assert [line.fee_vnd for line in draft.lines] == [864, 3024]
    assert (draft.fixed_vnd, draft.total_vnd) == (750_000, 753_888)
    assert emission(stack, "Flow", {}, Q1, HOUR_MS, monitored=False).total_vnd == 750_000


def test_gaps_are_named_and_substitutions_stand_beside():
    """COD covers 540 of 2,160 hours: 5,400 m3, 324 kg, 648,000 đ; the rest at its mean 60: 1,944,000 more."""
    draft = wastewater(station(hours=540), "Flow", {"COD": 2000}, Q1, HOUR_MS, method=MEAN)
    assert (draft.total_vnd, draft.substituted_vnd) == (648_000, 2_592_000)
    assert draft.lines[0].substituted_vnd == 1_944_000
    assert draft.missing == (
        "COD: 25.0% of the quarter is covered by valid data; the rest is not in the fee.",
    )
    plain = wastewater(station(hours=540), "Flow", {"COD": 2000}, Q1, HOUR_MS)
    assert (plain.total_vnd, plain.substituted_vnd) == (648_000, None)


def test_without_rates_or_data_there_is_no_total():
    draft = wastewater(station(), "Flow", {}, Q1, HOUR_MS)
    assert draft.total_vnd is None and "No rates are configured" in draft.missing[0]
    other = wastewater(station(), "Flow", {"COD": 2000, "Hg": 20_000_000}, Q1, HOUR_MS)
    assert (other.total_vnd, other.missing) == (None, ("Hg was not measured in this quarter.",))


@pytest.mark.parametrize(
    "kg, rate, fee", [(0.5, 1, 1), (0.49, 1, 0), (1.005, 100, 101), (3, 0.8, 2), (-1, 5, 0), (0, 9, 0)]
)
def test_whole_dong_a_half_up(kg, rate, fee):
    """1.005 x 100 is 100.5 as it is written, although the binary number is below."""
    assert vnd(kg, rate) == fee


# The section ----------------------------------------------------------------------------------------------


def test_the_section(tmp_path):
    config = load(written(tmp_path, SAMPLE + '\n[fees]\nflow = "Flow"\nrates = { COD = 2000, Flow = 0.5 }\n'))
    assert (config.fees.flow, config.fees.monitored) == ("Flow", True)
    assert config.fees.rates == {"COD": 2000.0, "Flow": 0.5}
    assert load(written(tmp_path, SAMPLE)).fees.rates == {}, "no rate is built in"


@pytest.mark.parametrize(
    "section, said",
    [
        ("rates = { COD = 2000 }", "Rates give no fee without the flow."),
        ('flow = "Fluss"', "There is no channel 'Fluss' that measures the flow."),
        ('flow = "Flow"\nrates = { Hg = 1 }', "There is no channel 'Hg' to compute a fee from."),
        ('flow = "Flow"\nrates = { COD = "2000" }', "'2000' is no rate of 'COD'"),
        ('flow = "Flow"\nrates = { COD = -1 }', "-1 is no rate of 'COD'"),
        ('flow = "Flow"\nrates = { COD = true }', "True is no rate of 'COD'"),
        ('flow = "Flow"\nrates = [2000]', "Rates are a table."),
        ("monitored = 1", "1 is not true or false."),
        ("rate = { }", "There is no setting 'rate' here."),
    ],
)
def test_faults_of_the_section(tmp_path, section, said):
    with pytest.raises(ConfigFaults) as caught:
        load(written(tmp_path, f"{SAMPLE}\n[fees]\n{section}\n"))
    assert len(caught.value.faults) == 1 and said in str(caught.value.faults[0])
