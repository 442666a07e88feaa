"""Channels made of others: by hand, with every support missing once; contacts; the table of precedence."""

from __future__ import annotations

import itertools

import pytest

from gateway import derive, flags, hours
from gateway.accumulate import State
from gateway.windows import Channel, Settings, Window, Windows
from protocol import quality as q
from tests.gateway.test_windows import LENGTH, START, frame

NOW = START + 86_400_000
SUPPORTS = {"O2": 13.5, "Temp": 180.0, "P": 95.0, "H2O": 12.0}
UNITS = {"SO2m": "mg/m3", "O2": "%", "Temp": "oC", "P": "kPa", "H2O": "%", "Flow": "Nm3/h"}


def row(symbol: str, value: float | None, quality: int = q.OK, **more) -> Window:
    fields = dict(
        revision=1, count=300, expected=300, valid_share=1.0, minimum=value, maximum=value, reason=""
    )
    fields |= {"last": value, "deviation": 2.0, "average": "mean"} | more
    return Window(
        symbol=symbol, unit=UNITS[symbol], start_ms=START, end_ms=START + LENGTH, value=value,
        quality=quality, status=q.status(quality), **fields,
    )  # fmt: skip


def corrected(wet_oxygen: bool = False, **supports) -> Channel:
    names = {name: name for name in SUPPORTS} | supports
    derived = (
        derive.CORRECTED,
        "SO2m",
        names["O2"],
        6.0,
        names["Temp"],
        names["P"],
        names["H2O"],
        wet_oxygen,
    )
    return Channel("SO2", "mg/Nm3", "", "SO2", derived=derived)


def measured(**changed) -> dict[str, Window]:
    return {s: row(s, v) for s, v in ({"SO2m": 210.0} | SUPPORTS).items()} | changed


def made(channel: Channel, found: dict[str, Window]) -> Window:
    return derive.made(channel, found, State(last=5.0))


def test_by_hand():
    """210 mg/m3 at 180 oC, 95 kPa, 12 % moisture, 13.5 % O2, to 6 %:
    453.15 / 298.15 = 1.519873; 101.325 / 95 = 1.066579; 100 / 88 = 1.136364;
    (20.9 - 6) / (20.9 - 13.5) = 2.013514; their product is 3.709130, so 778.9173 mg/Nm3.
    """
    found = made(corrected(), measured())
    assert found.value == pytest.approx(778.9173, abs=1e-4)
    assert (found.unit, found.status, found.symbol) == ("mg/Nm3", "00", "SO2")
    assert found.deviation == pytest.approx(2 * 3.709130, abs=1e-5)
    assert found.last == found.value == found.minimum


def test_each_correction_alone():
    alone = dict.fromkeys(SUPPORTS, "")
    for name, factor in {
        "O2": 14.9 / 7.4,
        "Temp": 453.15 / 298.15,
        "P": 101.325 / 95,
        "H2O": 100 / 88,
    }.items():
        found = made(corrected(**(alone | {name: name})), measured())
        assert found.value == pytest.approx(210.0 * factor, rel=1e-12), name
    assert made(corrected(**alone), measured()).value == 210.0


def test_oxygen_that_is_measured_wet_is_made_dry_first():
    """13.5 % of the moist gas are 13.5 * 100 / 88 = 15.340909 % of the dry one."""
    only = dict.fromkeys(("Temp", "P"), "")
    found = made(corrected(wet_oxygen=True, **only), measured())
    assert found.value == pytest.approx(210 * (100 / 88) * 14.9 / (20.9 - 15.340909), rel=1e-6)


@pytest.mark.parametrize("symbol", list(SUPPORTS))
@pytest.mark.parametrize("quality", [q.TIMEOUT, q.CALIBRATING, q.FAULT])
def test_no_support_no_correction(symbol, quality):
    found = made(corrected(), measured(**{symbol: row(symbol, 1.0, quality)}))
    assert (found.quality, found.status) == (flags.UNSUPPORTED, "02")
    assert found.value == found.last == 5.0  # the last one that was right
    assert found.flags == "UNSUPPORTED 1"


def test_control_a_correction_with_a_dead_sensor_is_found(monkeypatch):
    right = derive._correction

    def blind(derived, found):
        return right(derived, {symbol: row._replace(quality=q.OK) for symbol, row in found.items()})

    monkeypatch.setattr(derive, "_correction", blind)
    with pytest.raises(AssertionError):
        test_no_support_no_correction("O2", q.FAULT)


