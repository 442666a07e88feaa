# runs on: cpython
"""The profiles of Quantrac: they load, say where they come from, and cover every kind of station."""

from importlib.resources import files

import pytest

from protocol import instruments, modbus_requests, quality, registers
from protocol.errors import ConfigError
from protocol.plan import plan
from protocol.profile import KINDS

PROFILES = {name: instruments.load(name) for name in instruments.names()}
EVERY = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def test_there_are_enough():
    real = [profile for profile in PROFILES.values() if profile.mark != "GENERIC"]
    assert len(real) >= 14
    assert {order for p in real for q in p.quantities for order in [q.word_order]} >= {"ABCD", "CDAB", "DCBA"}
    assert {kind for p in PROFILES.values() for kind in p.station_kinds} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "symbols"),
    [
        ("wastewater", "pH Temp COD NH4 TSS DO COND Flow"),
        ("surface-water", "pH Temp DO COND TURB COD NH4 TSS Level"),
        ("stack", "O2 SO2 NOx CO PM Temp P Flow"),
        ("ambient-air", "NO2 SO2 O3 CO PM10 PM2.5 Temp RH P WindDir WindSpd"),
        ("water-level", "Level Press"),
        ("groundwater", "Level Press pH COND"),
    ],
)
def test_every_kind_of_station_is_covered(kind, symbols):
    offered = {q.symbol for p in PROFILES.values() if kind in p.station_kinds for q in p.quantities}
    assert offered >= set(symbols.split())


@EVERY
def test_a_file_begins_with_what_was_not_read(profile):
    text = (files(instruments.__name__) / f"{profile.name}.toml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    if profile.mark == "GENERIC":
        assert "GENERIC" in text.split("\n\n")[0]
        assert profile.name.startswith("generic-")
    else:
        assert not profile.name.startswith("generic-")


@EVERY
def test_a_profile_can_be_polled(profile):
    items = [(q.table, q.register, registers.words_of(q.type)) for q in profile.quantities]
    items += [(s.table, s.register, registers.words_of(s.type)) for s in profile.statuses]
    for table, address, count, _ in plan(items, profile.link.max_block, merge=profile.link.merge):
        modbus_requests.read_pdu(modbus_requests.TABLES[table], address, count)
    for start in profile.starts:
        modbus_requests.start_pdu(start.function, start.register, start.words)
    for identify in profile.identify:
        modbus_requests.read_pdu(modbus_requests.TABLES[identify.table], identify.register, identify.words)


@EVERY
def test_values_can_be_told_apart_from_states(profile):
    """No register is shared, no state lies inside a value, every state is used and can be good."""
    taken = {}
    for q in profile.quantities:
        for i in range(registers.words_of(q.type)):
            assert taken.setdefault((q.table, q.register + i), q.id) == q.id
    for s in profile.statuses:
        assert (s.table, s.register) not in taken
        assert any(s.id in q.statuses for q in profile.quantities), f"{s.id} is never looked at"
        assert quality.OK in (*s.values.values(), s.otherwise)
        assert {*s.values.values(), s.otherwise} != {quality.OK}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="supmea-sup-ph8001"):
        instruments.load("supmea")
    with pytest.raises(ConfigError):
        instruments.load("../profile")


def by(name, quantity):
    q = PROFILES[name].quantity(quantity)
    return q.table, q.register, q.type, q.word_order


def test_wire_addresses_of_the_reference():
    """Spot checks of what was read in the sources, typed a second time by hand."""
    assert by("hach-codmax2", "cod") == ("holding", 0, "float32", "CDAB")
    assert by("eh-promag-53", "flow") == ("holding", 2008, "float32", "CDAB")
    assert by("krohne-ifc050", "flow") == ("input", 0x7532, "float32", "ABCD")
    assert by("lambrecht-rain-e", "rain-total") == ("input", 31101, "int32", "ABCD")
    assert by("yosemitech-y4000", "do") == ("holding", 0x2601, "float32", "DCBA")
    assert by("yosemitech-y4000", "ph") == ("holding", 0x2607, "float32", "DCBA")
    assert by("aqualabo-optod", "do") == ("holding", 0x0057, "float32", "ABCD")
    assert by("keller-series30", "temperature") == ("holding", 0x0102, "float32", "ABCD")
    assert by("thermo-42i", "nox") == ("holding", 4, "float32", "CDAB")
    assert by("thermo-49iq", "o3") == ("holding", 2100, "float32", "CDAB")
    assert by("teledyne-t300", "co") == ("input", 18, "float32", "ABCD")
    assert by("teledyne-t640", "pm25") == ("input", 8, "float32", "ABCD")
    assert by("vaisala-wxt530", "temperature") == ("input", 0x1F, "int16", "ABCD")
    assert by("vaisala-aqt530", "o3") == ("holding", 0x6A, "int16", "ABCD")
    assert by("sick-visic100sf", "no") == ("holding", 113, "float32", "ABCD")
    assert PROFILES["keller-series30"].link.max_block == 4
    assert not PROFILES["lambrecht-rain-e"].link.merge
    assert PROFILES["yosemitech-y550"].starts[0].words == ()
    assert PROFILES["aqualabo-pheht"].starts[0].words == (0x1F,)
    assert PROFILES["teledyne-t300"].status("span").values[1] == quality.CALIBRATING
    assert PROFILES["eh-ca80-cod"].status("state").values[ord("S")] == quality.CALIBRATING
