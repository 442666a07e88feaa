"""Channels made of others: what fits together loads, and every misfit is one sentence on its line."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.ingest.intake import channels_of
from tests.gateway.configured import SAMPLE, written
from tests.gateway.test_config import faults_of


def channel(symbol: str, unit: str, source: str = "", more: str = "") -> str:
    source = source or f'{{ device = "st-01", quantity = "{symbol.lower()}" }}'
    return f'\n[[channel]]\nsymbol = "{symbol}"\nunit = "{unit}"\nsource = {source}\n{more}\n'


CORRECTED = (
    '{ corrects = "SO2m", oxygen = "O2", oxygen_reference = 6.0, temperature = "Temp", pressure = "P", '
    'moisture = "H2O" }'
)
STACK = (
    channel("SO2m", "mg/m3", more="sent = false")
    + channel("O2", "%")
    + channel("Temp", "oC")
    + channel("P", "kPa")
    + channel("H2O", "%")
    + channel("Qs", "Nm3/h")
    + channel("SO2", "mg/Nm3", CORRECTED)
    + channel("Load", "kg/h", '{ mass_of = "SO2", flow = "Qs" }')
    + channel("K1", "", more='average = "last"')
    + channel("Dust", "mg/m3", more='busy = { calibrating = "K1" }')
    + channel("Meter", "m3", more='average = "total"\nrollover = 1000000.0')
)
AT = SAMPLE.index("[[destination]]")
TEXT = SAMPLE[:AT] + STACK + SAMPLE[AT:]


def test_it_loads_and_the_windows_see_it(tmp_path):
    channels = {channel.symbol: channel for channel in channels_of(load(written(tmp_path, TEXT)))}
    assert channels["SO2"].derived == ("corrected", "SO2m", "O2", 6.0, "Temp", "P", "H2O", False)
    assert channels["Load"].derived == ("mass", "SO2", "Qs")
    assert not channels["SO2m"].sent and channels["SO2"].sent
    assert channels["Dust"].busy == (("K1", 1),)
    assert (channels["Meter"].average, channels["Meter"].rollover) == ("total", 1e6)
    assert all(channel.holds for channel in channels.values())


FAULTS = [
    ('oxygen = "O2"', 'oxygen = "O3"', "There is no channel 'O3'."),
    ('corrects = "SO2m"', 'corrects = "SO2"', "SO2 cannot be made of SO2."),
    ('corrects = "SO2m"', 'corrects = "Load"', "SO2 cannot be made of Load."),
    ('oxygen = "O2"', 'oxygen = "Temp"', "Temp is in 'oC': it is no oxygen to correct with."),
    ('pressure = "P"', 'pressure = "H2O"', "H2O is in '%': it is no pressure to correct with."),
    ('unit = "mg/Nm3"', 'unit = "ug/Nm3"', "SO2 is in 'ug/Nm3', and SO2m, which it is made of, in 'mg/m3'."),
    ('unit = "kg/h"', 'unit = "kg"', "Load is a mass in an hour."),
    ('flow = "Qs"', 'flow = "Temp"', "Temp is in 'oC', of which no mass can be made."),
    ('mass_of = "SO2"', 'mass_of = "SO2m"', "Of SO2m and Qs one is in normal cubic metres (Nm3)"),
    ('calibrating = "K1"', 'calibrating = "K9"', "'K9' is not the channel of a contact."),
    ('calibrating = "K1"', 'calibrating = "Dust"', "'Dust' is not the channel of a contact."),
    ('average = "total"\n', "", "Only a meter rolls over."),
    ("rollover = 1000000.0", "rollover = 0", "is out of range"),
    ("rollover = 1000000.0", "rollover = -1.0", "is out of range"),
    ('average = "last"', 'average = "median"', '"median" is not possible here.'),
    (
        'mass_of = "SO2", flow',
        'mass_of = "SO2", bus = "tank", flow',
        "A source names either a device or a bus.",
    ),
    ('flow = "Qs" }\n', 'flow = "Qs" }\naverage = "total"', "Load is made of windows: it has no readings"),
    ('flow = "Qs" }\n', 'flow = "Qs" }\nplausible = [0.0, 1.0]', "Load has no readings of its own"),
    ("sent = false", 'checks = { spike = "5" }', "is not a number"),
    ("sent = false", "checks = { rate = 5.0 }", "There is no setting 'rate' here. "),
    ("sent = false", "checks = { stuck_min = 0 }", "is out of range"),
    ("sent = false", "checks = { plausible = [5.0, 1.0] }", "reversed or empty"),
    ("sent = false", "checks = { negative_min = 1.0 }", "is out of range"),
    ("sent = false", "update_s = 90000", "is out of range"),
]


@pytest.mark.parametrize(("old", "new", "said"), FAULTS)
def test_one_fault_is_one_sentence(tmp_path, old, new, said):
    assert old in STACK
    found = faults_of(tmp_path, SAMPLE[:AT] + STACK.replace(old, new, 1) + SAMPLE[AT:])
    assert any(said in fault for fault in found), found
    assert all("config.toml:" in fault for fault in found)


def test_a_channel_with_a_fault_of_its_own_is_not_called_missing(tmp_path):
    [fault] = faults_of(tmp_path, TEXT.replace('average = "last"', 'average = "median"'))
    assert "channel[10].average" in fault