@pytest.mark.parametrize(
    ("symbol", "value", "possible"),
    [("O2", 20.0, True), ("O2", 20.01, False), ("P", 0.0, False), ("H2O", 99.9, True), ("H2O", 100.0, False)],
)
def test_what_cannot_be(symbol, value, possible):
    found = made(corrected(), measured(**{symbol: row(symbol, value)}))
    assert (found.quality == q.OK) == possible


def test_what_is_made_of_a_bad_value_is_bad_for_the_same_reason():
    for quality in (q.CALIBRATING, q.FAULT, flags.SPIKE):
        found = made(corrected(), measured(SO2m=row("SO2m", 210.0, quality, last=7.0)))
        assert (found.quality, found.status, found.last) == (quality, q.status(quality), 5.0)


def test_a_mass_by_hand():
    """50 mg/Nm3 in 20,000 Nm3/h are 1,000,000 mg/h: 1 kg/h."""
    flow, so2 = row("Flow", 20_000.0), row("SO2m", 50.0)._replace(symbol="SO2", unit="mg/Nm3")
    channel = Channel("SO2 load", "kg/h", "", "x", derived=(derive.MASS, "SO2", "Flow"))
    assert made(channel, {"SO2": so2, "Flow": flow}).value == pytest.approx(1.0)
    found = made(channel, {"SO2": so2, "Flow": row("Flow", 1.0, q.TIMEOUT)})
    assert found.quality == flags.UNSUPPORTED


def test_windows_make_them_in_their_order_whatever_that_is():
    """A mass of a corrected concentration, written before it."""
    channels = [
        Channel("Load", "kg/h", "", "x", derived=(derive.MASS, "SO2", "Flow")),
        Channel("SO2", "mg/Nm3", "", "x", derived=(derive.CORRECTED, "SO2m", "O2", 6.0, "", "", "", False)),
        *[Channel(s, UNITS[s], "device/st-01", s.lower()) for s in ("SO2m", "O2", "Flow")],
    ]
    windows = Windows(channels, Settings())
    windows.lanes["device/st-01"].describe(1, [(s, 60_000, 0, ()) for s in ("so2m", "o2", "flow")])
    for number, value in ((0, 100.0), (1, 6.0), (2, 1000.0)):
        rows = [(minute * 60_000, value, q.OK, number) for minute in range(5)]
        windows.lanes["device/st-01"].add(frame(*rows), NOW, 0.0)
    rows = windows.close(START)
    assert [row.symbol for row in rows] == ["Load", "SO2", "SO2m", "O2", "Flow"]
    assert [row.value for row in rows] == [pytest.approx(0.1), 100.0, 100.0, 6.0, 1000.0]


# Contacts


def test_a_contact_that_was_on_for_a_moment_makes_the_window_that():
    channels = [
        Channel("COD", "mg/l", "device/st-01", "cod", busy=(("K1", q.CALIBRATING), ("K2", q.MAINTENANCE))),
        Channel("K1", "", "device/st-01", "k1", average="last"),
        Channel("K2", "", "device/st-01", "k2", average="last"),
    ]
    for one, two in itertools.product((0.0, 1.0), repeat=2):
        windows = Windows(channels, Settings())
        windows.lanes["device/st-01"].describe(1, [(s, 60_000, 0, ()) for s in ("cod", "k1", "k2")])
        for minute in range(5):
            on = minute == 2
            rows = [(minute * 60_000, v, q.OK, n) for n, v in ((0, 8.5), (1, one * on), (2, two * on))]
            windows.lanes["device/st-01"].add(frame(*rows), NOW, 0.0)
        [cod, *_] = windows.close(START)
        wanted = q.CALIBRATING if one else q.MAINTENANCE if two else q.OK
        assert (cod.quality, cod.status, cod.value) == (wanted, q.status(wanted), 8.5)
        assert (cod.last == 8.5) == (wanted == q.OK)  # a value of the gas is no valid value
        assert cod.count == (5 if wanted == q.OK else 0)


# Precedence: one table of reasons, with golden examples

