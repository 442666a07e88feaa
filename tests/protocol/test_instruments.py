# runs on: cpython
"""The profiles of Quantrac: they load, say where they come from, and cover every kind of station."""

from importlib.resources import files

import pytest

from protocol import instruments, modbus_requests, quality, registers
from protocol.errors import ConfigError
from protocol.plan import plan
from protocol.profile import KINDS, answered
from protocol.profile_ask import examples

OPEN = {name: instruments.load(name) for name in instruments.names()}
PROFILES = {name: answered(profile, examples(profile.asks)) for name, profile in OPEN.items()}
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


# Every row that the reference marks ready: its section, and the profiles of what a technician may find.
READY = """
A2 wtw-iqsn
A3 hach-ldo-aqs
A5 yosemitech-y504 yosemitech-y511 yosemitech-y520 yosemitech-y532 yosemitech-y550 yosemitech-y560
A6 aqualabo-optod aqualabo-pheht aqualabo-c4e aqualabo-ntu aqualabo-mes5 aqualabo-stacsens aqualabo-ctzn
A7 supmea-sup-ph8001
A8 boqu-phg-2091
A9 keller-series30
A10 hach-codmax2
A10 hach-amtax-compact2 hach-amtax-inter2c
A10 eh-ca80-cod eh-ca80-nh4
A10 thermo-orion-2240
A11 jxbs-3001-ph
A12 dfrobot-sen0603
B3 vega-vegapuls
B5 xylem-magflux
B7 eh-promag-53 eh-promass-83 eh-promag-300
B11 krohne-ifc050
B11 tuf-2000
B12 wqs-2000 fc-9624ylab dr-803k
C2 sick-visic100sf
C8 xuedilong-1080
D1 thermo-42i thermo-43i
D2 thermo-49iq
D3 teledyne-t300
D3 teledyne-t400
D3 teledyne-t101
D4 teledyne-n500 teledyne-t640
D5 vaisala-wxt530
D7 renke-rs-fsjt renke-rs-fxjt
D7 jxbs-3001-pm jxct-wind jxct-rain rika-rk
D8 vaisala-aqt530
D9 lambrecht-rain-e
D10 siemens-qsa2700
E1 advantech-adam-4117
E1 advantech-adam-6017
E3 waveshare-relay-8ch
"""
# Rows of which something is open, without Isco 2150 (B13), which speaks Modbus ASCII.
PARTLY = """
A1 eh-cm44x
A1 eh-liquistation
A3 hach-uvas-sc hach-nitratax-sc
A3 hach-tss-sc
A3 hach-3798-sc hach-3400-sc hach-surface-scatter7
A3 hach-amtax-sc
A3 hach-sc4500
A4 insitu-aquatroll400
A4 insitu-aquatroll600
A12 trios-tph
A12 yokogawa-flxa402-ph yokogawa-flxa402-sc
A13 thermo-av38-ph thermo-av38-orp thermo-av38-do
B1 siemens-mag6000
B2 siemens-hydroranger
B4 nivus-nivusonic
B6 campbell-pvs5120
B8 krohne-ifc300
B14 ads-flowshark ads-triton
C1 sick-marsic300
C3 siemens-ga700
C6 sick-mcs100ft
C7 gasmet-cx4000
C9 thermo-txo1000 thermo-saimofei-pm
C10 airoptic-gaseye
D1 thermo-5030i
D3 teledyne-t100
D7 renke-fsxcs
D11 campbell-metsens200 campbell-metsens300
E2 waveshare-ai-8ch
"""
# Of a part of which nothing is to be asked: what is open concerns registers that are left out.
NOTHING_TO_ASK = {"eh-liquistation", "thermo-saimofei-pm"}


def rows(text):
    return [(line.split()[0], line.split()[1:]) for line in text.split("\n") if line]


def test_every_instrument_of_the_reference_has_its_profiles():
    ready, partly = rows(READY), rows(PARTLY)
    assert len(ready) == 36 and len(partly) == 29
    assert {name for _, chosen in ready + partly for name in chosen} <= set(PROFILES)
    for _, chosen in partly:
        assert all(OPEN[name].asks or name in NOTHING_TO_ASK for name in chosen), chosen


def test_the_readme_lists_every_profile_of_a_real_instrument():
    text = (files(instruments.__name__) / "README.md").read_text(encoding="utf-8")
    for name, profile in PROFILES.items():
        assert (f"`{name}`" in text) == (profile.mark != "GENERIC"), name
    listed = [line.split(" | ") for line in text.split("\n") if line.startswith("| ") and "`" in line]
    table = {
        (row[0].strip("| "), *sorted(row[2].replace("`", "").split(", "))) for row in listed if len(row) > 3
    }
    for section, wanted in rows(READY) + rows(PARTLY):
        assert any(row[0] == section and set(wanted) <= set(row[1:]) for row in table), (section, wanted)
    for row in (row for row in listed if len(row) > 3):
        for name in row[2].replace("`", "").split(", "):
            assert PROFILES[name].mark in row[3]


@EVERY
def test_an_open_profile_makes_nothing_up(profile):
    given = OPEN[profile.name]
    for made, table in ((given.quantities, "quantity"), (given.statuses, "status")):
        for one, row in zip(made, given.table.get(table, []), strict=True):
            for key, value in row.items():
                if isinstance(value, str) and value.startswith("?"):
                    assert getattr(one, key) == value
    if given.asks:
        with pytest.raises(ConfigError) as caught:
            answered(given, {})
        assert len(caught.value.faults) == len(given.asks)


def test_wire_addresses_of_the_sites_own_map():
    """Typed a second time by hand: places that come from answers."""

    def place(name, quantity, **answers):
        asks = OPEN[name].asks
        q = answered(OPEN[name], examples(asks) | answers).quantity(quantity)
        return q.table, q.register, q.type, q.word_order

    assert place("eh-cm44x", "ph", ph=16, order="CDAB") == ("input", 60, "float32", "CDAB")
    assert place("wtw-iqsn", "ph", ph=20) == ("input", 156, "float32", "ABCD")  # S20 = 0153-0160, + 4, from 0
    assert place("hach-sc4500", "ph", ph=16, table="input", order="ABCD") == ("input", 40, "float32", "ABCD")
    assert place("insitu-aquatroll600", "ph", first=5451)[1] == 5563
    assert place("siemens-ga700", "so2", so2=5, no="none", co="none", co2="none", o2=2)[1] == 0x30 + 2
    assert place("sick-mcs100ft", "nox", first=0x8A)[1] == 0xAA
    assert place("airoptic-gaseye", "o2", o2=104, co="none", nh3=101, hcl=102)[1] == 12
    assert place("siemens-hydroranger", "level", base=0)[1] == 41010 - 40001
    assert place("thermo-av38-ph", "temperature", value=2000)[1] == 42003 - 40001
    nivus = answered(OPEN["nivus-nivusonic"], examples(OPEN["nivus-nivusonic"].asks) | {"flow-span": 2.0})
    assert nivus.quantity("flow").scale * 32767 == pytest.approx(7200)


def test_a_folder_of_ones_own(tmp_path, monkeypatch):
    source = (files(instruments.__name__) / "generic-tss.toml").read_text(encoding="utf-8")
    own = tmp_path / "my-tss.toml"
    own.write_text(source.replace('"generic-tss"', '"my-tss"'))
    monkeypatch.setenv(instruments.OWN, str(tmp_path))
    assert "my-tss" in instruments.names() and instruments.load("my-tss").quantity("tss")
    own.rename(tmp_path / "thermo-42i.toml")
    with pytest.raises(ConfigError, match="comes with Quantrac"):
        instruments.names()
    (tmp_path / "thermo-42i.toml").rename(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match='write name = "mine"'):
        instruments.load("mine")
    (tmp_path / "mine.toml").write_text("x = = 1")
    with pytest.raises(ConfigError, match=r"mine.toml is no TOML.*line 1"):
        instruments.load("mine")
    monkeypatch.setenv(instruments.OWN, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is no folder"):
        instruments.load("thermo-42i")