GOLDEN = [  # readings by quality, of 12 expected -> what the window says
    ({q.OK: 12}, q.OK),
    ({q.OK: 9, q.FAULT: 3}, q.OK),
    ({q.OK: 8, q.FAULT: 4}, q.FAULT),
    ({q.OK: 8}, q.COVERAGE),
    ({}, q.NO_DATA),
    ({q.TIMEOUT: 12}, q.TIMEOUT),
    ({q.CALIBRATING: 6, q.FAULT: 6}, q.CALIBRATING),  # as much: 01 before 02
    ({q.CALIBRATING: 5, q.FAULT: 7}, q.FAULT),
    ({q.MAINTENANCE: 6, q.CALIBRATING: 6}, q.CALIBRATING),
    ({q.MAINTENANCE: 7, q.CALIBRATING: 5}, q.MAINTENANCE),
    ({q.OUT_OF_RANGE: 6, q.TIMEOUT: 6}, q.OUT_OF_RANGE),  # the instrument before the line
    ({flags.STUCK: 6, q.BAD_REPLY: 6}, flags.STUCK),
    ({q.FAULT: 6, flags.STUCK: 6}, q.FAULT),  # what it says of itself before what its values say
    ({flags.SPIKE: 2, flags.RATE: 2, q.OK: 8}, flags.SPIKE),
    ({q.TIME_UNTRUSTED: 6, q.TIMEOUT: 6}, q.TIMEOUT),
    ({q.TIME_UNTRUSTED: 12}, q.TIME_UNTRUSTED),
    ({q.OK: 3, q.TIMEOUT: 4}, q.COVERAGE),  # 5 of 12 never came
    ({q.OK: 3, q.TIMEOUT: 5}, q.TIMEOUT),
]


@pytest.mark.parametrize(("counts", "wanted"), GOLDEN)
def test_precedence(counts, wanted):
    windows = Windows([Channel("COD", "mg/l", "device/st-01", "cod")], Settings())
    windows.lanes["device/st-01"].describe(1, [("cod", 25_000, 0, ())])
    windows.next_ms = START
    cell = windows.cell(windows.states[0], START)
    assert cell is not None
    for quality, count in counts.items():
        for _ in range(count):
            if quality == q.OK:
                cell.take(START, 1.0)
            else:
                cell.not_ok(quality, None)
    [found] = windows.close(START)
    assert found.quality == wanted
    assert flags.counts(found.flags) == {flags.NAMES[k]: n for k, n in counts.items() if k != q.OK}


def test_every_quality_has_a_place_in_the_table_and_a_name():
    assert set(flags.PRECEDENCE) == set(flags.NAMES) - {q.OK}
    assert len(set(flags.PRECEDENCE)) == len(flags.PRECEDENCE)


# What nobody would measure


def test_a_flow_that_runs_back_turns_minimum_and_maximum_round():
    mass = Channel("M", "kg/h", "", "M", derived=(derive.MASS, "SO2m", "Flow"))
    found = {
        "SO2m": row("SO2m", 100.0, minimum=50.0, maximum=200.0),
        "Flow": row("Flow", -1000.0),
    }
    made = derive.made(mass, found, State())  # 100 mg/m3 x -1000 m3/h = -1e5 mg/h = -0.1 kg/h
    assert (made.minimum, made.value, made.maximum) == pytest.approx((-0.2, -0.1, -0.05))
    assert made.deviation == pytest.approx(0.002)


def test_garbage_makes_no_number_beyond_all_numbers():
    """Three instruments show garbage that nobody called implausible: an hour of it is still an hour."""
    first = corrected(O2="", H2O="")._replace(symbol="N", quantity="N")
    second = Channel("M", "kg/h", "", "M", derived=(derive.MASS, "N", "Flow"))
    found = {
        "SO2m": row("SO2m", 3e38), "P": row("P", 1e-45), "Temp": row("Temp", 3e38), "Flow": row("Flow", 3e38),
    }  # fmt: skip
    found["N"] = derive.made(first, found, State(1.0))
    assert (found["N"].quality, found["N"].value) == (flags.UNSUPPORTED, 1.0)
    made = derive.made(second, found, State(2.0))
    assert (made.quality, made.flags) == (flags.UNSUPPORTED, "UNSUPPORTED 1")  # said once
    (hour,) = hours.of([made], 1, 0.75)
    assert hour.status == "02"


def test_a_contact_whose_state_holds_is_on():
    """It is read less often than a window is long: between two readings it is what it was."""
    contact = row("Flow", 1.0, count=0, minimum=None, maximum=None)
    for state, quality in ((1.0, q.MAINTENANCE), (0.0, q.OK)):
        found = {"Flow": contact._replace(value=state)}
        assert derive.busy(row("SO2m", 5.0), (("Flow", q.MAINTENANCE),), found, State()).quality == quality
    silent = {"Flow": contact._replace(quality=q.NO_DATA)}
    assert derive.busy(row("SO2m", 5.0), (("Flow", q.MAINTENANCE),), silent, State()).quality == q.OK


def test_what_holds_is_not_younger_by_a_calibration():
    made = derive.by_hand(row("SO2m", 5.0, last_ms=9), q.CALIBRATING, State(4.0, 3))
    assert (made.last, made.last_ms) == (4.0, 3)
